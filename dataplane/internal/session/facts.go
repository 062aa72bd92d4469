package session

import "github.com/warder-gateway/warder/internal/policy"

// Facts implements gate.Call: what conditions may read of the message. It is
// gathered when the first one asks, and holds for all that is decided about the
// message, so that a call and what its server asks meanwhile have one time.
//
// The arguments are those bytes of the message that are forwarded (security.md
// P-12): nothing on the way to the server writes them anew. Those of a resource are
// its URI, which the policy has from the entry.
func (x *exchange) Facts() *policy.Facts {
	if x.facts.Now.IsZero() {
		x.facts.Client, x.facts.Now = x.claims(), x.now()
		if !x.req.Arguments.Empty() {
			x.facts.Arguments = x.req.Arguments.Of(x.in.Body)
		}
	}
	return &x.facts
}

// claims returns what the client says of itself: when it opened its session, or, of
// a modern one, with the message.
func (x *exchange) claims() (client policy.Client) {
	switch {
	case x.attached:
		client.Name, client.Version = x.legacy.ClientName, x.legacy.ClientVersion
	case !x.req.ClientInfo.Empty():
		client.Name, client.Version = clientInfo(x.req.ClientInfo.Of(x.in.Body))
	}
	return client
}
