package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/warder-gateway/warder/internal/risk"
)

// The stages of a decision, in order. Governance says here what the key is good
// for; the control plane also says it of tools that no snapshot holds.
const (
	StageOverlay    = "overlay"
	StageGovernance = "governance"
	StageRule       = "rule"
	StageRole       = "role"
	StageDefault    = "default"
)

// Step is one line of the path to a decision.
type Step struct {
	Stage string
	// Name is that of the rule or the role; empty in the other stages.
	Name    string
	Matched bool
	// Open says that it depends on facts that the request does not have. Whether it
	// matched is as if they were absent.
	Open bool
	// Detail says, for people, why it did or did not match.
	Detail string
}

// Explain decides like Decide and says what was looked at on the way: each rule
// up to the one that matched, then the caller's roles. It walks through the
// lines one by one, without the index that Decide uses; the tests hold both to
// the same answers.
func Explain(set *Set, r *Request) (Decision, []Step) {
	if set == nil || r == nil || r.Principal == nil || r.Kind >= kinds {
		decision := Decide(set, r)
		return decision, []Step{{Stage: StageDefault, Matched: true, Detail: decision.Reason}}
	}
	if reason := set.overlay.reason(r); reason != "" {
		return set.deny(RuleDenyOverlay, reason), []Step{{Stage: StageOverlay, Matched: true, Detail: reason}}
	}
	steps := []Step{{Stage: StageOverlay, Detail: "nothing revokes the key, user, application or server, nor a tool by name"}}
	if reason := outsideKey(r.Principal, &r.Target); reason != "" {
		return set.deny(RuleKeyServers, reason), append(steps, Step{Stage: StageGovernance, Name: RuleKeyServers, Matched: true, Detail: reason})
	}
	open := newEvaluation(r.Principal, &r.Target, r.Method, &r.Facts)
	for i := range set.lines {
		l := &set.lines[i]
		if l.stage == StageRole && !slices.Contains(r.Principal.Roles, l.roles[0]) {
			continue // the roles of others are nobody's business
		}
		step := Step{Stage: l.stage, Name: strings.TrimPrefix(l.name, RuleRolePrefix), Detail: l.mismatch(r)}
		if step.Detail != "" {
			steps = append(steps, step)
			continue
		}
		step.Open = l.when != nil && l.when.reads&r.missing() != 0
		outcome, err := l.holds(open)
		switch outcome {
		case yes:
			step.Matched, step.Detail = true, l.reason
			return l.decision(set.revision), append(steps, step)
		case no:
			step.Detail = "its condition is not satisfied: " + l.when.text
			steps = append(steps, step)
		default:
			step.Matched, step.Detail = true, fmt.Sprintf("its condition could not be evaluated: %v", err)
			return l.failure(set.revision), append(steps, step)
		}
	}
	decision := set.deny(RuleDefaultDeny, r.unmatched())
	return decision, append(steps, Step{Stage: StageDefault, Matched: true, Detail: decision.Reason})
}

// holds evaluates the condition of a line. Those that are settled before a call do
// not count towards what the open ones may cost.
func (l *line) holds(open *evaluation) (outcome, error) {
	switch {
	case l.when == nil:
		return yes, nil
	case l.when.open():
		return l.when.evaluate(open)
	}
	return l.when.evaluate(newEvaluation(open.principal, open.target, open.method, nil))
}

// missing returns the facts that the request could have and does not.
func (r *Request) missing() reads {
	var missing reads
	if r.Facts.Arguments == nil && hasArguments(r.Method) && r.Method != MethodRead {
		missing |= readsArguments
	}
	if r.Facts.Client == (Client{}) {
		missing |= readsClient
	}
	if r.Facts.Now.IsZero() {
		missing |= readsNow
	}
	return missing
}

// reason returns why the overlay denies a request, or "".
func (o *overlay) reason(r *Request) string {
	if reason := o.caller(r.Principal); reason != "" {
		return reason
	}
	return o.target(&r.Target)
}

// mismatch returns the first reason why a line does not match, or "".
func (l *line) mismatch(r *Request) string {
	p := r.Principal
	switch {
	case !names(l.users, p.User):
		return outside("user", "users", l.users, p.User)
	case !namesAny(l.groups, p.Groups):
		return outside("groups", "groups", l.groups, p.Groups...)
	case !namesAny(l.roles, p.Roles):
		return outside("roles", "roles", l.roles, p.Roles...)
	case !names(l.applications, p.Application):
		return outside("application", "applications", l.applications, p.Application)
	case len(l.globs[r.Kind]) == 0 && !l.everything():
		return fmt.Sprintf("it says nothing of %ss", r.Kind)
	case !l.matchesTarget(&r.Target):
		return fmt.Sprintf("no glob of its %ss matches %s", r.Kind, &r.Target)
	case !l.risks.has(r.Risk):
		return fmt.Sprintf("it is about %ss that are %s; this one is %s", r.Kind, l.risks, risk.Name(r.Risk))
	case !l.matchesMethod(r.Method):
		return outside("method", "methods", l.methods, r.Method)
	}
	return ""
}

// outside says that an attribute is absent, or not in a list.
func outside(what, field string, list []string, have ...string) string {
	have = slices.DeleteFunc(slices.Clone(have), func(name string) bool { return name == "" })
	if len(have) == 0 {
		return fmt.Sprintf("it is about %s %s; the request has no %s", field, few(list), what)
	}
	return fmt.Sprintf("it is about %s %s; the request has %s %s", field, few(list), what, few(have))
}

// few lists names, cut after some.
func few(names []string) string {
	const most = 8
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
