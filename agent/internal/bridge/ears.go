package bridge

import (
	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/mcp"
)

// anchor holds the worker that is heard, from when there is one: a process may speak before its start is over.
type anchor struct {
	attached chan *worker
	known    *worker
}

func newAnchor() anchor { return anchor{attached: make(chan *worker, 1)} }

// attach names the worker, once.
func (a *anchor) attach(w *worker) { a.attached <- w }

// worker returns it. It is called by the goroutine that hears, and waits for start to return, which is about to.
func (a *anchor) worker() *worker {
	if a.known == nil {
		a.known = <-a.attached
	}
	return a.known
}

// refuse answers what a process asks of nobody. A ping is answered: that is about the connection, which is ours.
func (w *worker) refuse(m *wire.Message) {
	id := m.Scan.ID.Of(m.Body)
	if m.Scan.Method == mcp.MethodPing {
		w.Tell(mcp.WriteResult(nil, id, []byte("{}")))
		return
	}
	w.Tell(mcp.WriteError(nil, id, mcp.CodeMethodNotFound, "there is no client that can be asked", nil))
}
