package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

const (
	allow = snapshotv1.Effect_EFFECT_ALLOW
	deny  = snapshotv1.Effect_EFFECT_DENY

	read         = snapshotv1.Risk_RISK_READ
	write        = snapshotv1.Risk_RISK_WRITE
	destructive  = snapshotv1.Risk_RISK_DESTRUCTIVE
	unclassified = snapshotv1.Risk_RISK_UNCLASSIFIED
)

// rules reads rules the way people write them.
func rules(t testing.TB, text string) []*snapshotv1.Rule {
	t.Helper()
	document, err := policy.ParseDocument([]byte("rules:\n" + text))
	if err != nil {
		t.Fatal(err)
	}
	return document.Rules
}

func compile(t testing.TB, rules []*snapshotv1.Rule, denies ...*snapshotv1.Deny) *policy.Set {
	t.Helper()
	set, err := policy.Compile(7, rules, policy.BuiltInRoles(), denies)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// ana is a developer with the role of an operator, who calls with cursor.
func ana() *principal.Principal {
	return &principal.Principal{
		User: "ana", Groups: []string{"web"}, Roles: []string{"operator", "developer"}, Application: "cursor", KeyID: "k1",
	}
}

func call(p *principal.Principal, tool string, category snapshotv1.Risk) *policy.Request {
	server, name, _ := strings.Cut(tool, "/")
	return &policy.Request{Principal: p, Method: policy.MethodCall, Target: policy.Target{Server: server, Name: name, Risk: category}}
}

func TestDecisionFollowsTheOrderOfStages(t *testing.T) {
	const book = `
  - {name: b-allow, priority: 10, effect: allow, tools: ["github/*"]}
  - {name: a-deny, priority: 10, effect: deny, tools: ["github/delete_*"], reason: No deletes}
  - {name: first, priority: -5, effect: allow, tools: ["github/delete_draft"]}
  - {name: nobody-mails, priority: 20, effect: deny, tools: ["mail/*"]}
  - {name: a-second, priority: 30, effect: deny, tools: ["tie/*"]}
  - {name: b-second, priority: 30, effect: deny, tools: ["tie/x"]}
`
	for _, test := range []struct {
		why, tool string
		risk      snapshotv1.Risk
		denies    []*snapshotv1.Deny
		want      policy.Decision
	}{
		{"a rule allows what no role grants", "github/x", destructive, nil,
			policy.Decision{Effect: allow, Rule: "b-allow", Reason: `rule "b-allow" allows it`}},
		{"deny comes before allow at one priority, whatever the ids", "github/delete_x", read, nil,
			policy.Decision{Effect: deny, Rule: "a-deny", Reason: "No deletes"}},
		{"the lower priority comes first", "github/delete_draft", destructive, nil,
			policy.Decision{Effect: allow, Rule: "first", Reason: `rule "first" allows it`}},
		{"a rule denies what a role grants", "mail/read", read, nil,
			policy.Decision{Effect: deny, Rule: "nobody-mails", Reason: `rule "nobody-mails" denies it`}},
		{"then the id decides", "tie/x", read, nil,
			policy.Decision{Effect: deny, Rule: "a-second", Reason: `rule "a-second" denies it`}},
		{"a role grants", "files/read", read, nil,
			policy.Decision{Effect: allow, Rule: "role:operator", Reason: `role "operator" grants it`}},
		{"otherwise deny", "files/nuke", destructive, nil,
			policy.Decision{Effect: deny, Rule: policy.RuleDefaultDeny, Reason: "no rule and no role of ana allows files/nuke"}},
		{"the overlay comes before all", "github/delete_draft", read,
			[]*snapshotv1.Deny{{Kind: snapshotv1.DenyKind_DENY_KIND_TOOL, Name: "github/delete_draft"}},
			policy.Decision{Effect: deny, Rule: policy.RuleDenyOverlay, Reason: "access to tool github/delete_draft is revoked"}},
	} {
		t.Run(test.why, func(t *testing.T) {
			set := compile(t, rules(t, book), test.denies...)
			request := call(ana(), test.tool, test.risk)
			test.want.Revision = 7
			if diff := cmp.Diff(test.want, policy.Decide(set, request)); diff != "" {
				t.Error(diff)
			}
			explained, steps := policy.Explain(set, request)
			if diff := cmp.Diff(test.want, explained); diff != "" {
				t.Errorf("explained: %s", diff)
			}
			last := steps[len(steps)-1]
			if !last.Matched || last.Detail != test.want.Reason {
				t.Errorf("the last step is %+v", last)
			}
		})
	}
}

func TestOverlayDeniesEachKindAndNothingElse(t *testing.T) {
	for kind, name := range map[snapshotv1.DenyKind]string{
		snapshotv1.DenyKind_DENY_KIND_KEY:         "k1",
		snapshotv1.DenyKind_DENY_KIND_USER:        "ana",
		snapshotv1.DenyKind_DENY_KIND_APPLICATION: "cursor",
		snapshotv1.DenyKind_DENY_KIND_SERVER:      "github",
		snapshotv1.DenyKind_DENY_KIND_TOOL:        "github/repos/get",
		snapshotv1.DenyKind_DENY_KIND_ALL:         "",
	} {
		request := call(ana(), "github/repos/get", read)
		hit := compile(t, nil, &snapshotv1.Deny{Kind: kind, Name: name, Reason: "lost laptop"})
		want := policy.Decision{Effect: deny, Rule: policy.RuleDenyOverlay, Reason: "lost laptop", Revision: 7}
		if got := policy.Decide(hit, request); got != want {
			t.Errorf("%v: %+v", kind, got)
		}
		if got, _ := policy.Explain(hit, request); got != want {
			t.Errorf("%v explained: %+v", kind, got)
		}
		if got := policy.Decide(compile(t, nil, &snapshotv1.Deny{Kind: kind, Name: name}), request); got.Allowed() || got.Reason == "" {
			t.Errorf("%v without a reason: %+v", kind, got)
		}
		if kind == snapshotv1.DenyKind_DENY_KIND_ALL {
			continue
		}
		miss := compile(t, nil, &snapshotv1.Deny{Kind: kind, Name: "other/other"})
		if got := policy.Decide(miss, request); !got.Allowed() {
			t.Errorf("%v of another: %+v", kind, got)
		}
	}
}

// security.md 6.6: unknown decisions became allow, and a rule with an
// application matched callers without one.
func TestAbsentAttributeSatisfiesNoCondition(t *testing.T) {
	stranger := &principal.Principal{}
	for _, condition := range []string{
		"users: [ana]", "groups: [web]", "roles: [developer]", "applications: [cursor]", "tools: ['*']", "methods: [tools/call]",
	} {
		set := compile(t, rules(t, "  - {name: r, effect: allow, "+condition+"}"))
		if got := policy.Decide(set, &policy.Request{Principal: stranger}); got.Allowed() {
			t.Errorf("%s matches a request without it: %+v", condition, got)
		}
		if got := policy.Decide(set, call(ana(), "s/t", unclassified)); !got.Allowed() {
			t.Errorf("%s does not match a request with it: %+v", condition, got)
		}
	}
}

func TestRuleMatchesOnlyIfEachListDoes(t *testing.T) {
	const rule = `  - {name: r, effect: allow, users: [ana, bo], groups: [web, ops], roles: [developer], applications: [cursor],
     tools: ["git*/get_*", "x/y"], risk: [destructive, write], methods: [tools/call]}`
	set := compile(t, rules(t, rule))
	base := func(change func(*policy.Request)) *policy.Request {
		r := call(&principal.Principal{User: "bo", Groups: []string{"hr", "ops"}, Roles: []string{"developer"}, Application: "cursor"}, "github/get_x", destructive)
		change(r)
		return r
	}
	if got := policy.Decide(set, base(func(*policy.Request) {})); got.Rule != "r" {
		t.Fatalf("does not match: %+v", got)
	}
	for why, request := range map[string]*policy.Request{
		"user":        base(func(r *policy.Request) { r.Principal.User = "cleo" }),
		"groups":      base(func(r *policy.Request) { r.Principal.Groups = []string{"hr"} }),
		"roles":       base(func(r *policy.Request) { r.Principal.Roles = []string{"Developer"} }),
		"application": base(func(r *policy.Request) { r.Principal.Application = "claude" }),
		"tools":       base(func(r *policy.Request) { r.Name = "Get_x" }),
		"tools that":  base(func(r *policy.Request) { r.Risk = read }),
		"method":      base(func(r *policy.Request) { r.Method = "tools/list" }),
	} {
		if got := policy.Decide(set, request); got.Rule != policy.RuleDefaultDeny {
			t.Errorf("%s: matches", why)
		}
		_, steps := policy.Explain(set, request)
		if !slices.ContainsFunc(steps, func(s policy.Step) bool { return s.Name == "r" && !s.Matched && strings.Contains(s.Detail, why) }) {
			t.Errorf("%s: not explained: %+v", why, steps)
		}
	}
}

func TestUnknownCategoryCountsAsUnclassified(t *testing.T) {
	set := compile(t, rules(t, `  - {name: strange, effect: deny, risk: [unclassified]}`))
	owner := &principal.Principal{User: "root", Roles: []string{"owner"}}
	for _, category := range []snapshotv1.Risk{0, unclassified, 8, 4711, -1} {
		if got := policy.Decide(set, call(owner, "s/t", category)); got.Rule != "strange" {
			t.Errorf("category %d: %+v", category, got)
		}
	}
}

func TestBuiltInRolesGrantWhatTheyPromise(t *testing.T) {
	set := compile(t, nil)
	grants := map[string][]snapshotv1.Risk{"viewer": {read}, "operator": {read, write}, "": nil, "unheard-of": nil}
	for value := range snapshotv1.Risk_name {
		grants["owner"] = append(grants["owner"], snapshotv1.Risk(value))
	}
	for role, risks := range grants {
		for value := range snapshotv1.Risk_name {
			category := snapshotv1.Risk(value)
			got := policy.Decide(set, call(&principal.Principal{User: "u", Roles: []string{role}}, "s/t", category))
			if got.Allowed() != slices.Contains(risks, category) {
				t.Errorf("%s on %v: %+v", role, category, got)
			}
		}
	}
}

func TestNothingToDecideFromDenies(t *testing.T) {
	set := compile(t, rules(t, `  - {name: all, effect: allow}`))
	for why, got := range map[string]policy.Decision{
		"no set":       policy.Decide(nil, call(ana(), "s/t", read)),
		"no request":   policy.Decide(set, nil),
		"no principal": policy.Decide(set, call(nil, "s/t", read)),
		"zero value":   {},
	} {
		if got.Allowed() {
			t.Errorf("%s: %+v", why, got)
		}
	}
	for _, r := range []*policy.Request{nil, call(nil, "s/t", read)} {
		if got, steps := policy.Explain(set, r); got.Allowed() || len(steps) == 0 {
			t.Errorf("%+v explained: %+v, %v", r, got, steps)
		}
	}
}

// unknownField returns a field as a later version might send it.
func unknownField(m proto.Message) {
	m.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 500, protowire.VarintType), 1))
}

// A node answers each of these with a nack.
func TestP07CompileRefusesWhatItDoesNotKnow(t *testing.T) {
	type input struct {
		rules  []*snapshotv1.Rule
		roles  []*snapshotv1.Role
		denies []*snapshotv1.Deny
	}
	rule := func(change func(*snapshotv1.Rule)) input {
		r := &snapshotv1.Rule{Id: "r", Name: "r", Effect: allow}
		change(r)
		return input{rules: []*snapshotv1.Rule{r}}
	}
	grant := func(change func(*snapshotv1.Grant)) input {
		g := &snapshotv1.Grant{}
		change(g)
		return input{roles: []*snapshotv1.Role{{Name: "r", Grants: []*snapshotv1.Grant{g}}}}
	}
	denyOf := func(kind snapshotv1.DenyKind, name string) input {
		return input{denies: []*snapshotv1.Deny{{Kind: kind, Name: name}}}
	}
	futureRole, futureDeny := &snapshotv1.Role{Name: "r"}, &snapshotv1.Deny{Kind: snapshotv1.DenyKind_DENY_KIND_USER, Name: "u"}
	unknownField(futureRole)
	unknownField(futureDeny)

	for why, in := range map[string]input{
		"no effect":               rule(func(r *snapshotv1.Rule) { r.Effect = 0 }),
		"unknown effect":          rule(func(r *snapshotv1.Rule) { r.Effect = 3 }),
		"unknown risk":            rule(func(r *snapshotv1.Rule) { r.Risks = []snapshotv1.Risk{8} }),
		"unset risk":              rule(func(r *snapshotv1.Rule) { r.Risks = []snapshotv1.Risk{0} }),
		"unknown field":           rule(func(r *snapshotv1.Rule) { unknownField(r) }),
		"glob of prompts":         rule(func(r *snapshotv1.Rule) { r.Prompts = []string{"github"} }),
		"glob of resources":       rule(func(r *snapshotv1.Rule) { r.Resources = []string{"github/x://{a}"} }),
		"grant of prompts":        grant(func(g *snapshotv1.Grant) { g.Prompts = []string{"/x"} }),
		"grant of resources":      grant(func(g *snapshotv1.Grant) { g.Resources = []string{"x/"} }),
		"malformed glob":          rule(func(r *snapshotv1.Rule) { r.Tools = []string{"github"} }),
		"empty user":              rule(func(r *snapshotv1.Rule) { r.Users = []string{"ana", ""} }),
		"empty group":             rule(func(r *snapshotv1.Rule) { r.Groups = []string{""} }),
		"empty role":              rule(func(r *snapshotv1.Rule) { r.Roles = []string{""} }),
		"empty application":       rule(func(r *snapshotv1.Rule) { r.Applications = []string{""} }),
		"empty method":            rule(func(r *snapshotv1.Rule) { r.Methods = []string{""} }),
		"no id":                   rule(func(r *snapshotv1.Rule) { r.Id = "" }),
		"name of a built-in":      rule(func(r *snapshotv1.Rule) { r.Name = "deny-overlay" }),
		"name of a role":          rule(func(r *snapshotv1.Rule) { r.Name = "role:owner" }),
		"missing rule":            {rules: []*snapshotv1.Rule{nil}},
		"two rules of one id":     {rules: []*snapshotv1.Rule{{Id: "r", Effect: allow}, {Id: "r", Effect: deny}}},
		"grant of unknown risk":   grant(func(g *snapshotv1.Grant) { g.Risks = []snapshotv1.Risk{99} }),
		"grant of malformed glob": grant(func(g *snapshotv1.Grant) { g.Tools = []string{"[a]/b"} }),
		"grant, unknown field":    grant(func(g *snapshotv1.Grant) { unknownField(g) }),
		"missing grant":           {roles: []*snapshotv1.Role{{Name: "r", Grants: []*snapshotv1.Grant{nil}}}},
		"nameless role":           {roles: []*snapshotv1.Role{{}}},
		"missing role":            {roles: []*snapshotv1.Role{nil}},
		"two roles of one name":   {roles: []*snapshotv1.Role{{Name: "r"}, {Name: "r"}}},
		"role, unknown field":     {roles: []*snapshotv1.Role{futureRole}},
		"deny, unknown field":     {denies: []*snapshotv1.Deny{futureDeny}},
		"missing deny":            {denies: []*snapshotv1.Deny{nil}},
		"deny of unknown kind":    denyOf(7, "x"),
		"deny of no kind":         denyOf(0, "x"),
		"deny of no user":         denyOf(snapshotv1.DenyKind_DENY_KIND_USER, ""),
		"deny of half a tool":     denyOf(snapshotv1.DenyKind_DENY_KIND_TOOL, "github"),
		"deny of all with a name": denyOf(snapshotv1.DenyKind_DENY_KIND_ALL, "x"),
	} {
		set, err := policy.Compile(1, in.rules, in.roles, in.denies)
		if set != nil || !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", why, err)
		}
	}
}

func TestGlob(t *testing.T) {
	for glob, tools := range map[string]struct{ yes, no []string }{
		"*":               {yes: []string{"github/x", "a/b/c"}},
		"**":              {yes: []string{"github/x"}},
		"*/*":             {yes: []string{"github/x", "a/b/c"}},
		"github/*":        {yes: []string{"github/x", "github/a/b"}, no: []string{"github2/x", "git/hub/x", "Github/x"}},
		"github/**":       {yes: []string{"github/x", "github/a/b"}, no: []string{"gitlab/x"}},
		"*/delete_*":      {yes: []string{"a/delete_x", "b/delete_", "b/delete_x/y"}, no: []string{"a/undelete_x", "a/Delete_x", "a/x/delete_y"}},
		"git*/get_*_by_*": {yes: []string{"git/get__by_", "github/get_x_by_y"}, no: []string{"git/get_by_", "gi/get_x_by_y"}},
		"a/b":             {yes: []string{"a/b"}, no: []string{"a/bb", "a/b/", "aa/b"}},
		"a/b/c":           {yes: []string{"a/b/c"}, no: []string{"a/b"}},
		"a/x*x":           {yes: []string{"a/xx", "a/xyx"}, no: []string{"a/x"}},
		"a/*ab*ab":        {yes: []string{"a/abab", "a/abcab"}, no: []string{"a/ab", "a/aab"}},
		"a/tool name":     {yes: []string{"a/tool name"}},
	} {
		set, err := policy.Compile(1, []*snapshotv1.Rule{{Id: "r", Effect: allow, Tools: []string{glob}}}, nil, nil)
		if err != nil {
			t.Errorf("%s: %v", glob, err)
			continue
		}
		for _, tool := range append(slices.Clone(tools.yes), tools.no...) {
			want := slices.Contains(tools.yes, tool)
			request := call(ana(), tool, read)
			if got := policy.Decide(set, request); got.Allowed() != want {
				t.Errorf("%s on %s: %+v", glob, tool, got)
			}
			selects, err := policy.ParseGlob(policy.Tool, glob)
			if err != nil || selects.Matches(request.Server, request.Name) != want {
				t.Errorf("%s selects %s: %v, %v", glob, tool, !want, err)
			}
		}
	}
}

func TestMalformedGlobIsRefusedWithAdvice(t *testing.T) {
	for glob, advice := range map[string]string{
		"":                              `"*" is every tool`,
		"github":                        `"github/*"`,
		"/x":                            "stands for any",
		"github/":                       "stands for any",
		"Github/*":                      "a-z, 0-9 and -",
		"git_hub/*":                     "a-z, 0-9 and -",
		"github/get_?":                  "one by one",
		"github/[ab]":                   "one by one",
		"github/{a,b}":                  "one by one",
		`github/\*`:                     "one by one",
		"!github/*":                     "other effect",
		"github/* ":                     "white space",
		"github/\x00":                   "control character",
		"a/" + strings.Repeat("x", 600): "at most",
	} {
		_, err := policy.Compile(1, []*snapshotv1.Rule{{Id: "r", Effect: allow, Tools: []string{glob}}}, nil, nil)
		if err == nil || !strings.Contains(fault.Text(err), advice) || !strings.Contains(fault.Text(err), `rule "r"`) {
			t.Errorf("%q: %v", glob, err)
		}
	}
}

// Lines with many globs are filed differently from those with few.
func TestRuleOfManyGlobsMatchesEachOfThem(t *testing.T) {
	many := &snapshotv1.Rule{Id: "many", Effect: allow, Users: []string{"ana", "bo"}}
	for i := range 100 {
		many.Tools = append(many.Tools, fmt.Sprintf("s%d/t", i), fmt.Sprintf("s%d/x_*", i))
	}
	set := compile(t, []*snapshotv1.Rule{many, {Id: "no", Priority: -1, Effect: deny, Tools: []string{"s7/x_y"}}})
	for tool, want := range map[string]string{
		"s0/t": "many", "s99/x_": "many", "s50/x_y": "many", "s7/x_y": "no", "s100/t": policy.RuleDefaultDeny, "s1/y": policy.RuleDefaultDeny,
	} {
		if got := policy.Decide(set, call(ana(), tool, destructive)); got.Rule != want {
			t.Errorf("%s: %+v, want %s", tool, got, want)
		}
	}
}
