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

// errKeyGone ends the calls of a key that is revoked.
var errKeyGone = &revocation{mcp.CodeUnauthenticated, "The API key of this call is no longer valid."}

// Revoke ends the calls that run and that the deny overlay of an index denies: of
// callers, and of what they call. What rules say by now is for the calls to come.
func (s *Session) Revoke(index *gate.Index) { s.flights.review(index) }

// revoked returns why a call must end by an index, or nil.
func revoked(index *gate.Index, x *exchange) error {
	key := index.Credentials().Key(x.in.Key.Principal.KeyID)
	if key == nil {
		return errKeyGone
	}
	if reason := index.Denied(key, x.entry); reason != "" {
		return &revocation{mcp.CodeDenied, "Denied by policy: " + reason}
	}
	return nil
}
