package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/testing/protocmp"
	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func parse(t testing.TB, text string) *policy.Document {
	t.Helper()
	document, err := policy.ParseDocument([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func TestLintRemarksWithLineAndColumn(t *testing.T) {
	among := func(names ...string) func(string) bool {
		return func(name string) bool { return slices.Contains(names, name) }
	}
	known := policy.Known{Role: among("viewer"), User: among("ana"), Group: among("web"), Application: among("cursor"), Server: among("github")}
	const tests = "tests: [{as: {user: ana}, call: github/x, expect: deny}]\n"
	for _, c := range []struct{ why, document, want string }{
		{"nothing to say", "rules:\n  - {name: a, effect: deny, users: [ana], groups: [web], roles: [viewer], applications: [cursor], tools: [github/x, 'git*/x']}\n" + tests, ""},
		{"shadowed", "rules:\n  - {name: b, effect: allow, tools: [github/get_x]}\n  - {name: a, effect: deny, tools: ['github/get_*', '*/z']}\n" + tests,
			`line 2, column 5: warning: rules[0]: the rule can never match: rule "a" in line 3 comes first and decides all that it is about`},
		{"shadowed by a rule for all", "rules:\n  - {name: a, effect: deny}\n  - {name: b, priority: 1, effect: allow, users: [ana], when: arguments.x == 1}\n" + tests,
			`line 3, column 5: warning: rules[1]: the rule can never match: rule "a" in line 2`},
		{"shadowed in one of its globs only", "rules:\n  - {name: a, effect: deny, tools: ['github/get_*']}\n  - {name: b, effect: allow, tools: [github/get_x, github/x]}\n" + tests, ""},
		{"earlier rule with a condition", "rules:\n  - {name: a, effect: deny, when: arguments.x == 1}\n  - {name: b, effect: allow}\n" + tests, ""},
		{"the same condition", "rules:\n  - {name: a, effect: deny, when: arguments.x == 1}\n  - {name: b, effect: allow, users: [ana], when: arguments.x == 1}\n" + tests,
			`line 3, column 5: warning: rules[1]: the rule can never match`},
		{"duplicate", "rules:\n  - {name: a, effect: deny, users: [ana]}\n  - {name: b, effect: deny, users: [ana]}\n" + tests,
			`line 3, column 5: warning: rules[1]: the rule can never match: rule "a" in line 2 comes first and says the same`},
		{"false", "rules:\n  - name: a\n    effect: deny\n    when: 1 == 2\n" + tests, `line 2, column 5: warning: rules[0]: the rule can never match: its condition is false`},
		{"true", "rules:\n  - name: a\n    effect: deny\n    when: 1 == 1\n" + tests, `line 4, column 11: warning: rules[0].when: the condition is true for every request`},
		{"failing", "rules:\n  - name: a\n    effect: allow\n    when: 1 / 0 == 1\n" + tests, `line 4, column 11: warning: rules[0].when: the condition cannot be evaluated for any request`},
		{"shadowed by a condition that fails", "rules:\n  - {name: b, effect: allow}\n  - {name: a, priority: -1, effect: allow, when: 1 / 0 == 1}\n" + tests,
			`line 2, column 5: warning: rules[0]: the rule can never match`},
		{"methods and kinds", "rules:\n  - {name: a, effect: deny, methods: [tools/call]}\n  - {name: b, effect: allow, tools: ['*']}\n" + tests, ""},
		{"denied risk", "rules:\n  - {name: a, effect: deny, risk: [write]}\n  - {name: b, effect: allow, risk: [write, unclassified]}\n" + tests, `rules[1]: the rule can never match`},
		{"spellings", "rules:\n  - {name: a, effect: allow, priority: -1, resources: ['github/x://a/*']}\n  - {name: b, effect: deny, resources: ['github/x://a/b']}\n" + tests, ""},
		{"spellings of a denial", "rules:\n  - {name: a, effect: deny, priority: -1, resources: ['github/x://a/*']}\n  - {name: b, effect: deny, resources: ['github/x://a/b']}\n" + tests, `rules[1]: the rule can never match`},
		{"unknown user", "rules:\n  - {name: a, effect: deny, users: [ana, bo]}\n" + tests, `line 2, column 42: warning: rules[0].users[1]: there is no user "bo"`},
		{"unknown group", "rules:\n  - {name: a, effect: deny, groups: [ops]}\n" + tests, `rules[0].groups[0]: there is no group "ops"`},
		{"unknown role", "rules:\n  - {name: a, effect: deny, roles: [ops]}\n" + tests, `rules[0].roles[0]: there is no role "ops"`},
		{"unknown application", "rules:\n  - {name: a, effect: deny, applications: [ops]}\n" + tests, `rules[0].applications[0]: there is no application "ops"`},
		{"unknown server", "rules:\n  - {name: a, effect: deny, tools: ['github/x', 'gitbub/*']}\n" + tests, `line 2, column 49: warning: rules[0].tools[1]: there is no server "gitbub"`},
		{"unknown server of a limit", "rules: []\nlimits:\n  - {name: l, per: user, calls: 1, window: 1s, tools: ['gitbub/*']}\n", `limits[0].tools[0]: there is no server "gitbub"`},
		{"unlikely risk", "rules:\n  - {name: a, effect: deny, prompts: ['*'], risk: [write]}\n" + tests, `rules[0].risk: prompts and resources are read`},
		{"no tests", "rules:\n  - {name: a, effect: deny}\n", `line 1, column 1: warning: the document has no tests`},
	} {
		t.Run(c.why, func(t *testing.T) {
			var texts []string
			for _, remark := range parse(t, c.document).Lint(known) {
				texts = append(texts, remark.String())
			}
			if len(texts) > 1 && !strings.Contains(c.why, "that fails") || c.want == "" != (len(texts) == 0) || c.want != "" && !strings.Contains(texts[0], c.want) {
				t.Errorf("%q, want %q", texts, c.want)
			}
		})
	}
}

// write returns the rules of a world as people would write them.
func (w *world) write() string {
	if len(w.rules) == 0 {
		return "rules: []\n"
	}
	text := "rules:\n"
	for _, rule := range w.rules {
		text += policy.FormatRule(rule)
	}
	return text
}

// fits leaves out what no document may say: methods that are about none of the kinds.
func (w *world) fits() {
	for _, rule := range w.rules {
		rule.Name, rule.Methods = rule.GetId(), nil
	}
}

// randomRequest is drawRequest by the million.
func randomRequest(random *rand.Rand) *policy.Request {
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	some := func(of ...string) (out []string) {
		for _, name := range of {
			if random.IntN(2) == 0 {
				out = append(out, name)
			}
		}
		return out
	}
	r := &policy.Request{
		Principal: &principal.Principal{
			User: one("ana", "bo", "cleo", ""), Groups: some("web", "ops"), Roles: some("viewer", "operator", "owner", "developer"),
			Application: one("cursor", "claude", ""), KeyID: one("", "k1"), Issuer: one("", "corp"),
		},
		Target: policy.Target{
			Kind: policy.Kind(random.IntN(3)), Server: one("git", "github", "mail"), Risk: snapshotv1.Risk(random.IntN(8)),
			Name: one("get", "get_x", "delete_x", "a/b", "a%2Fb", "a/b/", "get#x", "get?", "other"),
		},
		Facts: policy.Facts{Client: policy.Client{Name: one("", "cursor", "a")}},
	}
	r.Method = r.Kind.Method()
	if random.IntN(2) == 0 {
		r.Facts.Now = zone.Add(time.Duration(random.IntN(3)-1) * time.Hour)
	}
	if random.IntN(2) == 0 {
		r.Facts.Arguments = fmt.Appendf(nil, `{%q: %s, %q: %s}`, "a", one("1", `"a"`, "true", "null", "{}", `["a"]`), "b", one("2", `"ab"`, `{"a": 3}`))
	}
	return r
}

// Sound: what is said to match never does not decide a request, ever.
func TestRuleThatIsSaidNeverToMatchNeverDecides(t *testing.T) {
	const requests, enough = 10_000, 100
	said, kept := 0, 0
	for said < enough && !t.Failed() {
		rapid.Check(t, func(t *rapid.T) {
			w := drawWorld(t)
			w.fits()
			document, err := policy.ParseDocument([]byte(w.write()))
			if err != nil {
				t.Fatal(err)
			}
			never := map[string]bool{}
			for _, remark := range document.Lint(policy.Known{}) {
				if remark.Check == policy.CheckNeverMatches || remark.Check == policy.CheckDuplicate {
					var i int
					if _, err := fmt.Sscanf(remark.Text, "rules[%d]:", &i); err != nil {
						t.Fatalf("%s: %v", remark.Text, err)
					}
					never[document.Rules[i].GetName()] = true
				}
			}
			kept += len(w.rules) - len(never)
			if said += len(never); len(never) == 0 || said > 2*enough {
				return
			}
			set, err := policy.Compile(1, document.Rules, w.roles, nil)
			if err != nil {
				t.Fatal(err)
			}
			random := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "seed")))
			for range requests {
				if r := randomRequest(random); never[policy.Decide(set, r).Rule] {
					t.Fatalf("rule %s decided %+v as %+v\n%s", policy.Decide(set, r).Rule, r, *r.Principal, w.write())
				}
			}
		})
	}
	t.Logf("%d rules can never match, %d may; the former were held against %d requests each", said, kept, requests)
	if said < enough || kept < enough {
		t.Errorf("too few rules to tell")
	}
}

func TestFormattedDocumentReadsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.fits()
		for _, rule := range w.rules {
			rule.Reason = rapid.StringOfN(rapid.RuneFrom([]rune("aZ0 '\"\\#:-{}[]\n\tü\u202e|>&*!%@`,?")), 0, 12, -1).Draw(t, "reason")
		}
		text := w.write()
		document, err := policy.ParseDocument([]byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		if diff := cmp.Diff(w.rules, document.Rules, protocmp.Transform(), cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%s\n%s", diff, text)
		}
		for _, limit := range w.limits {
			document, err := policy.ParseDocument([]byte("rules: []\nlimits:\n" + policy.FormatLimit(limit)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(limit, document.Limits[0], protocmp.Transform()); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func TestDiffSaysWhatChanges(t *testing.T) {
	before := parse(t, "rules:\n  - {name: same, effect: deny, users: [ana]}\n  - {name: gone, effect: deny}\n  - {name: other, effect: allow}\n")
	after := parse(t, "rules:\n  - {name: other, effect: allow, when: 'arguments.x == \"it''s\"'}\n  - {name: new, priority: 3, effect: allow, tools: [a/b]}\n"+
		"  - {name: same, effect: deny, users: [ana]}\nlimits:\n  - {name: l, per: user, calls: 600, window: 1m}\n")
	want := []policy.Change{
		{"rule", "gone", "removed", "- name: gone\n  effect: deny\n", ""},
		{"rule", "new", "added", "", "- name: new\n  priority: 3\n  effect: allow\n  tools: [a/b]\n"},
		{"rule", "other", "changed", "- name: other\n  effect: allow\n", "- name: other\n  effect: allow\n  when: 'arguments.x == \"it''s\"'\n"},
		{"limit", "l", "added", "", "- name: l\n  per: user\n  calls: 600\n  window: 1m\n  burst: 60\n"},
	}
	if diff := cmp.Diff(want, before.Diff(after)); diff != "" {
		t.Error(diff)
	}
	if same := after.Diff(after); len(same) != 0 {
		t.Errorf("%+v", same)
	}
	if all := (*policy.Document)(nil).Diff(after); len(all) != 4 {
		t.Errorf("%+v", all)
	}
}

// The largest document is checked in bounded time.
func TestLintOfTheLargestDocumentEnds(t *testing.T) {
	document := parse(t, manyRules(policy.MaxRules))
	start := time.Now()
	remarks := document.Lint(policy.Known{Server: func(string) bool { return false }})
	if len(remarks) != 1001 {
		t.Errorf("%d remarks", len(remarks))
	}
	t.Logf("%d rules in %v", policy.MaxRules, time.Since(start))
}
