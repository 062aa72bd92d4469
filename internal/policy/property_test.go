package policy_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// The words are few, so that rules and requests meet.
var (
	people  = rapid.SampledFrom([]string{"ana", "bo", "cleo"})
	teams   = rapid.SampledFrom([]string{"web", "ops"})
	duties  = rapid.SampledFrom([]string{"viewer", "operator", "owner", "developer"})
	clients = rapid.SampledFrom([]string{"cursor", "claude"})
	slugs   = rapid.SampledFrom([]string{"git", "github", "mail"})
	tools   = rapid.SampledFrom([]string{"get", "get_x", "delete_x", "a/b", "a%2Fb", "a/b/", "get#x", "get?"})
	globs   = rapid.SampledFrom([]string{"*", "git/*", "git*/get*", "*/delete_*", "github/get_x", "mail/a/b", "*/*", "github/*_x", "git/get", "mail/a%2Fb", "git/a%2F*", "git/a/b"})
	risks   = rapid.Map(rapid.Int32Range(1, 7), func(r int32) snapshotv1.Risk { return snapshotv1.Risk(r) })
	methods = rapid.SampledFrom([]string{policy.MethodCall, policy.MethodGet, policy.MethodRead, policy.MethodSample})
)

func few[T any](t *rapid.T, of *rapid.Generator[T], label string) []T {
	return rapid.SliceOfN(of, 0, 2).Draw(t, label)
}

// orNone draws an attribute, or its absence.
func orNone(of *rapid.Generator[string]) *rapid.Generator[string] {
	return rapid.OneOf(of, of, of, rapid.Just(""))
}

func drawRule(t *rapid.T, id int) *snapshotv1.Rule {
	return &snapshotv1.Rule{
		Id:           fmt.Sprintf("r%02d", id),
		Priority:     rapid.Int32Range(-1, 3).Draw(t, "priority"),
		Effect:       snapshotv1.Effect(rapid.Int32Range(1, 2).Draw(t, "effect")),
		Users:        few(t, people, "users"),
		Groups:       few(t, teams, "groups"),
		Roles:        few(t, duties, "roles"),
		Applications: few(t, clients, "applications"),
		Tools:        few(t, globs, "tools"),
		Prompts:      few(t, globs, "prompts"),
		Resources:    few(t, globs, "resources"),
		Risks:        few(t, risks, "risks"),
		Methods:      few(t, methods, "methods"),
	}
}

func drawRules(t *rapid.T) []*snapshotv1.Rule {
	rules := make([]*snapshotv1.Rule, rapid.IntRange(0, 8).Draw(t, "rules"))
	for i := range rules {
		rules[i] = drawRule(t, i)
	}
	return rules
}

func drawRoles(t *rapid.T) []*snapshotv1.Role {
	grant := rapid.Custom(func(t *rapid.T) *snapshotv1.Grant {
		return &snapshotv1.Grant{
			Tools: few(t, globs, "tools"), Prompts: few(t, globs, "prompts"), Resources: few(t, globs, "resources"), Risks: few(t, risks, "risks"),
		}
	})
	return append(policy.BuiltInRoles(), &snapshotv1.Role{Name: "developer", Grants: few(t, grant, "grants")})
}

func drawDeny(t *rapid.T) *snapshotv1.Deny {
	switch kind := snapshotv1.DenyKind(rapid.Int32Range(1, 7).Draw(t, "kind")); kind {
	case snapshotv1.DenyKind_DENY_KIND_TOKEN:
		return &snapshotv1.Deny{Kind: kind, Name: "corp/t/1"}
	case snapshotv1.DenyKind_DENY_KIND_KEY:
		return &snapshotv1.Deny{Kind: kind, Name: "k1"}
	case snapshotv1.DenyKind_DENY_KIND_USER:
		return &snapshotv1.Deny{Kind: kind, Name: people.Draw(t, "user")}
	case snapshotv1.DenyKind_DENY_KIND_APPLICATION:
		return &snapshotv1.Deny{Kind: kind, Name: clients.Draw(t, "application")}
	case snapshotv1.DenyKind_DENY_KIND_SERVER:
		return &snapshotv1.Deny{Kind: kind, Name: slugs.Draw(t, "server")}
	case snapshotv1.DenyKind_DENY_KIND_TOOL:
		return &snapshotv1.Deny{Kind: kind, Name: slugs.Draw(t, "server") + "/" + tools.Draw(t, "tool")}
	default:
		return &snapshotv1.Deny{Kind: kind}
	}
}

func drawRequest(t *rapid.T) *policy.Request {
	return &policy.Request{
		Principal: &principal.Principal{
			User:        orNone(people).Draw(t, "user"),
			Groups:      few(t, teams, "groups"),
			Roles:       few(t, duties, "roles"),
			Application: orNone(clients).Draw(t, "application"),
			KeyID:       rapid.SampledFrom([]string{"", "k1", "k2"}).Draw(t, "key"),
			Servers:     rapid.SampledFrom([][]string{nil, nil, nil, {"git"}, {"mail", "git"}, {}}).Draw(t, "servers"),
			Issuer:      rapid.SampledFrom([]string{"", "", "corp"}).Draw(t, "issuer"),
			TokenID:     rapid.SampledFrom([]string{"", "t/1"}).Draw(t, "token"),
		},
		Method: orNone(methods).Draw(t, "method"),
		Target: policy.Target{
			Kind:   policy.Kind(rapid.IntRange(0, 2).Draw(t, "kind")),
			Server: orNone(slugs).Draw(t, "server"),
			Name:   orNone(tools).Draw(t, "name"),
			Risk:   risks.Draw(t, "risk"),
		},
	}
}

// outcomes fails the test if a property was only ever seen on one side.
func outcomes(t *testing.T) func(policy.Decision) {
	seen := map[bool]int{}
	t.Cleanup(func() {
		if !t.Failed() && (seen[true] == 0 || seen[false] == 0) {
			t.Errorf("of all requests, %d were allowed and %d denied", seen[true], seen[false])
		}
	})
	return func(d policy.Decision) { seen[d.Allowed()]++ }
}

// book is a rule set of a size, half of it about single tools, the rest about
// servers, callers and names.
func book(n int) []*snapshotv1.Rule {
	random := rand.New(rand.NewPCG(1, 2))
	rules := make([]*snapshotv1.Rule, n)
	for i := range rules {
		r := &snapshotv1.Rule{
			Id: fmt.Sprintf("r%05d", i), Priority: random.Int32N(100), Effect: snapshotv1.Effect(1 + random.IntN(2)),
			Tools: []string{fmt.Sprintf("server-%d/tool_%d", random.IntN(100), random.IntN(1000))},
		}
		switch i % 8 {
		case 0:
			r.Tools = []string{fmt.Sprintf("server-%d/get_*", random.IntN(100))}
		case 1, 2:
			r.Users = []string{fmt.Sprintf("user-%d", random.IntN(5000))}
		case 3:
			r.Roles, r.Tools = []string{fmt.Sprintf("role-%d", random.IntN(50))}, []string{"*/delete_*"}
		}
		rules[i] = r
	}
	return rules
}

func TestDecisionAllocatesNothing(t *testing.T) {
	set := compile(t, book(1000), &snapshotv1.Deny{Kind: snapshotv1.DenyKind_DENY_KIND_TOOL, Name: "x/y"})
	caller := ana()
	set.Profile(caller)
	if n := testing.AllocsPerRun(1000, func() {
		if d := set.Profile(caller).Decide(&target, policy.MethodCall); d.Rule != "role:operator" {
			t.Fatal(d)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for _, kind := range policy.Kinds() {
		target := policy.Target{Kind: kind, Server: "server-3", Name: "x", Risk: read}
		if n := testing.AllocsPerRun(1000, func() { set.Profile(caller).Decide(&target, policy.MethodSample) }); n != 0 {
			t.Errorf("%v allocations for a %s", n, kind)
		}
	}
	// Also where conditions are settled before the call.
	settled := compile(t, append(book(1000), conditional("static", deny, `principal.user == "bo"`)))
	profile := settled.Profile(caller)
	if n := testing.AllocsPerRun(1000, func() { profile.Verdict(&target, policy.MethodCall).Decide(caller, &target, nil) }); n != 0 {
		t.Errorf("%v allocations by verdict", n)
	}
	allowed := call(caller, "server-3/tool_x", read)
	if n := testing.AllocsPerRun(1000, func() { policy.Decide(set, allowed) }); n != 0 {
		t.Errorf("%v allocations by name", n)
	}
}

// target is what the rules of book say nothing of, but by its server.
var target = policy.Target{Server: "server-3", Name: "tool_x", Risk: read}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		set := compile(b, book(n))
		profile := set.Profile(ana())
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				profile.Decide(&target, policy.MethodCall)
			}
		})
		b.Run(fmt.Sprintf("rules=%d/with-profile", n), func(b *testing.B) {
			caller := ana()
			b.ReportAllocs()
			for b.Loop() {
				set.Profile(caller).Decide(&target, policy.MethodCall)
			}
		})
	}
}

// BenchmarkDecisionIsFlat prints how many times as long a decision about a call
// takes where there is more of something: rules, and tools that are called in turn.
// The promise is at most 1.3. Verdicts are prepared, as a node prepares them when a
// snapshot comes; BenchmarkDecide has what that takes for each. Small and large take
// turns, so that both have the same machine.
func BenchmarkDecisionIsFlat(b *testing.B) {
	few, many := compile(b, book(10)), compile(b, book(10_000))
	for _, c := range []struct {
		what         string
		small, large func()
	}{
		{"rules=10000/10", decideAll(few, 10), decideAll(many, 10)},
		{"tools=50000/10", decideAll(many, 10), decideAll(many, 50_000)},
	} {
		b.Run(c.what, func(b *testing.B) {
			var small, large time.Duration
			for b.Loop() {
				start := time.Now()
				c.small()
				middle := time.Now()
				c.large()
				small, large = small+middle.Sub(start), large+time.Since(middle)
			}
			b.ReportMetric(float64(large)/float64(small), "ratio")
			b.ReportMetric(float64(large.Nanoseconds())/float64(b.N)/batch, "ns/decision")
		})
	}
}

// batch is how many decisions are timed at a time.
const batch = 50_000

// decideAll returns a function that decides on calls of so many tools in turn.
func decideAll(set *policy.Set, tools int) func() {
	caller, targets := ana(), toolsOf(tools)
	verdicts := make([]*policy.Verdict, tools)
	for i := range targets {
		verdicts[i] = set.Profile(caller).Verdict(&targets[i], policy.MethodCall)
	}
	var facts policy.Facts
	next, allowed := 0, 0
	return func() {
		for range batch {
			if verdicts[next].Decide(caller, &targets[next], &facts).Allowed() {
				allowed++
			}
			if next++; next == tools {
				next = 0
			}
		}
	}
}

func toolsOf(n int) []policy.Target {
	targets := make([]policy.Target, n)
	for i := range targets {
		targets[i] = policy.Target{Server: fmt.Sprintf("server-%d", i%100), Name: fmt.Sprintf("tool_%d", 2000+i), Risk: read}
	}
	return targets
}

func BenchmarkCondition(b *testing.B) {
	set := compile(b, []*snapshotv1.Rule{conditional("r", allow, `arguments.repo.startsWith("prod-")`)})
	r := with(`{"repo": "prod-site", "count": 3, "deep": {"list": ["a", "b"]}}`)
	verdict := set.Profile(r.Principal).Verdict(&r.Target, r.Method)
	b.ReportAllocs()
	for b.Loop() {
		if !verdict.Decide(r.Principal, &r.Target, &r.Facts).Allowed() {
			b.Fatal("denied")
		}
	}
}

func BenchmarkProfile(b *testing.B) {
	rules := book(10_000)
	b.Run("compile=10000", func(b *testing.B) {
		for b.Loop() {
			compile(b, rules)
		}
	})
	set := compile(b, rules)
	i := 0
	b.Run("new=10000", func(b *testing.B) {
		for b.Loop() {
			i++
			set.Profile(&principal.Principal{
				User: fmt.Sprintf("user-%d", i%5000), Roles: []string{"viewer", fmt.Sprintf("role-%d", i/5000%50)},
			})
		}
	})
}

func mustCompile(t *rapid.T, rules []*snapshotv1.Rule, roles []*snapshotv1.Role, denies []*snapshotv1.Deny) *policy.Set {
	set, err := policy.Compile(1, rules, roles, denies)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
