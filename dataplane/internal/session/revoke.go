package session

import (
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/internal/mcp"
)

// revocation is why a call ended that was allowed when it began.
type revocation struct {
	code int
	text string
}

// Error returns the text, which is for the client.
func (r *revocation) Error() string { return r.text }

// errGone ends the calls of a credential that is revoked.
var errGone = &revocation{mcp.CodeUnauthenticated, "The credential of this call is no longer valid."}

// Revoke ends the calls that run and that the deny overlay of an index denies: of
// callers, and of what they call. What rules say by now is for the calls to come.
func (s *Session) Revoke(index *gate.Index) { s.flights.review(index) }

// revoked returns why a call must end by an index, or nil.
func revoked(index *gate.Index, x *exchange) error {
	caller := index.Credentials().Renew(x.in.Caller, x.now())
	switch {
	case caller == nil && x.in.Caller.Token() && x.in.Caller.Expired(x.now()):
		caller = x.in.Caller // What it began while it was good, it may end.
	case caller == nil:
		return errGone
	}
	if reason := index.Denied(caller, x.entry); reason != "" {
		return &revocation{mcp.CodeDenied, "Denied by policy: " + reason}
	}
	return nil
}
