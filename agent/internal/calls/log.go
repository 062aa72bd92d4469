package calls

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/warder-gateway/warder/internal/tunnel"
)

// Kept is how many calls a Log keeps. A new one takes the place of the oldest, also if that still runs.
const Kept = 500

// Call is one exchange with a server. Its texts are those of clients and servers: nothing of them was checked, but they are
// short.
type Call struct {
	// Number counts the calls of a Log from 1.
	Number uint64
	Server string
	// Method is that of MCP, and Subject the tool, prompt or resource that it is about. Both are empty until they are known.
	Method, Subject string
	Began           time.Time
	// Took is how long it lasted; while it runs zero.
	Took    time.Duration
	Running bool
	// Outcome is "ok", or what went wrong; empty while it runs.
	Outcome string
	Failed  bool
}

// Log keeps the last calls. It may be used from many goroutines.
type Log struct {
	mu      sync.Mutex
	calls   []*Call // by number; at most Kept
	changes uint64
	started uint64
}

// NewLog returns an empty one.
func NewLog() *Log { return &Log{} }

// Calls returns the calls that are kept, the oldest first, unless none has changed since the call that returned mark; then
// it returns nil. The first mark is 0.
func (l *Log) Calls(since uint64) (calls []Call, mark uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changes == since {
		return nil, since
	}
	calls = make([]Call, len(l.calls))
	for i, c := range l.calls {
		calls[i] = *c
	}
	return calls, l.changes
}

// begin notes a call.
func (l *Log) begin(server string) *Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes++
	l.started++
	c := &Call{Number: l.started, Server: short(server), Began: time.Now(), Running: true}
	if len(l.calls) == Kept {
		l.calls = slices.Delete(l.calls, 0, 1)
	}
	l.calls = append(l.calls, c)
	return c
}

// change changes a call that may be kept no more.
func (l *Log) change(c *Call, with func(*Call)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changes++
	with(c)
}

// Watch returns a handler that notes what to serves.
func (l *Log) Watch(to tunnel.Handler) tunnel.Handler { return &watched{l, to} }

type watched struct {
	log *Log
	to  tunnel.Handler
}

// Serve implements tunnel.Handler.
func (h *watched) Serve(ctx context.Context, r *tunnel.Incoming, w tunnel.Answer) {
	c := h.log.begin(r.Server)
	if r.Method == http.MethodPost {
		r.Body = &question{from: r.Body, header: r.Header, told: func(method, subject string) {
			h.log.change(c, func(c *Call) { c.Method, c.Subject = method, subject })
		}}
	} else {
		h.log.change(c, func(c *Call) { c.Method = verbs[r.Method] })
	}
	a := &answer{to: w}
	defer func() {
		outcome, failed := a.outcome(ctx)
		h.log.change(c, func(c *Call) {
			c.Took, c.Running, c.Outcome, c.Failed = time.Since(c.Began), false, outcome, failed
		})
	}()
	h.to.Serve(ctx, r, a)
}

// verbs are what exchanges without a message are for.
var verbs = map[string]string{http.MethodGet: "(listens)", http.MethodDelete: "(ends session)"}

// maxText bounds what is kept of one text, in bytes.
const maxText = 200

// short cuts a text, so that nobody can fill the memory with names. What it keeps shares no memory with the text.
func short(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + "…"
	}
	return string([]byte(text))
}
