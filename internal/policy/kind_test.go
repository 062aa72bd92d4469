package policy_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// about is a request of ana for something of a kind, by the kind's main method.
func about(kind policy.Kind, name string, category snapshotv1.Risk) *policy.Request {
	r := call(ana(), name, category)
	r.Kind, r.Method = kind, kind.Method()
	return r
}

// Security.md T-34: the server may read another URI than the policy.
func TestDenialOfAResourceHoldsInEverySpelling(t *testing.T) {
	deny := func(id, glob string) *snapshotv1.Rule {
		return &snapshotv1.Rule{Id: id, Effect: snapshotv1.Effect_EFFECT_DENY, Resources: []string{glob}}
	}
	set, err := policy.Compile(1, []*snapshotv1.Rule{
		deny("exact", "s/doc://deep/secret"), deny("encoded", "s/doc://with%20space"), deny("below", "s/doc://secret/*"),
		deny("part", "*/doc://my%2Ddocs/*"), deny("fragment", "s/frag://a#b*"),
		{Id: "all", Effect: snapshotv1.Effect_EFFECT_ALLOW, Priority: 1, Resources: []string{"s/doc://*", "s/frag://*", "s/slash://a"}},
	}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"doc://deep/secret": false, "doc://deep%2Fsecret": false, "doc://deep/secret#a": false, "doc://deep/secret/": false,
		"doc://deep/secret?": false, "doc://deep%2fsecret%23a": true, "doc://deep/secret?a=b": true, "doc://deep/secrets": true,
		"doc://with%20space": false, "doc://with space": false, "doc://secret/a": false, "doc://secret%2Fa": false,
		"doc://secretary": true, "doc://my-docs/a": false, "doc://my%2Ddocs/a": false, "doc://my-docs": true,
		"frag://a#bc": false, "frag://a": true, "slash://a": true, "slash://a/": false, "slash://a#b": false,
	} {
		r := &policy.Request{Principal: &principal.Principal{User: "ana"}, Method: policy.MethodRead, Target: policy.Target{Kind: policy.Resource, Server: "s", Name: name}}
		got := policy.Decide(set, r)
		explained, _ := policy.Explain(set, r)
		if got.Allowed() != want || explained != got {
			t.Errorf("%s: %+v, explained as %+v", name, got, explained)
		}
	}
}

func TestGlobsOfOneKindSayNothingOfTheOthers(t *testing.T) {
	owner := &principal.Principal{User: "root", Roles: []string{"owner"}}
	for field, kind := range map[string]policy.Kind{"tools": policy.Tool, "prompts": policy.Prompt, "resources": policy.Resource} {
		for _, effect := range []string{"allow", "deny"} {
			set := compile(t, rules(t, "  - {name: r, effect: "+effect+", "+field+": ['*']}"))
			for _, other := range policy.Kinds() {
				r := about(other, "s/t", destructive)
				r.Principal = owner
				want := "role:owner"
				if other == kind {
					want = "r"
				}
				if got := policy.Decide(set, r); got.Rule != want {
					t.Errorf("%s of %s on a %s: %+v", effect, field, other, got)
				}
				if got, steps := policy.Explain(set, r); got.Rule != want || want != "r" && !strings.Contains(steps[1].Detail, "nothing of "+other.String()+"s") {
					t.Errorf("%s of %s on a %s, explained: %+v %+v", effect, field, other, got, steps)
				}
			}
		}
	}
}

func TestRuleWithoutGlobsIsAboutEverything(t *testing.T) {
	set := compile(t, rules(t, "  - {name: r, effect: deny, users: [ana]}"))
	for _, kind := range policy.Kinds() {
		for _, method := range policy.Methods() {
			r := about(kind, "s/t", read)
			r.Method = method
			if got := policy.Decide(set, r); got.Rule != "r" {
				t.Errorf("%s of a %s: %+v", method, kind, got)
			}
		}
	}
}

func TestRuleWithGlobsOfSeveralKindsMatchesEach(t *testing.T) {
	set := compile(t, rules(t, "  - {name: r, effect: allow, tools: [a/x], prompts: [a/y], resources: ['a/z://*?q=1']}"))
	for name, kind := range map[string]policy.Kind{"a/x": policy.Tool, "a/y": policy.Prompt, "a/z://b/c?q=1": policy.Resource} {
		for _, other := range policy.Kinds() {
			if got := policy.Decide(set, about(other, name, destructive)); got.Allowed() != (other == kind) {
				t.Errorf("%s as a %s: %+v", name, other, got)
			}
		}
	}
}

func TestGrantOfToolsGrantsNothingElse(t *testing.T) {
	roles := []*snapshotv1.Role{
		{Name: "operator", Grants: []*snapshotv1.Grant{{Tools: []string{"*"}}}},
		{Name: "developer", Grants: []*snapshotv1.Grant{{Prompts: []string{"a/*"}, Resources: []string{"a/*"}, Risks: []snapshotv1.Risk{read}}}},
	}
	set, err := policy.Compile(1, nil, roles, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		kind policy.Kind
		name string
		risk snapshotv1.Risk
		want string
	}{
		{policy.Tool, "b/x", unclassified, "role:operator"},
		{policy.Prompt, "b/x", read, policy.RuleDefaultDeny},
		{policy.Prompt, "a/x", read, "role:developer"},
		{policy.Prompt, "a/x", write, policy.RuleDefaultDeny},
		{policy.Resource, "a/x://y", read, "role:developer"},
		{policy.Resource, "b/x://y", read, policy.RuleDefaultDeny},
	} {
		if got := policy.Decide(set, about(test.kind, test.name, test.risk)); got.Rule != test.want {
			t.Errorf("%s %s: %+v", test.kind, test.name, got)
		}
	}
}

func TestBuiltInRolesSpeakOfAllKinds(t *testing.T) {
	set := compile(t, nil)
	for _, kind := range policy.Kinds() {
		for _, test := range []struct {
			role string
			risk snapshotv1.Risk
			want bool
		}{
			{"viewer", read, true}, {"viewer", write, false}, {"viewer", unclassified, false},
			{"operator", write, true}, {"operator", unclassified, false}, {"owner", unclassified, true},
		} {
			r := about(kind, "s/t", test.risk)
			r.Principal = &principal.Principal{User: "u", Roles: []string{test.role}}
			if got := policy.Decide(set, r); got.Allowed() != test.want {
				t.Errorf("%s on a %s that is %v: %+v", test.role, kind, test.risk, got)
			}
		}
	}
}

func TestOverlayOfAToolIsAboutToolsOnly(t *testing.T) {
	for _, kind := range policy.Kinds() {
		tool := compile(t, nil, &snapshotv1.Deny{Kind: snapshotv1.DenyKind_DENY_KIND_TOOL, Name: "s/t"})
		if got := policy.Decide(tool, about(kind, "s/t", read)); got.Allowed() == (kind == policy.Tool) {
			t.Errorf("deny of a tool on a %s: %+v", kind, got)
		}
		for denied, name := range map[snapshotv1.DenyKind]string{
			snapshotv1.DenyKind_DENY_KIND_SERVER: "s", snapshotv1.DenyKind_DENY_KIND_USER: "ana", snapshotv1.DenyKind_DENY_KIND_KEY: "k1",
			snapshotv1.DenyKind_DENY_KIND_APPLICATION: "cursor", snapshotv1.DenyKind_DENY_KIND_ALL: "",
		} {
			set := compile(t, rules(t, "  - {name: r, effect: allow}"), &snapshotv1.Deny{Kind: denied, Name: name})
			if got := policy.Decide(set, about(kind, "s/t", read)); got.Rule != policy.RuleDenyOverlay {
				t.Errorf("%v on a %s: %+v", denied, kind, got)
			}
		}
	}
}

func TestKindThatDoesNotExistIsDenied(t *testing.T) {
	set := compile(t, rules(t, "  - {name: r, effect: allow}"))
	r := about(policy.Tool, "s/t", read)
	r.Kind = 3
	if got := policy.Decide(set, r); got.Allowed() {
		t.Errorf("%+v", got)
	}
	if got, _ := policy.Explain(set, r); got.Allowed() {
		t.Errorf("explained: %+v", got)
	}
	if got := set.Profile(ana()).Decide(nil, policy.MethodCall); got.Allowed() {
		t.Errorf("nothing: %+v", got)
	}
}

func TestWhatAServerAsksFollowsTheGrantUnlessARuleNamesIt(t *testing.T) {
	set := compile(t, rules(t, `
  - {name: no-sampling, effect: deny, methods: [sampling/createMessage], tools: ["git/*"]}
  - {name: calls, effect: allow, methods: [tools/call], tools: ["shy/*"]}`))
	for _, test := range []struct {
		tool, method string
		risk         snapshotv1.Risk
		want         string
	}{
		{"git/x", policy.MethodCall, read, "role:operator"},
		{"git/x", policy.MethodSample, read, "no-sampling"},
		{"git/x", policy.MethodElicit, read, "role:operator"},
		{"git/x", policy.MethodElicit, destructive, policy.RuleDefaultDeny},
		{"mail/x", policy.MethodSample, read, "role:operator"},
		{"shy/x", policy.MethodCall, destructive, "calls"},
		{"shy/x", policy.MethodSample, destructive, policy.RuleDefaultDeny},
	} {
		r := call(ana(), test.tool, test.risk)
		r.Method = test.method
		if got := policy.Decide(set, r); got.Rule != test.want {
			t.Errorf("%s of %s: %+v", test.method, test.tool, got)
		}
	}
}

func TestDefaultDenyNamesAMethodThatIsNotTheMainOne(t *testing.T) {
	r := about(policy.Resource, "s/x://a", unclassified)
	r.Method = policy.MethodSubscribe
	if got := policy.Decide(compile(t, nil), r); got.Reason != "no rule and no role of ana allows resources/subscribe for s/x://a" {
		t.Errorf("%+v", got)
	}
}

// TestAlikeMethodsAreDecidedAlike holds up what the gate builds on: one table of
// verdicts for all methods that no rule tells apart. Every draw has rules that
// tell the two methods apart and rules that do not, so neither depends on luck.
func TestAlikeMethodsAreDecidedAlike(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules, roles, r := drawRules(t), drawRoles(t), drawRequest(t)
		r.Principal.Servers = nil // A key that is not good for the server decides before any rule.
		a := methods.Draw(t, "a")
		b := methods.Filter(func(m string) bool { return m != a }).Draw(t, "b")
		decide := func(rules []*snapshotv1.Rule) (alike bool, first, second policy.Decision) {
			set := mustCompile(t, rules, roles, nil)
			r.Method = a
			first = policy.Decide(set, r)
			r.Method = b
			second = policy.Decide(set, r)
			alike = set.Alike(a, b)
			if alike && (first.Effect != second.Effect || first.Rule != second.Rule) {
				t.Fatalf("%s: %+v, %s: %+v", a, first, b, second)
			}
			return alike, first, second
		}
		decide(rules)
		rules = append(nameTogether(rules, a, b), &snapshotv1.Rule{Id: "both", Effect: deny, Priority: 9, Methods: []string{a, b}})
		if alike, _, _ := decide(rules); !alike {
			t.Fatalf("rules that name both or neither tell %s and %s apart", a, b)
		}
		rules = append(rules, &snapshotv1.Rule{Id: "one", Effect: deny, Priority: -9, Methods: []string{a}})
		if alike, first, second := decide(rules); alike || first.Rule != "one" || second.Rule == "one" {
			t.Fatalf("a rule names only %s: alike %v, %+v, %s: %+v", a, alike, first, b, second)
		}
	})
}

// nameTogether returns the rules so changed that each names both methods or neither.
func nameTogether(rules []*snapshotv1.Rule, a, b string) []*snapshotv1.Rule {
	together := make([]*snapshotv1.Rule, len(rules))
	for i, rule := range rules {
		together[i] = proto.CloneOf(rule)
		if slices.Contains(rule.GetMethods(), a) || slices.Contains(rule.GetMethods(), b) {
			together[i].Methods = append(together[i].Methods, a, b)
		}
	}
	return together
}

func TestResourceGlobIsAboutTheWholeURI(t *testing.T) {
	for glob, uris := range map[string]struct{ yes, no []string }{
		"*":                   {yes: []string{"s/file:///a/b", "t/x"}},
		"s/*":                 {yes: []string{"s/file:///a/b"}, no: []string{"t/file:///a"}},
		"s/file:///pub/*":     {yes: []string{"s/file:///pub/a/b", "s/file:///pub/"}, no: []string{"s/file:///pub", "s/file:///pub2/a", "s/xfile:///pub/a"}},
		"*/repo://acme/*":     {yes: []string{"s/repo://acme/x"}, no: []string{"s/repo://other/repo://acme/x"}},
		"s/https://a/b?c=*":   {yes: []string{"s/https://a/b?c=1"}, no: []string{"s/https://a/bXc=1", "s/https://a/b"}},
		"s/file:///*/*.md":    {yes: []string{"s/file:///a/b/c.md"}, no: []string{"s/file:///c.md"}},
		"s/custom:opaque":     {yes: []string{"s/custom:opaque"}, no: []string{"s/custom:opaque2"}},
		"s*/x://a":            {yes: []string{"s/x://a", "st/x://a"}, no: []string{"t/x://a"}},
		"s/test://template/*": {yes: []string{"s/test://template/123/data"}},
	} {
		selects, err := policy.ParseGlob(policy.Resource, glob)
		if err != nil {
			t.Errorf("%s: %v", glob, err)
			continue
		}
		set, err := policy.Compile(1, []*snapshotv1.Rule{{Id: "r", Effect: allow, Resources: []string{glob}}}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, uri := range append(slices.Clone(uris.yes), uris.no...) {
			want := slices.Contains(uris.yes, uri)
			r := about(policy.Resource, uri, read)
			if got := policy.Decide(set, r).Allowed(); got != want || selects.Matches(r.Server, r.Name) != want {
				t.Errorf("%s on %s: %v", glob, uri, got)
			}
		}
	}
	for _, glob := range []string{"s/x://{a}", "s/x://[a]", `s/x:\\a`, "file:///a", "s/", "/x://a", "s/x a "} {
		if _, err := policy.ParseGlob(policy.Resource, glob); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", glob, err)
		}
	}
	if _, err := policy.ParseGlob(policy.Prompt, "s/a?"); err == nil || !strings.Contains(fault.Text(err), "one by one") {
		t.Errorf("a ? in a glob of prompts: %v", err)
	}
}
