package policy_test

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/warder-gateway/warder/internal/policy"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// The reference: the semantics of the policy, written from its description and not
// from the engine, in the plainest way there is. It is slow and has no indexes,
// profiles or verdicts.

// world is a policy, with conditions as trees.
type world struct {
	rules      []*snapshotv1.Rule
	roles      []*snapshotv1.Role
	denies     []*snapshotv1.Deny
	limits     []*snapshotv1.Limit
	conditions map[string]expression // by the rule's id
}

// answer is what the reference says.
type answer struct {
	allowed bool
	rule    string
	// listed: there may be facts for which it is allowed.
	listed bool
}

func (w *world) decide(r *policy.Request, arguments value) answer {
	if r.Principal == nil {
		return answer{false, "default-deny", false}
	}
	if w.revoked(r) {
		return answer{false, "deny-overlay", false}
	}
	if r.Principal.Servers != nil && !slices.Contains(r.Principal.Servers, r.Server) {
		return answer{false, "key-servers", false}
	}
	scene := sceneOf(r, arguments)
	var decided *answer
	listed, settled := false, false
	for _, rule := range w.inOrder() {
		if !aboutSubject(rule.GetUsers(), rule.GetGroups(), rule.GetRoles(), rule.GetApplications(), r) ||
			len(rule.GetMethods()) > 0 && !slices.Contains(rule.GetMethods(), r.Method) ||
			!aboutTarget(rule, rule.GetEffect() == snapshotv1.Effect_EFFECT_DENY, r) {
			continue
		}
		allows := rule.GetEffect() == snapshotv1.Effect_EFFECT_ALLOW
		condition, conditional := w.conditions[rule.GetId()]
		var result value = true
		if conditional {
			result = condition.value(scene)
		}
		open := conditional && waits(condition)
		if !settled {
			listed = listed || allows && (open || result == true)
			settled = !open && (result == true || result == broken)
		}
		if decided == nil && result == true {
			decided = &answer{allowed: allows, rule: rule.GetId()}
		}
		if decided == nil && result == broken {
			decided = &answer{allowed: false, rule: rule.GetId()}
		}
	}
	role := w.grantedBy(r)
	if !settled && role != "" {
		listed = true
	}
	if decided == nil && role != "" {
		decided = &answer{allowed: true, rule: "role:" + role}
	}
	if decided == nil {
		decided = &answer{allowed: false, rule: "default-deny"}
	}
	decided.listed = listed
	return *decided
}

// waits reports whether a condition waits for the call.
func waits(e expression) bool {
	for _, variable := range e.reads {
		if variable == "arguments" || variable == "client" || variable == "now" {
			return true
		}
	}
	return false
}

// inOrder takes the rule that comes first, again and again.
func (w *world) inOrder() []*snapshotv1.Rule {
	var ordered []*snapshotv1.Rule
	left := slices.Clone(w.rules)
	for len(left) > 0 {
		first := 0
		for i, rule := range left {
			best := left[first]
			denies, bestDenies := rule.GetEffect() == snapshotv1.Effect_EFFECT_DENY, best.GetEffect() == snapshotv1.Effect_EFFECT_DENY
			switch {
			case rule.GetPriority() != best.GetPriority():
				if rule.GetPriority() < best.GetPriority() {
					first = i
				}
			case denies != bestDenies:
				if denies {
					first = i
				}
			case rule.GetId() < best.GetId():
				first = i
			}
		}
		ordered = append(ordered, left[first])
		left = slices.Delete(left, first, first+1)
	}
	return ordered
}

func (w *world) revoked(r *policy.Request) bool {
	for _, deny := range w.denies {
		name, hit := deny.GetName(), false
		switch deny.GetKind() {
		case snapshotv1.DenyKind_DENY_KIND_ALL:
			hit = true
		case snapshotv1.DenyKind_DENY_KIND_KEY:
			hit = name == r.Principal.KeyID
		case snapshotv1.DenyKind_DENY_KIND_USER:
			hit = name == r.Principal.User
		case snapshotv1.DenyKind_DENY_KIND_APPLICATION:
			hit = name == r.Principal.Application
		case snapshotv1.DenyKind_DENY_KIND_SERVER:
			hit = name == r.Server
		case snapshotv1.DenyKind_DENY_KIND_TOOL:
			hit = r.Kind == policy.Tool && name == r.Server+"/"+r.Name
		case snapshotv1.DenyKind_DENY_KIND_TOKEN:
			hit = r.Principal.Issuer != "" && name == r.Principal.Issuer+"/"+r.Principal.TokenID
		}
		if hit {
			return true
		}
	}
	return false
}

// grantedBy returns the first role by name that grants it.
func (w *world) grantedBy(r *policy.Request) string {
	first := ""
	for _, role := range w.roles {
		if !slices.Contains(r.Principal.Roles, role.GetName()) || first != "" && role.GetName() > first {
			continue
		}
		for _, grant := range role.GetGrants() {
			if aboutTarget(grant, false, r) {
				first = role.GetName()
			}
		}
	}
	return first
}

func aboutSubject(users, groups, roles, applications []string, r *policy.Request) bool {
	one := func(list []string, have ...string) bool {
		if len(list) == 0 {
			return true
		}
		for _, name := range have {
			if name != "" && slices.Contains(list, name) {
				return true
			}
		}
		return false
	}
	p := r.Principal
	return one(users, p.User) && one(groups, p.Groups...) && one(roles, p.Roles...) && one(applications, p.Application)
}

// selection is what rules, grants and limits say of targets.
type selection interface {
	GetTools() []string
	GetPrompts() []string
	GetResources() []string
	GetRisks() []snapshotv1.Risk
}

// aboutTarget: strict is for what denies or limits.
func aboutTarget(s selection, strict bool, r *policy.Request) bool {
	if len(s.GetRisks()) > 0 && !aboutRisk(s.GetRisks(), strict, r.Risk) {
		return false
	}
	if len(s.GetTools())+len(s.GetPrompts())+len(s.GetResources()) == 0 {
		return true
	}
	globs := s.GetTools()
	if r.Kind == policy.Prompt {
		globs = s.GetPrompts()
	}
	if r.Kind == policy.Resource {
		globs = s.GetResources()
	}
	for _, glob := range globs {
		if matches(glob, r.Server, r.Name) || strict && r.Kind == policy.Resource && matchesLeniently(glob, r.Server, r.Name) {
			return true
		}
	}
	return false
}

func aboutRisk(list []snapshotv1.Risk, strict bool, category snapshotv1.Risk) bool {
	if category < snapshotv1.Risk_RISK_READ || category > snapshotv1.Risk_RISK_UNCLASSIFIED {
		category = snapshotv1.Risk_RISK_UNCLASSIFIED
	}
	for _, named := range list {
		if named == category || strict && category == snapshotv1.Risk_RISK_UNCLASSIFIED && named != snapshotv1.Risk_RISK_READ {
			return true
		}
	}
	return false
}

// matches compares a glob with a name of a server.
func matches(glob, server, name string) bool {
	if server == "" || name == "" {
		return false
	}
	if glob == "*" || glob == "**" {
		return true
	}
	slug, rest, _ := strings.Cut(glob, "/")
	return wild(slug, server) && wild(rest, name)
}

// wild lets each star stand for any run of characters.
func wild(pattern, text string) bool {
	if pattern == "" {
		return text == ""
	}
	if pattern[0] == '*' {
		return wild(pattern[1:], text) || text != "" && wild(pattern, text[1:])
	}
	return text != "" && pattern[0] == text[0] && wild(pattern[1:], text[1:])
}

// matchesLeniently compares as a server may that decodes what is percent-encoded,
// and does not look at fragments, empty queries and slashes at the end.
func matchesLeniently(glob, server, name string) bool {
	if glob == "*" || glob == "**" {
		return matches(glob, server, name)
	}
	slug, rest, _ := strings.Cut(glob, "/")
	if !strings.Contains(rest, "*") {
		return matches(slug+"/*", server, name) && lenient(rest) == lenient(name)
	}
	if strings.Contains(rest, "#") {
		return false
	}
	decoded, err := url.PathUnescape(rest)
	return err == nil && matches(slug+"/"+decoded, server, lenient(name))
}

func lenient(text string) string {
	text, _, _ = strings.Cut(text, "#")
	if before, query, found := strings.Cut(text, "?"); found && query == "" {
		text = before
	}
	decoded, err := url.PathUnescape(text)
	if err != nil {
		decoded = text
	}
	return strings.TrimRight(decoded, "/")
}

// sceneOf is what conditions see of a request.
func sceneOf(r *policy.Request, arguments value) *scene {
	there := func(fields map[string]value) value {
		for name, v := range fields {
			if list, is := v.([]value); v == "" || is && len(list) == 0 {
				delete(fields, name)
			}
		}
		return fields
	}
	list := func(texts []string) value {
		var values []value
		for _, text := range texts {
			values = append(values, text)
		}
		return values
	}
	p := r.Principal
	s := &scene{map[string]value{
		"principal": there(map[string]value{
			"user": p.User, "groups": list(p.Groups), "roles": list(p.Roles), "application": p.Application, "key": p.KeyID, "issuer": p.Issuer,
		}),
		"tool": there(map[string]value{
			"server": r.Server, "name": r.Name, "kind": []string{"tool", "prompt", "resource"}[r.Kind],
			"risk": []string{"unclassified", "read", "write", "destructive", "admin", "execute", "external", "unclassified"}[r.Risk],
		}),
		"client": there(map[string]value{"name": r.Facts.Client.Name, "version": r.Facts.Client.Version}),
	}}
	if r.Facts.Now != (time.Time{}) {
		s.variables["now"] = r.Facts.Now
	}
	switch r.Method {
	case "tools/call", "prompts/get":
		s.variables["arguments"] = arguments
	case "resources/read":
		s.variables["arguments"] = map[string]value{"uri": r.Name}
	}
	return s
}

// limiting returns the names of the limits that are about a request, in order.
func (w *world) limiting(r *policy.Request) []string {
	var names []string
	for _, limit := range w.limits {
		if aboutSubject(limit.GetUsers(), limit.GetGroups(), limit.GetRoles(), limit.GetApplications(), r) && aboutTarget(limit, true, r) {
			names = append(names, limit.GetName())
		}
	}
	slices.Sort(names)
	return names
}
