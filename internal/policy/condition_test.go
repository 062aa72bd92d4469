package policy_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// conditional is a rule with a condition and nothing else.
func conditional(name string, effect snapshotv1.Effect, when string) *snapshotv1.Rule {
	return &snapshotv1.Rule{Id: name, Name: name, Effect: effect, When: when}
}

// with returns a call of ana with arguments.
func with(arguments string) *policy.Request {
	r := call(ana(), "github/delete_repo", destructive)
	r.Facts = policy.Facts{
		Arguments: []byte(arguments),
		Client:    policy.Client{Name: "cursor-vscode", Version: "1.2"},
		Now:       time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC),
	}
	return r
}

// every decides by each of the ways, which must agree.
func every(t *testing.T, set *policy.Set, r *policy.Request) policy.Decision {
	t.Helper()
	decided := policy.Decide(set, r)
	explained, _ := policy.Explain(set, r)
	verdict := set.Profile(r.Principal).Verdict(&r.Target, r.Method)
	given := verdict.Decide(r.Principal, &r.Target, &r.Facts)
	if explained != decided || given.Effect != decided.Effect || given.Rule != decided.Rule {
		t.Errorf("decided %+v, explained %+v, by verdict %+v", decided, explained, given)
	}
	if decided.Allowed() && !verdict.Listed() {
		t.Errorf("allowed, and not listed: %+v", decided)
	}
	return decided
}

func TestConditionSeesWhatItIsPromised(t *testing.T) {
	for condition, want := range map[string]string{
		`arguments.repo.startsWith("prod-")`:                         "yes",
		`arguments.repo == "prod-site" && arguments.count == 3`:      "yes",
		`arguments.deep.list[1] == "b" && size(arguments.deep) == 1`: "yes",
		`"b" in arguments.deep.list`:                                 "yes",
		`arguments.deep.list.exists(x, x == "b")`:                    "yes",
		`has(arguments.repo) && !has(arguments.owner)`:               "yes",
		`arguments.count > 2.5 && arguments.half < 1`:                "yes",
		`arguments.large == 9007199254740993`:                        "yes",
		`arguments.unsigned == 18446744073709551615u`:                "yes",
		`arguments.nothing == null && arguments.flag`:                "yes",
		`principal.user == "ana" && "web" in principal.groups`:       "yes",
		`"developer" in principal.roles`:                             "yes",
		`principal.application == "cursor"`:                          "yes",
		`principal.key == "k1"`:                                      "yes",
		`tool.server == "github" && tool.name == "delete_repo"`:      "yes",
		`tool.kind == "tool" && tool.risk == "destructive"`:          "yes",
		`client.name.contains("vscode") && client.version != "2"`:    "yes",
		`now < timestamp("2026-12-01T00:00:00Z")`:                    "yes",
		`now.getHours() == 10 && now.getDayOfWeek() == 0`:            "yes",
		`now.getHours("Europe/Berlin") == 11`:                        "yes",
		`arguments.repo.matches("^prod-[a-z]+$")`:                    "yes",

		`arguments.repo == "other"`: "default-deny",
		`principal.user == "bo"`:    "default-deny",
		`arguments.repo == 7`:       "default-deny", // another type is not equal

		// What is absent satisfies nothing, however it is asked.
		`arguments.owner == "x"`:                            "default-deny",
		`arguments.owner != "x"`:                            "default-deny",
		`!(arguments.owner == "x")`:                         "default-deny",
		`arguments.repo.name == "x"`:                        "default-deny",
		`!has(arguments.owner.name)`:                        "default-deny",
		`principal.issuer != "x"`:                           "default-deny",
		`!(principal.issuer == "x")`:                        "default-deny",
		`!has(principal.issuer) && arguments.count == 3`:    "yes",
		`arguments.owner == "x" || arguments.count == 3`:    "yes",
		`arguments[principal.user] == 1`:                    "default-deny",
		`arguments.deep.list.exists(x, x.name == "b")`:      "default-deny",
		`{"a": 1}[arguments.repo] == 1`:                     "default-deny",
		`arguments.owner == 1 || arguments.repo < 7`:        "default-deny", // the first that fails counts
		`arguments.repo < 7 || arguments.owner == 1`:        "failed",
		`arguments.repo < 7 || arguments.count == 3`:        "yes",
		`arguments.repo < 7 && arguments.count == 4`:        "default-deny",
		`arguments.count + 1 == 4`:                          "yes",
		`arguments.repo < 7`:                                "failed",
		`arguments.count.startsWith("3")`:                   "failed",
		`arguments.count / (arguments.count - 3) == 1`:      "failed",
		`arguments.large * arguments.large > 0`:             "failed",
		`arguments.deep.list[7] == "b"`:                     "failed",
		`arguments.huge == 1`:                               "failed",
		`has(arguments.huge)`:                               "yes",
		`arguments.enormous > 1.0`:                          "failed",
		`arguments.repo`:                                    "refused",
		`timestamp(arguments.repo) < now`:                   "failed",
		`size(arguments.count) == 1`:                        "failed",
		`arguments.flag == true && dyn(principal).usr == 1`: "default-deny",
	} {
		t.Run(condition, func(t *testing.T) {
			r := with(`{"repo": "prod-site", "count": 3, "half": 0.5, "large": 9007199254740993, "unsigned": 18446744073709551615,
				"huge": 18446744073709551616, "enormous": 1e999, "nothing": null, "flag": true, "deep": {"list": ["a", "b"]}}`)
			r.Principal.KeyID = "k1"
			set, err := policy.Compile(7, []*snapshotv1.Rule{conditional("yes", allow, condition)}, nil, nil)
			if want == "refused" {
				if err == nil {
					t.Error("it compiles")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := every(t, set, r)
			switch {
			case want == "failed":
				if got.Allowed() || got.Rule != "yes" || !strings.Contains(got.Reason, "could not be evaluated") {
					t.Errorf("%+v", got)
				}
			case got.Rule != want:
				t.Errorf("%+v, want %s", got, want)
			}
			// A denial that fails denies as well, and one that is not satisfied does not.
			set = compile(t, []*snapshotv1.Rule{conditional("yes", deny, condition), {Id: "all", Effect: allow, Priority: 9}})
			if got := every(t, set, r); got.Allowed() != (want == "default-deny") {
				t.Errorf("as a denial: %+v", got)
			}
		})
	}
}

func TestMisspeltConditionDoesNotCompile(t *testing.T) {
	for condition, want := range map[string]string{
		`principal.usr == "ana"`:                      "undefined field 'usr'",
		`tool.risc == "read"`:                         "undefined field 'risc'",
		`client.nam == "x"`:                           "undefined field 'nam'",
		`argument.x == 1`:                             "there is no 'argument'",
		`principal.user = "ana"`:                      "Syntax error",
		`principal.user == 7`:                         "no matching overload",
		`"ana"`:                                       "neither true nor false but string",
		`arguments.flag`:                              "neither true nor false but dyn",
		`now > "2026-01-01"`:                          "no matching overload",
		`arguments.x.matches("(")`:                    "invalid matches argument",
		`now > timestamp("yesterday")`:                "invalid timestamp argument",
		`arguments.a.all(x, x.all(y, y == 1))`:        "may cost",
		strings.Repeat("(", 100) + "true":             "limit exceeded",
		"true" + strings.Repeat(" ", 5000):            "at most 4096",
		`principal == principal || tool == tool`:      "",
		`type(principal) == type(tool)`:               "",
		`arguments.s.exists(p, p.contains("secret"))`: "",
	} {
		_, err := policy.Compile(1, []*snapshotv1.Rule{conditional("r", allow, condition)}, nil, nil)
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", condition, err)
			}
			continue
		}
		if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Text(err), want) || !strings.Contains(fault.Text(err), `rule "r"`) {
			t.Errorf("%.60s: %v, want %s", condition, err, want)
		}
	}
}

func TestConditionThatCostsTooMuchDenies(t *testing.T) {
	items := strings.TrimSuffix(strings.Repeat("1,", 200_000), ",")
	r := with(`{"list": [` + items + `]}`)
	set := compile(t, []*snapshotv1.Rule{
		conditional("loop", deny, `arguments.list.exists(x, x == 2)`), {Id: "all", Effect: allow, Priority: 9},
	})
	start := time.Now()
	got := every(t, set, r)
	if got.Allowed() || got.Rule != "loop" || !strings.Contains(got.Reason, "could not be evaluated") {
		t.Errorf("%+v", got)
	}
	t.Logf("decided three times in %v", time.Since(start))
}

// Many conditions may not cost more together than one may.
func TestConditionsOfOneDecisionShareWhatTheyMayCost(t *testing.T) {
	items := strings.TrimSuffix(strings.Repeat("1,", 10_000), ",")
	r := with(`{"list": [` + items + `]}`)
	var book []*snapshotv1.Rule
	for i := range 20 {
		book = append(book, conditional(fmt.Sprintf("r%02d", i), deny, `arguments.list.exists(x, x == 2)`))
	}
	book = append(book, &snapshotv1.Rule{Id: "all", Effect: allow, Priority: 9})
	if got := every(t, compile(t, book[18:]), r); !got.Allowed() {
		t.Errorf("few: %+v", got)
	}
	if got := every(t, compile(t, book), r); got.Allowed() || got.Rule == "all" {
		t.Errorf("many: %+v", got)
	}
}

func TestArgumentsAreThoseOfTheMethod(t *testing.T) {
	set := compile(t, []*snapshotv1.Rule{
		conditional("none", allow, `size(arguments) == 0`), conditional("uri", allow, `arguments.uri == tool.name`), conditional("x", allow, `arguments.x == 1`),
	})
	for _, c := range []struct {
		why       string
		kind      policy.Kind
		method    string
		arguments string
		want      string
	}{
		{"call without any", policy.Tool, policy.MethodCall, "", "none"},
		{"call", policy.Tool, policy.MethodCall, `{"x": 1}`, "x"},
		{"prompt", policy.Prompt, policy.MethodGet, `{"x": 1}`, "x"},
		{"prompt without any", policy.Prompt, policy.MethodGet, "", "none"},
		{"read", policy.Resource, policy.MethodRead, `{"x": 1}`, "uri"},
		{"subscribe", policy.Resource, policy.MethodSubscribe, `{"x": 1}`, "default-deny"},
		{"sampling", policy.Tool, policy.MethodSample, `{"x": 1}`, "default-deny"},
		{"list in place of an object", policy.Tool, policy.MethodCall, `[1]`, "failed"},
		{"half an object", policy.Tool, policy.MethodCall, `{"x": 1`, "failed"},
		{"more than an object", policy.Tool, policy.MethodCall, `{"x": 1} 2`, "failed"},
		{"a name twice", policy.Tool, policy.MethodCall, `{"x": 1, "x": 1}`, "failed"},
		{"too deep", policy.Tool, policy.MethodCall, `{"x": 1, "y": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "failed"},
	} {
		r := call(&principal.Principal{User: "ana"}, "s/a", read)
		r.Kind, r.Method = c.kind, c.method
		if c.arguments != "" {
			r.Facts.Arguments = []byte(c.arguments)
		}
		got := every(t, set, r)
		if c.want == "failed" {
			if got.Allowed() || !strings.Contains(got.Reason, "could not be evaluated") {
				t.Errorf("%s: %+v", c.why, got)
			}
		} else if got.Rule != c.want {
			t.Errorf("%s: %+v", c.why, got)
		}
	}
}

func TestConditionIsTheLastClauseOfItsRule(t *testing.T) {
	r := with(`{"x": "y"}`)
	fails := conditional("fails", deny, `arguments.x < 1`)
	fails.Users = []string{"bo"}
	if got := every(t, compile(t, []*snapshotv1.Rule{fails, {Id: "all", Effect: allow, Priority: 9}}), r); !got.Allowed() {
		t.Errorf("a condition of a rule that is not about the caller was evaluated: %+v", got)
	}
}

func TestStaticConditionLeavesNothingOpen(t *testing.T) {
	set := compile(t, []*snapshotv1.Rule{
		conditional("caller", deny, `principal.user == "bo"`),
		conditional("both", allow, `tool.name.startsWith(principal.user)`),
		conditional("tool", deny, `tool.name == "secret"`),
		conditional("open", allow, `arguments.x == 1 && principal.user == "ana"`),
	})
	for _, c := range []struct {
		user, tool string
		final      bool
		listed     bool
		want       string
	}{
		{"bo", "t", true, false, "caller"},
		{"ana", "ana_1", true, true, "both"},
		{"ana", "secret", true, false, "tool"},
		{"ana", "t", false, true, "default-deny"},
		{"cleo", "t", false, true, "default-deny"},
	} {
		p := &principal.Principal{User: c.user}
		verdict := set.Profile(p).Verdict(&policy.Target{Server: "s", Name: c.tool}, policy.MethodCall)
		got, final := verdict.Final()
		if final != c.final || verdict.Listed() != c.listed || got.Rule != c.want {
			t.Errorf("%s and %s: %+v, final %v, listed %v", c.user, c.tool, got, final, verdict.Listed())
		}
	}
}

// Wherever in an expression a fact is read, the condition waits for it.
func TestConditionThatReadsAFactIsOpen(t *testing.T) {
	for condition, want := range map[string]bool{
		`has(arguments.x)`:                                    true,
		`.arguments.x == 1`:                                   true,
		`[1].exists(x, arguments.y == x)`:                     true,
		`principal.groups.all(g, g in arguments.groups)`:      true,
		`[client.name, "a"].exists(x, x == "a")`:              true,
		`{"a": now}["a"] == now`:                              true,
		`(tool.name == "t" ? client.version : "") == "1"`:     true,
		`dyn(client) == dyn(1)`:                               true,
		`size("a" + (has(client.name) ? "b" : "c")) == 1`:     true,
		`tool.name == "t" && "web" in principal.groups`:       false,
		`[1, 2].exists(x, x == 1)`:                            false,
		`["arguments"].exists(x, x == "now" || tool.name==x)`: false,
	} {
		set := compile(t, []*snapshotv1.Rule{conditional("r", deny, condition)})
		if _, final := set.Profile(ana()).Verdict(&target, policy.MethodCall).Final(); final == want {
			t.Errorf("%s: settled %v", condition, final)
		}
	}
	// What a static condition reads of the caller tells profiles apart, however it is read.
	for _, condition := range []string{`[principal.user].exists(x, x == tool.name)`, `dyn(principal) != dyn(1) || principal.user == tool.name`, `.principal.user == tool.name`} {
		set := compile(t, []*snapshotv1.Rule{conditional("r", deny, condition)})
		if set.Profile(&principal.Principal{User: "a"}) == set.Profile(&principal.Principal{User: "b"}) {
			t.Errorf("%s: one profile", condition)
		}
	}
}

// A condition on callers makes as many profiles as it has outcomes, not as there
// are callers.
func TestProfilesThatNoConditionTellsApartAreOne(t *testing.T) {
	set := compile(t, []*snapshotv1.Rule{
		conditional("service", deny, `principal.user.startsWith("svc-")`), conditional("open", deny, `principal.key == arguments.key`),
	})
	profiles := map[*policy.Profile]int{}
	for i := range 100 {
		profiles[set.Profile(&principal.Principal{User: fmt.Sprintf("svc-%d", i), KeyID: fmt.Sprint(i)})]++
		profiles[set.Profile(&principal.Principal{User: fmt.Sprintf("user-%d", i), KeyID: fmt.Sprint(i)})]++
	}
	if len(profiles) != 2 {
		t.Errorf("%d profiles", len(profiles))
	}
	set = compile(t, []*snapshotv1.Rule{conditional("own", allow, `tool.name.startsWith(principal.user)`)})
	a, b := set.Profile(&principal.Principal{User: "a"}), set.Profile(&principal.Principal{User: "b"})
	if a == b {
		t.Error("one profile for two callers whom a condition on tools tells apart")
	}
}

func TestKeyIsGoodForItsServersOnly(t *testing.T) {
	set := compile(t, rules(t, "  - {name: all, effect: allow}"))
	for _, c := range []struct {
		servers []string
		want    string
	}{
		{nil, "all"}, {[]string{"github"}, "all"}, {[]string{"mail", "github"}, "all"}, {[]string{"mail"}, policy.RuleKeyServers}, {[]string{}, policy.RuleKeyServers},
	} {
		r := with(`{}`)
		r.Principal.Servers = c.servers
		if got := every(t, set, r); got.Rule != c.want {
			t.Errorf("%v: %+v", c.servers, got)
		}
		_, steps := policy.Explain(set, r)
		if governed := steps[len(steps)-1].Stage == policy.StageGovernance; governed != (c.want == policy.RuleKeyServers) {
			t.Errorf("%v: %+v", c.servers, steps)
		}
	}
}

func TestExplainSaysWhatIsOpen(t *testing.T) {
	set := compile(t, []*snapshotv1.Rule{conditional("open", deny, `arguments.x == 1`), {Id: "all", Effect: allow, Priority: 1}})
	r := call(ana(), "s/t", read)
	got, steps := policy.Explain(set, r)
	if !got.Allowed() || !steps[1].Open || steps[1].Matched || !strings.Contains(steps[1].Detail, "arguments.x == 1") {
		t.Errorf("%+v %+v", got, steps)
	}
	r.Facts.Arguments = []byte(`{"x": 1}`)
	if got, steps := policy.Explain(set, r); got.Allowed() || steps[1].Open || !steps[1].Matched {
		t.Errorf("%+v %+v", got, steps)
	}
	r.Facts.Arguments = []byte(`{"x": 1e999}`)
	if got, steps := policy.Explain(set, r); got.Allowed() || !strings.Contains(steps[1].Detail, "too large") || strings.Contains(got.Reason, "too large") {
		t.Errorf("%+v %+v", got, steps)
	}
}

// Whatever the facts: without them, an open denial denies and an open allowance does
// not allow.
func TestProfileDecidesForAllFacts(t *testing.T) {
	profile := func(effect snapshotv1.Effect) policy.Decision {
		set := compile(t, []*snapshotv1.Rule{conditional("open", effect, `!has(arguments.x)`), {Id: "rest", Priority: 9, Effect: 3 - effect}})
		return set.Profile(ana()).Decide(&policy.Target{Server: "s", Name: "t"}, policy.MethodCall)
	}
	if got := profile(deny); got.Allowed() || got.Rule != "open" {
		t.Errorf("denial: %+v", got)
	}
	if got := profile(allow); got.Allowed() || got.Rule != "rest" {
		t.Errorf("allowance: %+v", got)
	}
}

func TestUnclassifiedIsTheRiskiestForDenialsOnly(t *testing.T) {
	for _, category := range []string{"write", "destructive", "admin", "execute", "external", "unclassified", "read"} {
		request := call(ana(), "s/t", unclassified)
		if got := every(t, compile(t, rules(t, "  - {name: r, effect: deny, risk: ["+category+"]}")), request); (got.Rule == "r") != (category != "read") {
			t.Errorf("deny of %s: %+v", category, got)
		}
		if got := every(t, compile(t, rules(t, "  - {name: r, effect: allow, risk: ["+category+"]}")), request); got.Allowed() != (category == "unclassified") {
			t.Errorf("allow of %s: %+v", category, got)
		}
	}
}

// Methods without arguments must not share the verdicts of those that have some.
func TestMethodsOfOtherArgumentsAreNotAlike(t *testing.T) {
	plain := compile(t, []*snapshotv1.Rule{conditional("r", allow, `client.name == "x"`)})
	by := compile(t, []*snapshotv1.Rule{conditional("r", allow, `arguments.x == 1`)})
	if !plain.Alike(policy.MethodSample, policy.MethodCall) || by.Alike(policy.MethodSample, policy.MethodCall) || !by.Alike(policy.MethodGet, policy.MethodCall) {
		t.Error("wrong")
	}
}

func TestTokenIsDeniedByIssuerAndName(t *testing.T) {
	set := compile(t, rules(t, "  - {name: all, effect: allow}"), &snapshotv1.Deny{Kind: snapshotv1.DenyKind_DENY_KIND_TOKEN, Name: "corp/a/b"})
	for p, want := range map[*principal.Principal]bool{
		{User: "ana", Issuer: "corp", TokenID: "a/b"}: false, {User: "ana", Issuer: "corp", TokenID: "a"}: true,
		{User: "ana", Issuer: "other", TokenID: "a/b"}: true, {User: "ana"}: true,
	} {
		if got := every(t, set, call(p, "s/t", read)); got.Allowed() != want {
			t.Errorf("%+v: %+v", p, got)
		}
	}
}

func TestConditionsAreEvaluatedAtOnceByMany(t *testing.T) {
	set := compile(t, []*snapshotv1.Rule{conditional("r", allow, `arguments.n % 2 == 0 && principal.user == "ana"`)})
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			for j := range 200 {
				n := i*200 + j
				if got := policy.Decide(set, with(fmt.Sprintf(`{"n": %d}`, n))); got.Allowed() != (n%2 == 0) {
					t.Errorf("%d: %+v", n, got)
				}
			}
		})
	}
	all.Wait()
}

// Names are compared letter for letter. Servers that read them without regard to case
// need the denial that docs/policy.md advises.
func TestANameOfAnotherSpellingIsAnotherName(t *testing.T) {
	for condition, allowed := range map[string]bool{
		`arguments.path == "/etc"`:                             true,
		`arguments.exists(name, !(name in ["path", "other"]))`: false,
	} {
		set, err := policy.Compile(7, []*snapshotv1.Rule{conditional("no", deny, condition), conditional("yes", allow, "")}, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if d := every(t, set, with(`{"Path": "/etc", "path": "/tmp"}`)); d.Allowed() != allowed {
			t.Errorf("%s: %+v", condition, d)
		}
	}
}
