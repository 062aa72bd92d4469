package upstream

import (
	"bytes"

	"github.com/warder-gateway/warder/internal/mcp"
)

// Withdrawal is a legacy server's notice (notifications/cancelled) that it no longer waits for the answer to a request of
// its own.
type Withdrawal struct {
	// Message is the notice and Scan its scan, of which RequestID is the server's raw id of the request.
	Message []byte
	Scan    *mcp.Response
}

// maxRelayed bounds the requests of a server that it can withdraw, for one client's stream.
const maxRelayed = 64

// Relayed is under which ids a client has the requests that a server made on one stream. Only what went to the client
// can be withdrawn from it, once. Beyond maxRelayed open ones, those before are forgotten and cannot be withdrawn; their
// answers still find their way. The zero value is empty. It belongs to one goroutine.
type Relayed struct {
	ids map[string][]byte // the client's raw ids, by the server's
}

// Add notes that the client got a request under this raw id.
func (r *Relayed) Add(request *ServerRequest, clientID []byte) {
	if r.ids == nil || len(r.ids) >= maxRelayed {
		r.ids = make(map[string][]byte)
	}
	r.ids[string(request.ID)] = bytes.Clone(clientID)
}

// Withdraw returns the notice as the client gets it, or nil if the client has no such request.
func (r *Relayed) Withdraw(w *Withdrawal) []byte {
	id := string(w.Scan.RequestID.Of(w.Message))
	own := r.ids[id]
	if own == nil {
		return nil
	}
	delete(r.ids, id)
	return mcp.Splice(nil, w.Message, mcp.Edit{Span: w.Scan.RequestID, With: own})
}
