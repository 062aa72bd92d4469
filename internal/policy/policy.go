package policy

import (
	"cmp"
	"fmt"
	"slices"
	"sync"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// What Decision.Rule says where no rule decided.
const (
	RuleDefaultDeny = "default-deny"
	RuleDenyOverlay = "deny-overlay"
	// RuleKeyServers: the key is not good for the server.
	RuleKeyServers = "key-servers"
	// RuleDrift: the server has another definition by now than was approved, or may
	// have; a node found out before the catalogue did. No decision of this package has
	// it.
	RuleDrift = "definition-changed"
	// RuleRolePrefix stands before the name of a role whose grant decided.
	RuleRolePrefix = "role:"
	// RuleLimitPrefix stands before the name of a limit that refused a call which
	// the policy allowed. No decision of this package has it.
	RuleLimitPrefix = "limit:"
)

// Request is what is decided on. An empty field is an absent attribute.
type Request struct {
	// Principal is the verified caller; without one the answer is deny.
	Principal *principal.Principal
	// Method is the MCP method.
	Method string
	Target
	// Facts are what conditions see of the call.
	Facts Facts
}

// Decision is the answer. The zero value denies.
type Decision struct {
	Effect snapshotv1.Effect
	// Rule is the name of the rule that decided, "role:" and the name of a role,
	// or one of the built-in names.
	Rule string
	// Reason may be shown to the caller.
	Reason string
	// Revision is that of the set which decided.
	Revision uint64
}

// Allowed reports whether the effect is allow; everything else is deny.
func (d Decision) Allowed() bool { return d.Effect == snapshotv1.Effect_EFFECT_ALLOW }

// Set is a compiled policy at a revision. It is immutable as far as anyone can
// see, and safe for concurrent use; inside it remembers profiles.
type Set struct {
	revision uint64
	lines    []line // rules in order, then grants by role
	overlay  overlay
	subjects subjects
	methods  map[string][]int // lines that name a method, in order
	limits   []limit
	// closed has the verdict for each line, and at the end the one for no line.
	closed []Verdict
	// settled are the lines whose condition the caller alone settles, by line.static.
	settled []int
	// reads is what static conditions look at, tells what they look at together with
	// the target: in that, callers of one profile do not differ.
	reads, tells reads
	// byArguments says that a condition looks at arguments, which not all methods have.
	byArguments bool

	mu sync.RWMutex
	// profiles holds at most maxProfiles; beyond that, profiles are made anew
	// for each caller and forgotten. The names are of what the set sees of callers;
	// alike has the same profiles, by what matters of that.
	profiles, alike map[string]*Profile
	nobody          *Profile
}

// Compile makes a set. The order of the lists does not matter. It fails on
// everything that it does not know: an effect, a category, a kind of deny, a
// field, a variable of a condition; and on what cannot be told apart or can match
// nothing. A node answers a failure with a nack. The error is fault.Invalid and
// names rule, role or limit.
func Compile(
	revision uint64, rules []*snapshotv1.Rule, roles []*snapshotv1.Role, denies []*snapshotv1.Deny, limits ...*snapshotv1.Limit,
) (*Set, error) {
	set := &Set{revision: revision, profiles: map[string]*Profile{}, alike: map[string]*Profile{}}
	grants, err := grantLines(roles)
	if err == nil {
		set.lines, err = ruleLines(rules)
	}
	if err == nil {
		set.overlay, err = compileOverlay(denies)
	}
	if err == nil {
		set.limits, err = compileLimits(limits)
	}
	if err != nil {
		return nil, fault.New(fault.Invalid, err.Error())
	}
	set.lines = append(set.lines, grants...)
	if err := set.sortConditions(); err != nil {
		return nil, fault.New(fault.Invalid, err.Error())
	}
	set.subjects = indexSubjects(set.lines, &set.overlay, set.limits)
	set.methods = indexMethods(set.lines)
	set.closeVerdicts()
	set.nobody = set.refuse(RuleDefaultDeny, "there is no verified caller")
	return set, nil
}

// sortConditions finds out what the conditions look at.
func (s *Set) sortConditions() error {
	count := 0
	for i := range s.lines {
		l := &s.lines[i]
		if l.when == nil {
			continue
		}
		if count++; count > MaxConditions {
			return fmt.Errorf("more than %d rules have a condition", MaxConditions)
		}
		s.byArguments = s.byArguments || l.when.reads&readsArguments != 0
		if l.when.open() {
			continue // It is evaluated on the caller himself.
		}
		s.reads |= l.when.reads & readsPrincipal
		if !l.when.ofCaller() {
			s.tells |= l.when.reads & readsPrincipal
			continue
		}
		l.static = len(s.settled)
		s.settled = append(s.settled, i)
	}
	return nil
}

func indexMethods(lines []line) map[string][]int {
	methods := map[string][]int{}
	for i := range lines {
		for _, name := range lines[i].methods {
			if named := methods[name]; len(named) == 0 || named[len(named)-1] != i {
				methods[name] = append(named, i)
			}
		}
	}
	return methods
}

// Revision returns the revision that the set was compiled at.
func (s *Set) Revision() uint64 { return s.revision }

// Alike reports whether no rule tells two methods apart: every caller gets the
// same decision on any target for either, but for the text of a default deny.
func (s *Set) Alike(a, b string) bool {
	return slices.Equal(s.methods[a], s.methods[b]) && (!s.byArguments || argumentsOf(a) == argumentsOf(b))
}

// argumentsOf returns a method that stands for all whose requests have the same
// arguments.
func argumentsOf(method string) string {
	switch {
	case method == MethodGet:
		return MethodCall
	case hasArguments(method):
		return method
	}
	return ""
}

// Decide answers a request. It differs from the verdict of the caller's profile
// only in that the text of a default deny names caller and target. A nil set denies.
func Decide(set *Set, r *Request) Decision {
	if set == nil || r == nil {
		return Decision{Effect: snapshotv1.Effect_EFFECT_DENY, Rule: RuleDefaultDeny, Reason: "no policy is loaded"}
	}
	decision := set.Profile(r.Principal).Verdict(&r.Target, r.Method).Decide(r.Principal, &r.Target, &r.Facts)
	return r.InWords(decision)
}

// InWords returns the decision on the request that its caller's profile gave, with
// the text of Decide.
func (r *Request) InWords(decision Decision) Decision {
	if decision.Rule == RuleDefaultDeny && r.Principal != nil {
		decision.Reason = r.unmatched()
	}
	return decision
}

// unmatched is the reason of a default deny in the words that fit every caller
// and target, so that a table of decisions holds it once.
const unmatched = "no rule and no role of the caller allows this"

// unmatched names caller and target, and the method if it is not the main one.
func (r *Request) unmatched() string {
	user, target := cmp.Or(r.Principal.User, "the caller"), "this request"
	if r.Server != "" && r.Name != "" {
		target = r.Target.String()
		if r.Method != r.Kind.Method() && r.Method != "" {
			target = r.Method + " for " + target
		}
	}
	return fmt.Sprintf("no rule and no role of %s allows %s", user, target)
}

func (s *Set) deny(rule, reason string) Decision {
	return Decision{Effect: snapshotv1.Effect_EFFECT_DENY, Rule: rule, Reason: reason, Revision: s.revision}
}
