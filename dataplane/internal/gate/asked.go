package gate

import (
	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/internal/policy"
)

// DecideServer returns what the policy says to a key's caller of a method that is
// about a server as a whole, such as what a server asks of the client outside of
// any call. It is allowed if it is allowed with anything of the server that the
// caller may use; else the answer is that about the first such thing.
func (x *Index) DecideServer(key *credential.Key, server *Server, method string) policy.Decision {
	profile, found := x.Profile(key), false
	decision := mixed
	for list := range lists {
		for e := range profile.visible(list, server) {
			if found && decision.Allowed() {
				return decision
			}
			if d := x.Decide(key, e, method); !found || d.Allowed() {
				decision, found = d, true
			}
		}
	}
	return decision
}

// URIPrefix returns what stands before the server's URIs on the aggregate.
func (s *Server) URIPrefix() string { return s.prefix }
