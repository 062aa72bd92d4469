package bridge

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

const (
	// maxListeners bounds those of one process; one more is refused, as a call is when too many are open.
	maxListeners = 1024
	// maxNews bounds the resources that wait to be told to one listener. When there are more, or an address is longer than
	// maxAddress, it is told of the resource that it asked for, of which the updated one is a part.
	maxNews    = 1024
	maxAddress = 8 << 10
)

// audience is all who listen to one process of the modern era. At the process it is one listener, which asks for what all
// of them want: there are servers (of the official Go SDK, v1.8.0) that know one listener per connection, and tell none
// any more when the first of several has gone.
//
//	listener ──┐                                        ┌─ takes, in its own time, what has changed for it since
//	listener ──┼─▶ audience ──one subscriptions/listen──▶ process
//	listener ──┘
//
// A listener that comes and wants more than is listened to has the listen replaced by another one. What changes in between
// nobody hears, so that those who were there are told that all they asked for may have changed.
type audience struct {
	worker  *worker
	changed chan struct{} // listeners have come or gone

	mu        sync.Mutex
	listeners map[*listener]bool
	over      error // why nobody can listen any more

	merged // belongs to run
}

// listener is one subscriptions/listen of a client. It is guarded by its audience. What waits for it says only that
// something has changed, and so is bounded by what it asked for, however slow it is.
type listener struct {
	id       []byte // raw, of its request
	wants    wishes // once it is admitted, only what is honoured
	ready    chan struct{}
	admitted bool // it is admitted
	told     bool // it has taken the acknowledgement
	news     wishes
	end      *ending
}

// ending is why a listen is over: with an answer, or with err.
type ending struct {
	err     error
	refused bool // the answer is a JSON-RPC error, of which the next are; else it is over in good order
	code    int  // any: there are servers that refuse with code 0
	text    string
	data    []byte
}

// answer is what the listener is answered.
func (e *ending) answer(id []byte) []byte {
	if e.refused {
		return mcp.WriteError(nil, id, e.code, e.text, e.data)
	}
	return mcp.WriteResult(nil, id, append(stamp([]byte(`{"resultType":"complete",`), id), '}'))
}

func newAudience(w *worker) *audience {
	return &audience{worker: w, changed: make(chan struct{}, 1), listeners: make(map[*listener]bool)}
}

// serve serves a subscriptions/listen to its end.
func (a *audience) serve(ctx context.Context, m *message, w tunnel.Answer) {
	filter, invalid := m.scan.ListenFilter(m.body)
	if invalid != nil {
		refuse(w, m, mcp.Modern, invalid)
		return
	}
	l := &listener{id: bytes.Clone(m.scan.ID.Of(m.body)), wants: wishesOf(&filter), ready: make(chan struct{}, 1)}
	if err := a.join(l); err != nil {
		a.worker.server.unavailable(w, err)
		return
	}
	defer a.leave(l)
	out := stream{answer: w}
	timer := time.NewTimer(headTime)
	defer timer.Stop()
	for {
		var err error
		select {
		case <-l.ready:
			messages, end := a.take(l)
			if err = out.events(messages...); err == nil && end != nil {
				a.conclude(l, end, &out)
				return
			}
		case <-timer.C:
			err = out.open()
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// conclude answers a listener.
func (a *audience) conclude(l *listener, end *ending, out *stream) {
	switch {
	case end.err == nil && out.opened:
		_ = out.events(end.answer(l.id))
	case end.err == nil:
		_ = out.answer.Reply(mcp.StatusOf(end.code, mcp.Modern), jsonHeader, end.answer(l.id))
	case errors.Is(end.err, wire.ErrBusy) && !out.opened:
		a.worker.server.unavailable(out.answer, end.err)
	default:
		out.answer.Reset(tunnelv1.ResetCode_RESET_CODE_FAILED, end.err.Error())
	}
}

// join adds a listener, which is to leave.
func (a *audience) join(l *listener) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.over != nil:
		return a.over
	case len(a.listeners) >= maxListeners:
		return wire.ErrBusy
	}
	a.listeners[l] = true
	notify(a.changed)
	return nil
}

func (a *audience) leave(l *listener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.listeners, l)
	notify(a.changed)
}

// take returns what the listener is to be told, and then whether that is the end.
func (a *audience) take(l *listener) (messages [][]byte, end *ending) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l.admitted && !l.told {
		l.told = true
		messages = append(messages, acknowledgement(l.id, &l.wants))
	}
	messages = append(messages, news(l.id, &l.news)...)
	l.news = wishes{}
	return messages, l.end
}

// admit acknowledges a listener, and lets it go if it is to hear of nothing. It is called with the audience's mu held, as
// are the next ones.
func (l *listener) admit(honoured *wishes) {
	l.wants, l.admitted = l.wants.and(honoured), true
	notify(l.ready)
	if l.wants.empty() {
		l.finish(&ending{})
	}
}

// finish ends a listener, which hears of nothing more. The first reason counts.
func (l *listener) finish(end *ending) {
	if l.end == nil {
		l.end = end
		notify(l.ready)
	}
}

// tell notes that something has changed, if the listener is to hear of it.
func (l *listener) tell(kind kinds, uri string) {
	if !l.admitted || l.end != nil {
		return
	}
	l.news.kinds |= kind & l.wants.kinds
	if whole := l.wants.about(uri); uri != "" && whole != "" {
		if len(l.news.uris) >= maxNews || len(uri) > maxAddress {
			uri = whole
		}
		if l.news.uris == nil {
			l.news.uris = make(map[string]bool)
		}
		l.news.uris[uri] = true
	}
	if !l.news.empty() {
		notify(l.ready)
	}
}

// tellAll notes that all may have changed.
func (l *listener) tellAll() {
	l.tell(l.wants.kinds, "")
	for uri := range l.wants.uris {
		l.tell(0, uri)
	}
}

// notify sends to a channel of one place, unless there is something in it.
func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
