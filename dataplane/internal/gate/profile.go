package gate

import (
	"sync"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Profile is a set of callers whom the policy cannot tell apart, and what it
// says to them of each entry. It is safe for concurrent use.
type Profile struct {
	index  *core
	policy *policy.Profile
	// refusal is the answer to everything, if not nil.
	refusal *policy.Verdict
	// overlay is asked about targets before the memos; nil: none is denied.
	overlay *overlay
	*memos

	once    sync.Once
	seen    map[*Server]kindSet
	servers []*Server // those that are seen, in order

	mu    sync.Mutex
	views map[*Server]*view // by scope; nil is the aggregate
	lists map[listKey]*List
}

// memos are what the policy said without the overlay: profiles that differ in that
// alone share them.
type memos struct {
	main  memo             // on the main method of each entry
	other [numMethods]memo // on a method, where rules tell it from the main ones

	bounds bounds
}

// kindSet has a bit for each list.
type kindSet uint8

func (s kindSet) has(list ListKind) bool { return s&(1<<list) != 0 }

// listKey names a list of a profile.
type listKey struct {
	what   ListKind
	server *Server
	era    mcp.Era
}

// nobody is the profile of a caller who is not of the index at hand.
var nobody = &Profile{index: &core{}, memos: new(memos)}

// Call tells the facts of what is decided on. It is asked only where a condition
// waits for them.
type Call interface{ Facts() *policy.Facts }

// Decide returns what the policy says to a caller of doing something with
// an entry, by a method of policy.Methods. It is a look-up, except that conditions
// that wait for the facts of the call are evaluated, that for what is not listed it
// is worked out, and that a denial for want of a rule is put into words that name
// caller and entry. A caller or an entry of another index is denied. Without a call it
// allows only what is allowed whatever the facts.
func (x *Index) Decide(caller *credential.Caller, e *Entry, method string, call Call) policy.Decision {
	profile := x.Profile(caller)
	if profile == nobody || e == nil || e.index != x.core {
		return mixed
	}
	verdict := profile.verdict(e, method)
	decision, final := verdict.Final()
	if !final {
		decision = profile.weigh(verdict, caller.Principal, e, method, call)
	}
	decision.Revision = x.revision // That of the core may be an earlier one.
	if decision.Rule != policy.RuleDefaultDeny {
		return decision
	}
	request := policy.Request{Principal: caller.Principal, Method: method, Target: e.Target()}
	return request.InWords(decision)
}

// weigh decides where conditions wait for the facts of the call.
func (p *Profile) weigh(v *policy.Verdict, caller *principal.Principal, e *Entry, method string, call Call) policy.Decision {
	target := e.Target()
	if call == nil {
		return p.policy.Decide(&target, method)
	}
	return v.Decide(caller, &target, call.Facts())
}

// mixed is the answer where caller, entry and index do not belong together.
var mixed = policy.Decision{
	Effect: snapshotv1.Effect_EFFECT_DENY,
	Rule:   policy.RuleDenyOverlay,
	Reason: "caller and target belong to different revisions",
}

// Target is what the policy is asked about.
func (e *Entry) Target() policy.Target {
	return policy.Target{Kind: e.Kind, Server: e.Server.Name(), Name: e.Name, Risk: e.Risk}
}

// verdict returns what is said of an entry before there is a call.
func (p *Profile) verdict(e *Entry, method string) *policy.Verdict {
	if barred := p.bars(e); barred != nil {
		return barred
	}
	if e.number >= 0 {
		if method == e.Kind.Method() {
			return p.main.on(p, e, method)
		}
		if number, known := methodNumbers[method]; known {
			if p.index.plain[e.Kind]&(1<<number) != 0 {
				return p.main.on(p, e, e.Kind.Method())
			}
			return p.other[number].on(p, e, method)
		}
	}
	return p.work(e, method)
}

// work works a verdict out.
func (p *Profile) work(e *Entry, method string) *policy.Verdict {
	target := e.Target()
	return p.policy.Verdict(&target, method)
}

// listed reports whether an entry is in the profile's lists: there may be a call
// of it that is allowed.
func (p *Profile) listed(e *Entry) bool {
	if barred := p.bars(e); barred != nil {
		return false
	}
	return p.main.on(p, e, e.Kind.Method()).Listed()
}

// numMethods is the number of methods that decisions are made about, and the
// number of bits of Index.plain.
const numMethods = 8

// methodNumbers numbers them.
var methodNumbers = func() map[string]int {
	numbers := make(map[string]int, numMethods)
	for i, method := range policy.Methods() {
		numbers[method] = i
	}
	return numbers
}()

// sortMethods finds out which methods no rule tells from the main one of a kind.
func (x *core) sortMethods() {
	for _, kind := range policy.Kinds() {
		for method, number := range methodNumbers {
			if x.policy.Alike(method, kind.Method()) {
				x.plain[kind] |= 1 << number
			}
		}
	}
}

// visible returns the entries of a list that the profile sees in a scope, in
// order: those that are permitted, and of servers that can be called.
func (p *Profile) visible(what ListKind, server *Server) func(yield func(*Entry) bool) {
	return func(yield func(*Entry) bool) {
		for e := range p.permitted(what, server) {
			if !p.away(e.Server) && !yield(e) {
				return
			}
		}
	}
}

// permitted returns the entries of a list that the policy lets the profile see in
// a scope, in order.
func (p *Profile) permitted(what ListKind, server *Server) func(yield func(*Entry) bool) {
	in := p.index.spans[what]
	switch {
	case server == nil:
	case p.index.servers[server.Name()] == server:
		in = server.spans[what]
	default:
		in = span{} // It is of another index.
	}
	return func(yield func(*Entry) bool) {
		for i := in.from; i < in.to; i++ {
			e := p.index.entries[i]
			if server == nil && e.hidden || !p.listed(e) {
				continue
			}
			if !yield(e) {
				return
			}
		}
	}
}

// away reports whether a server can be called nowhere at the moment. Its endpoint is there all the same, and a call of what
// it has is decided as ever; it is just not listed.
func (p *Profile) away(server *Server) bool {
	if p.overlay == nil {
		return false
	}
	_, away := p.overlay.away[server.Name()]
	return away
}

// Refused reports whether the profile's callers are denied everything by name:
// they are revoked, not merely without a grant.
func (p *Profile) Refused() bool { return p.refusal != nil || p.policy == nil || p.policy.Refused() }

// Sees reports whether the profile's callers may, in some call, use anything that
// the server lists.
func (p *Profile) Sees(server *Server) bool {
	p.resolve()
	return p.seen[server] != 0
}

// Servers returns the servers of a scope that the profile sees: the one, or all
// by name if server is nil. The caller must not change them.
func (p *Profile) Servers(server *Server) []*Server {
	p.resolve()
	switch {
	case server == nil:
		return p.servers
	case p.seen[server] != 0:
		return []*Server{server}
	}
	return nil
}

// resolve works out what is seen of each server, once. Lists and use ask one
// question: may this be called, got, or read? Where conditions wait for the call,
// the list has what some call may use.
func (p *Profile) resolve() { p.resolveSlowly(func() {}) }

func (p *Profile) resolveSlowly(breathe func()) {
	p.once.Do(func() {
		p.seen = make(map[*Server]kindSet)
		for _, e := range p.index.entries {
			breathe()
			if p.listed(e) {
				p.seen[e.Server] |= 1 << e.what
			}
		}
		for _, server := range p.index.order {
			if p.seen[server] != 0 {
				p.servers = append(p.servers, server)
			}
		}
	})
}

// eagerTime bounds for how long verdicts are worked out before the index is put in
// force; the profiles beyond work theirs out as they are asked for.
const eagerTime = time.Second

// prepare works out verdicts ahead of the calls that need them.
func (x *core) prepare(breathe func()) {
	start := time.Now()
	for _, profile := range x.callers.profiles {
		breathe()
		if time.Since(start) > eagerTime {
			return
		}
		profile.resolveSlowly(breathe)
	}
}
