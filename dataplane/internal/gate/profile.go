package gate

import (
	"sync"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Profile is a set of callers whom the policy cannot tell apart, and what it
// says to them of each tool. It is safe for concurrent use.
type Profile struct {
	index  *Index
	policy *policy.Profile

	once      sync.Once
	verdicts  []uint32          // by Tool.index, into decisions
	decisions []policy.Decision // each one once
	visible   []*Tool           // allowed, in the order of lists
	scopes    map[*Server]bool  // servers with a visible tool

	mu    sync.Mutex
	lists map[*Server]*List // by scope; nil is the aggregate
}

// nobody is the profile of a key that is not of the index at hand.
var nobody = &Profile{index: &Index{}}

// Decide returns what the policy says to a key's caller of calling a tool. It
// is a look-up, except that a denial for want of a rule is put into words that
// name caller and tool. A key or a tool of another index is denied.
func (x *Index) Decide(key *credential.Key, tool *Tool) policy.Decision {
	decision := x.Profile(key).decide(tool)
	if decision.Rule != policy.RuleDefaultDeny || x.policy == nil {
		return decision
	}
	return policy.Decide(x.policy, &policy.Request{
		Principal: key.Principal,
		Method:    policy.MethodCall,
		Server:    tool.Server.Name(),
		Tool:      tool.Name(),
		Risk:      tool.Risk,
	})
}

// mixed is the answer where key, tool and index do not belong together.
var mixed = policy.Decision{
	Effect: snapshotv1.Effect_EFFECT_DENY,
	Rule:   policy.RuleDenyOverlay,
	Reason: "caller and tool belong to different revisions",
}

func (p *Profile) decide(tool *Tool) policy.Decision {
	p.resolve()
	if i := tool.index; i < len(p.verdicts) && p.index.tools[i] == tool {
		return p.decisions[p.verdicts[i]]
	}
	return mixed
}

// Sees reports whether the profile's callers may call any tool of the server.
func (p *Profile) Sees(server *Server) bool {
	p.resolve()
	return p.scopes[server]
}

// resolve works out all verdicts, once.
func (p *Profile) resolve() { p.once.Do(p.decideAll) }

// decideAll asks one question for lists and calls alike: may this be called?
func (p *Profile) decideAll() {
	numbers := make(map[policy.Decision]uint32)
	verdicts := make([]uint32, len(p.index.tools))
	p.scopes = make(map[*Server]bool)
	for i, tool := range p.index.tools {
		decision := p.policy.Decide(tool.Server.Name(), tool.Name(), tool.Risk, policy.MethodCall)
		number, ok := numbers[decision]
		if !ok {
			number = uint32(len(p.decisions))
			numbers[decision] = number
			p.decisions = append(p.decisions, decision)
		}
		verdicts[i] = number
		if decision.Allowed() {
			p.visible = append(p.visible, tool)
			p.scopes[tool.Server] = true
		}
	}
	p.verdicts = verdicts
}

// eagerDecisions bounds how many verdicts are worked out before the index is
// put in force, about a second's worth; the profiles beyond work theirs out at
// their first call.
const eagerDecisions = 2_000_000

// prepare works out verdicts ahead of the calls that need them.
func (x *Index) prepare() {
	budget := eagerDecisions
	done := make(map[*Profile]bool)
	for _, profile := range x.profiles {
		if done[profile] {
			continue
		}
		if budget -= len(x.tools); budget < 0 {
			return
		}
		profile.resolve()
		done[profile] = true
	}
}
