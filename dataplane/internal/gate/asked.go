package gate

import (
	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// maxWeighed bounds how many things DecideServer evaluates conditions for.
const maxWeighed = 64

// DecideServer returns what the policy says to a caller of a method that is
// about a server as a whole, such as what a server asks of the client outside of
// any call. It is allowed if it is allowed with anything of the server that is in
// the caller's lists; else the answer is that about the first such thing. It looks
// at all that the server lists, if it has to; but where conditions wait for the
// facts, only at the first maxWeighed things.
func (x *Index) DecideServer(caller *credential.Caller, server *Server, method string, call Call) policy.Decision {
	profile := x.Profile(caller)
	var first *Entry
	weighed := 0
	for list := range lists {
		for e := range profile.permitted(list, server) {
			if first == nil {
				first = e
			}
			verdict := profile.verdict(e, method)
			decision, final := verdict.Final()
			if !final && weighed < maxWeighed {
				weighed, final = weighed+1, true
				decision = profile.weigh(verdict, caller.Principal, e, method, call)
			}
			if final && decision.Allowed() {
				decision.Revision = x.revision
				return decision
			}
		}
	}
	if first == nil {
		return policy.Decision{
			Effect: snapshotv1.Effect_EFFECT_DENY, Rule: policy.RuleDefaultDeny, Revision: x.revision,
			Reason: "the caller may use nothing of this server",
		}
	}
	return x.Decide(caller, first, method, call)
}

// URIPrefix returns what stands before the server's URIs on the aggregate.
func (s *Server) URIPrefix() string { return s.prefix }
