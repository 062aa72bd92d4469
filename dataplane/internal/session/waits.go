package session

import (
	"context"
	"sync"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
)

// given is what a client answered to a question: a result, or an error.
type given struct {
	result  []byte
	refused *mcp.Error
}

// wait is a question to a client that this node waits on.
type wait struct {
	name    string
	session [16]byte
	answer  chan given // takes one
}

// waits are the questions that wait on this node, by name. When there are too
// many, no further is asked: the server hears that the client cannot answer.
type waits struct {
	limit int

	mu    sync.Mutex
	named map[string]*wait
}

// open begins a wait; nil if there is no room.
func (w *waits) open(session [16]byte) *wait {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.named) >= w.limit {
		return nil
	}
	if w.named == nil {
		w.named = make(map[string]*wait)
	}
	one := &wait{name: randomName(), session: session, answer: make(chan given, 1)}
	w.named[one.name] = one
	return one
}

// take ends a wait and returns it; nil if nobody waits (any more).
func (w *waits) take(name string, session [16]byte) *wait {
	w.mu.Lock()
	defer w.mu.Unlock()
	one := w.named[name]
	if one == nil || one.session != session {
		return nil
	}
	delete(w.named, name)
	return one
}

// errNoAnswer is why a call ended whose client did not answer the server.
var errNoAnswer = fault.New(fault.Unavailable, "the client did not answer the server's request in time")

// await returns the answer, or an error if it does not come within a time, or ctx
// ends before.
func (w *wait) await(ctx context.Context, within time.Duration) (given, error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case got := <-w.answer:
		return got, nil
	case <-timer.C:
		return given{}, errNoAnswer
	case <-ctx.Done():
		return given{}, context.Cause(ctx)
	}
}
