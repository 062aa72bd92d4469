package policy

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/risk"
	"github.com/warder-gateway/warder/internal/uri"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// line is a rule or a grant, compiled. A grant is an allow for one role.
type line struct {
	name   string // what Decision.Rule says
	stage  string
	effect snapshotv1.Effect
	reason string // never empty

	users, groups, roles, applications []string
	// globs are those of each kind; without any the line is about everything.
	globs [kinds][]glob
	// folded are the globs of resources of a denial, for URIs that uri.Fold made.
	folded  []glob
	risks   riskSet
	methods []string
	// when is the condition, evaluated after all else; nil if there is none.
	when *condition
	// static is the place of the condition's outcome in a profile, if the caller
	// alone settles it.
	static int
}

// decision is what the line says once it matches.
func (l *line) decision(revision uint64) Decision {
	return Decision{l.effect, l.name, l.reason, revision}
}

// failure is what the line says if its condition cannot be evaluated. It does not
// say why: that might repeat the arguments, which the audit does not hold.
func (l *line) failure(revision uint64) Decision {
	return Decision{
		Effect: snapshotv1.Effect_EFFECT_DENY, Rule: l.name, Revision: revision,
		Reason: fmt.Sprintf("the condition of rule %q could not be evaluated", l.name),
	}
}

// riskSet has a bit for each category; none set means any.
type riskSet uint16

func (s riskSet) has(r snapshotv1.Risk) bool { return s == 0 || s&(1<<risk.Known(r)) != 0 }

// String lists the categories.
func (s riskSet) String() string {
	var names []string
	for _, name := range risk.Names() {
		if r, err := risk.Parse(name); err == nil && s.has(r) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// inOrder compares rules as the package comment orders them.
func inOrder(a, b *snapshotv1.Rule) int {
	return cmp.Or(
		cmp.Compare(a.GetPriority(), b.GetPriority()),
		cmp.Compare(rank(a), rank(b)),
		cmp.Compare(a.GetId(), b.GetId()),
	)
}

// rank puts deny first.
func rank(r *snapshotv1.Rule) int {
	if r.GetEffect() == snapshotv1.Effect_EFFECT_DENY {
		return 0
	}
	return 1
}

// ruleLines compiles rules, in order.
func ruleLines(rules []*snapshotv1.Rule) ([]line, error) {
	ids := make(map[string]bool, len(rules))
	for i, rule := range rules {
		switch id := rule.GetId(); {
		case id == "":
			return nil, fmt.Errorf("rule %d has no id", i+1)
		case ids[id]:
			return nil, fmt.Errorf("two rules have the id %q", id)
		default:
			ids[id] = true
		}
	}
	lines := make([]line, 0, len(rules))
	for _, rule := range slices.SortedFunc(slices.Values(rules), inOrder) {
		l, err := ruleLine(rule)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", rule.GetId(), err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

func ruleLine(rule *snapshotv1.Rule) (line, error) {
	l := line{
		name:         cmp.Or(rule.GetName(), rule.GetId()),
		stage:        StageRule,
		effect:       rule.GetEffect(),
		users:        rule.GetUsers(),
		groups:       rule.GetGroups(),
		roles:        rule.GetRoles(),
		applications: rule.GetApplications(),
		methods:      rule.GetMethods(),
	}
	if err := known(rule); err != nil {
		return line{}, err
	}
	switch l.effect {
	case snapshotv1.Effect_EFFECT_ALLOW:
		l.reason = fmt.Sprintf("rule %q allows it", l.name)
	case snapshotv1.Effect_EFFECT_DENY:
		l.reason = fmt.Sprintf("rule %q denies it", l.name)
	default:
		return line{}, fmt.Errorf("effect %d is neither allow nor deny", l.effect)
	}
	l.reason = cmp.Or(rule.GetReason(), l.reason)
	if err := nameIsFree(l.name); err != nil {
		return line{}, err
	}
	if text := rule.GetWhen(); text != "" {
		when, err := compileCondition(text)
		if err != nil {
			return line{}, fmt.Errorf("condition: %w", err)
		}
		l.when = when
	}
	return l, l.selects([kinds][]string{rule.GetTools(), rule.GetPrompts(), rule.GetResources()}, rule.GetRisks())
}

// nameIsFree refuses names that would make an audit record say that something
// else decided.
func nameIsFree(name string) error {
	if name == RuleDefaultDeny || name == RuleDenyOverlay || name == RuleKeyServers || name == RuleDrift ||
		strings.HasPrefix(name, RuleRolePrefix) || strings.HasPrefix(name, RuleLimitPrefix) {
		return fmt.Errorf("the name %q is reserved", name)
	}
	return nil
}

// risky are the categories that unclassified stands for where something is denied
// or limited: what nobody classified may be any of them.
const risky riskSet = 1<<snapshotv1.Risk_RISK_WRITE | 1<<snapshotv1.Risk_RISK_DESTRUCTIVE |
	1<<snapshotv1.Risk_RISK_ADMIN | 1<<snapshotv1.Risk_RISK_EXECUTE | 1<<snapshotv1.Risk_RISK_EXTERNAL

// selects compiles globs and categories into the line and checks all lists.
func (l *line) selects(globs [kinds][]string, risks []snapshotv1.Risk) error {
	for _, list := range [...][]string{l.users, l.groups, l.roles, l.applications, l.methods} {
		// It would match whoever lacks the attribute.
		if slices.Contains(list, "") {
			return errors.New("one of its lists has an empty entry")
		}
	}
	for kind, texts := range globs {
		for _, text := range texts {
			g, err := parseGlob(Kind(kind), text)
			if err != nil {
				return err
			}
			l.globs[kind] = append(l.globs[kind], g)
			if Kind(kind) == Resource && l.effect == snapshotv1.Effect_EFFECT_DENY {
				l.folded = append(l.folded, g.folded())
			}
		}
	}
	for _, r := range risks {
		if r != risk.Known(r) {
			return fmt.Errorf("risk category %d is not known", r)
		}
		l.risks |= 1 << r
	}
	if l.effect == snapshotv1.Effect_EFFECT_DENY && l.risks&risky != 0 {
		l.risks |= 1 << snapshotv1.Risk_RISK_UNCLASSIFIED
	}
	return nil
}

// grantLines compiles roles, by name.
func grantLines(roles []*snapshotv1.Role) ([]line, error) {
	sorted := slices.SortedFunc(slices.Values(roles), func(a, b *snapshotv1.Role) int {
		return cmp.Compare(a.GetName(), b.GetName())
	})
	var lines []line
	for i, role := range sorted {
		switch {
		case role.GetName() == "":
			return nil, errors.New("a role has no name")
		case i > 0 && sorted[i-1].GetName() == role.GetName():
			return nil, fmt.Errorf("two roles have the name %q", role.GetName())
		}
		if err := known(role); err != nil {
			return nil, fmt.Errorf("role %q: %w", role.GetName(), err)
		}
		for _, grant := range role.GetGrants() {
			l, err := grantLine(role.GetName(), grant)
			if err != nil {
				return nil, fmt.Errorf("role %q: %w", role.GetName(), err)
			}
			lines = append(lines, l)
		}
	}
	return lines, nil
}

func grantLine(role string, grant *snapshotv1.Grant) (line, error) {
	if grant == nil {
		return line{}, errors.New("a grant is missing")
	}
	if err := known(grant); err != nil {
		return line{}, err
	}
	l := line{
		name:   RuleRolePrefix + role,
		stage:  StageRole,
		effect: snapshotv1.Effect_EFFECT_ALLOW,
		reason: fmt.Sprintf("role %q grants it", role),
		roles:  []string{role},
	}
	return l, l.selects([kinds][]string{grant.GetTools(), grant.GetPrompts(), grant.GetResources()}, grant.GetRisks())
}

// everything reports whether the line has no glob of any kind.
func (l *line) everything() bool {
	for kind := range l.globs {
		if len(l.globs[kind]) > 0 {
			return false
		}
	}
	return true
}

// matchesTarget reports whether one of the line's globs for the kind matches, or
// the line is about everything.
func (l *line) matchesTarget(t *Target) bool {
	for i := range l.globs[t.Kind] {
		if l.matchesGlob(i, t) {
			return true
		}
	}
	return l.everything()
}

// matchesGlob reports whether the i-th glob for the target's kind matches. One that
// denies a resource also does by what a lenient server may take its URI for.
func (l *line) matchesGlob(i int, t *Target) bool {
	return l.globs[t.Kind][i].matches(t.Server, t.Name) ||
		t.Kind == Resource && len(l.folded) > 0 && l.folded[i].matches(t.Server, uri.Fold(t.Name))
}

func (l *line) matchesMethod(method string) bool {
	return len(l.methods) == 0 || slices.Contains(l.methods, method)
}

// known refuses a message with a field that this build does not know: it may be
// a condition, and a condition that is passed over allows too much.
func known(m proto.Message) error {
	if len(m.ProtoReflect().GetUnknown()) > 0 {
		return errors.New("it has a field that this version does not know; nodes are upgraded before the control plane")
	}
	return nil
}
