package gate

import (
	"sync"
	"sync/atomic"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Profile is a set of callers whom the policy cannot tell apart, and what it
// says to them of each entry. It is safe for concurrent use.
type Profile struct {
	index  *Index
	policy *policy.Profile

	main  table            // on the main method of each entry
	other [numMethods]memo // on a method, where rules tell it from the main ones

	once    sync.Once
	seen    map[*Server]kindSet
	servers []*Server // those that are seen, in order

	mu    sync.Mutex
	views map[*Server]*view // by scope; nil is the aggregate
	lists map[listKey]*List
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

// nobody is the profile of a key that is not of the index at hand.
var nobody = &Profile{index: &Index{}}

// Decide returns what the policy says to a key's caller of doing something with
// an entry, by a method of policy.Methods. It is a look-up, except that for what
// is not listed it is worked out, and that a denial for want of a rule is put into
// words that name caller and entry. A key or an entry of another index is denied.
func (x *Index) Decide(key *credential.Key, e *Entry, method string) policy.Decision {
	profile := x.Profile(key)
	if profile == nobody || e == nil || e.index != x {
		return mixed
	}
	decision := profile.decide(e, method)
	if decision.Rule != policy.RuleDefaultDeny {
		return decision
	}
	return policy.Decide(x.policy, &policy.Request{Principal: key.Principal, Method: method, Target: e.target()})
}

// mixed is the answer where key, entry and index do not belong together.
var mixed = policy.Decision{
	Effect: snapshotv1.Effect_EFFECT_DENY,
	Rule:   policy.RuleDenyOverlay,
	Reason: "caller and target belong to different revisions",
}

// target is what the policy is asked about.
func (e *Entry) target() policy.Target {
	return policy.Target{Kind: e.Kind, Server: e.Server.Name(), Name: e.Name, Risk: e.Risk}
}

func (p *Profile) decide(e *Entry, method string) policy.Decision {
	if e.number >= 0 {
		if method == e.Kind.Method() {
			return *p.verdict(e.number)
		}
		if number, known := methodNumbers[method]; known {
			if p.index.plain[e.Kind]&(1<<number) != 0 {
				return *p.verdict(e.number)
			}
			return p.other[number].on(p, e, method)
		}
	}
	target := e.target()
	return p.policy.Decide(&target, method)
}

// verdict returns what is said of the main method of an entry.
func (p *Profile) verdict(number int) *policy.Decision {
	p.decideAll(func() {})
	return &p.main.decisions[p.main.verdicts[number]]
}

// table is what the policy says of the main method of each entry, worked out at
// once.
type table struct {
	once      sync.Once
	verdicts  []uint32          // by Entry.number, into decisions
	decisions []policy.Decision // each one once
}

func (p *Profile) decideAll(breathe func()) {
	p.main.once.Do(func() { p.main.fill(p, breathe) })
}

func (t *table) fill(p *Profile, breathe func()) {
	numbers := make(map[policy.Decision]uint32)
	verdicts := make([]uint32, len(p.index.entries))
	for i, e := range p.index.entries {
		breathe()
		target := e.target()
		decision := p.policy.Decide(&target, e.Kind.Method())
		number, ok := numbers[decision]
		if !ok {
			number = uint32(len(t.decisions))
			numbers[decision] = number
			t.decisions = append(t.decisions, decision)
		}
		verdicts[i] = number
	}
	t.verdicts = verdicts
}

// memo is what the policy said of one method, entry by entry as they were asked
// about.
type memo struct {
	once  sync.Once
	slots []atomic.Uint32 // by Entry.number: 1 + the place in decisions, or 0

	decisions atomic.Pointer[[]policy.Decision] // each one once; only ever grows

	mu      sync.Mutex // of those who add to it
	numbers map[policy.Decision]uint32
}

// on returns the decision about an entry.
func (m *memo) on(p *Profile, e *Entry, method string) policy.Decision {
	m.once.Do(func() { m.slots = make([]atomic.Uint32, len(p.index.entries)) })
	if place := m.slots[e.number].Load(); place != 0 {
		return (*m.decisions.Load())[place-1]
	}
	target := e.target()
	decision := p.policy.Decide(&target, method)
	m.keep(e.number, decision)
	return decision
}

// keep makes the decision seen before the slot that points to it.
func (m *memo) keep(number int, decision policy.Decision) {
	m.mu.Lock()
	defer m.mu.Unlock()
	place, known := m.numbers[decision]
	if !known {
		var all []policy.Decision
		if m.numbers == nil {
			m.numbers = make(map[policy.Decision]uint32)
		} else {
			all = *m.decisions.Load()
		}
		all = append(all, decision)
		m.decisions.Store(&all)
		place = uint32(len(all))
		m.numbers[decision] = place
	}
	m.slots[number].Store(place)
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
func (x *Index) sortMethods() {
	for _, kind := range policy.Kinds() {
		for method, number := range methodNumbers {
			if x.policy.Alike(method, kind.Method()) {
				x.plain[kind] |= 1 << number
			}
		}
	}
}

// visible returns the entries of a list that the profile sees in a scope, in
// order.
func (p *Profile) visible(what ListKind, server *Server) func(yield func(*Entry) bool) {
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
			if server == nil && e.hidden || !p.verdict(i).Allowed() {
				continue
			}
			if !yield(e) {
				return
			}
		}
	}
}

// Refused reports whether the profile's callers are denied everything by name:
// they are revoked, not merely without a grant.
func (p *Profile) Refused() bool { return p.policy == nil || p.policy.Refused() }

// Sees reports whether the profile's callers may use anything that the server
// lists.
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
// question: may this be called, got, or read?
func (p *Profile) resolve() { p.resolveSlowly(func() {}) }

func (p *Profile) resolveSlowly(breathe func()) {
	p.once.Do(func() {
		p.decideAll(breathe)
		p.seen = make(map[*Server]kindSet)
		for i, e := range p.index.entries {
			breathe()
			if p.verdict(i).Allowed() {
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

// eagerDecisions bounds how many verdicts are worked out before the index is
// put in force, about a second's worth; the profiles beyond work theirs out at
// their first call.
const eagerDecisions = 2_000_000

// prepare works out verdicts ahead of the calls that need them.
func (x *Index) prepare(breathe func()) {
	budget := eagerDecisions
	done := make(map[*Profile]bool)
	for _, profile := range x.profiles {
		breathe()
		if done[profile] {
			continue
		}
		if budget -= len(x.entries); budget < 0 {
			return
		}
		profile.resolveSlowly(breathe)
		done[profile] = true
	}
}
