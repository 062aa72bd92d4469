package policy_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

const sample = `# who may do what
rules:
  - name: no-deletes
    priority: 10
    effect: deny                     # allow | deny
    reason: Deleting repositories needs a person
    tools: ["github/delete_*"]
    prompts: ["github/*"]
    resources: ["files/file:///etc/*?raw=1"]
    risk: [destructive]
    roles: [developer]
  - name: reads
    effect: allow
    users: [ana]
    groups:
      - web
    applications: ['cursor']
    risk: [read, unclassified]
    methods: [tools/call]
tests:
  - as: {user: ana, application: cursor, roles: [developer]}
    call: github/delete_repo
    arguments: {repo: prod-site, deep: {list: [1, true, null]}}
    expect: deny
  - as:
      user: ana
      groups: [web]
      application: cursor
    call: github/get/repo
    expect: allow
  - {as: {user: ana}, get: github/review, method: completion/complete, expect: deny}
  - {as: {user: ana}, read: "files/file:///a/b", expect: deny}
`

func TestDocumentIsReadAsWritten(t *testing.T) {
	got, err := policy.ParseDocument([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	want := &policy.Document{
		Rules: []*snapshotv1.Rule{
			{
				Id: "no-deletes", Name: "no-deletes", Priority: 10, Effect: deny, Reason: "Deleting repositories needs a person",
				Tools: []string{"github/delete_*"}, Prompts: []string{"github/*"}, Resources: []string{"files/file:///etc/*?raw=1"},
				Risks: []snapshotv1.Risk{destructive}, Roles: []string{"developer"},
			},
			{
				Id: "reads", Name: "reads", Effect: allow, Users: []string{"ana"}, Groups: []string{"web"}, Applications: []string{"cursor"},
				Risks: []snapshotv1.Risk{read, unclassified}, Methods: []string{"tools/call"},
			},
		},
		Tests: []policy.Test{
			{
				As:         principal.Principal{User: "ana", Application: "cursor", Roles: []string{"developer"}},
				RolesGiven: true, Target: policy.Target{Server: "github", Name: "delete_repo"}, Method: "tools/call", Expect: deny, Line: 21, Column: 5,
				Facts: policy.Facts{Arguments: []byte(`{"repo":"prod-site","deep":{"list":[1,true,null]}}`)},
			},
			{
				As:     principal.Principal{User: "ana", Application: "cursor", Groups: []string{"web"}},
				Target: policy.Target{Server: "github", Name: "get/repo"}, Method: "tools/call", Expect: allow, Line: 25, Column: 5,
			},
			{
				As:     principal.Principal{User: "ana"},
				Target: policy.Target{Kind: policy.Prompt, Server: "github", Name: "review"}, Method: policy.MethodComplete, Expect: deny, Line: 31, Column: 5,
			},
			{
				As:     principal.Principal{User: "ana"},
				Target: policy.Target{Kind: policy.Resource, Server: "files", Name: "file:///a/b"}, Method: policy.MethodRead, Expect: deny, Line: 32, Column: 5,
			},
		},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform(), cmpopts.IgnoreUnexported(policy.Document{})); diff != "" {
		t.Error(diff)
	}
}

func TestDocumentErrorNamesPlaceFieldAndRemedy(t *testing.T) {
	const rule = "rules:\n  - name: r\n    effect: deny\n    "
	const test = "rules: []\ntests:\n  - as: {user: ana}\n    call: a/b\n    expect: deny\n    "
	for _, c := range []struct{ why, document, want string }{
		{"unknown field", rule + "effct: deny", `line 4, column 5: rules[0].effct: unknown field; did you mean "effect"?`},
		{"unknown field unlike any", rule + "colour: red", `line 4, column 5: rules[0].colour: unknown field; the fields here are name, priority`},
		{"unknown field at the top", "rule: []", `line 1, column 1: rule: unknown field; did you mean "rules"?`},
		{"condition with a misspelt field", rule + "when: 'principal.usr == \"ana\"'", `line 4, column 21: rules[0].when: undefined field 'usr'`},
		{"unknown effect", "rules:\n  - name: r\n    effect: Alow", `line 3, column 13: rules[0].effect: "Alow" is neither allow nor deny; did you mean "allow"?`},
		{"effect that is no text", "rules:\n  - name: r\n    effect: true", `line 3, column 13: rules[0].effect: this should be text`},
		{"no effect", "rules:\n  - name: r", `line 2, column 5: rules[0]: the rule has no effect`},
		{"no name", "rules:\n  - effect: deny", `line 2, column 5: rules[0]: the rule has no name`},
		{"empty name", "rules:\n  - name: ''\n    effect: deny", `line 2, column 11: rules[0].name: this is empty`},
		{"reserved name", "rules:\n  - name: role:owner\n    effect: deny", `rules[0].name: the name "role:owner" is reserved`},
		{"name twice", rule + "\n  - name: r\n    effect: allow", `rules[1]: the rule in line 2 is called "r" too`},
		{"unknown risk", rule + "risk: [destuctive]", `line 4, column 12: rules[0].risk[0]: no risk category "destuctive"; the categories are read, write, external, destructive, admin, execute, unclassified; did you mean "destructive"?`},
		{"malformed glob", rule + "tools:\n      - 'a/*'\n      - github", `line 6, column 9: rules[0].tools[1]: glob "github" has no "/"`},
		{"list that is text", rule + "users: ana", `line 4, column 12: rules[0].users: this should be a list; write [a, b]`},
		{"empty list", rule + "users: []", `line 4, column 12: rules[0].users: the list is empty; leave the field out`},
		{"empty entry", rule + "users: ['']", `line 4, column 13: rules[0].users[0]: this is empty`},
		{"entry that is no text", rule + "users: [ana, 7]", `line 4, column 18: rules[0].users[1]: this should be text; put it in quotes`},
		{"no value", rule + "users:", `line 4, column 5: rules[0].users: the field has no value`},
		{"method of a list", rule + "methods: [tools/list]", `rules[0].methods[0]: what is listed is what may be used; write tools/call, prompts/get or resources/read`},
		{"unknown method", rule + "methods: [tool/call]", `rules[0].methods[0]: no decision is made about method "tool/call"; there are tools/call, prompts/get, resources/read, resources/subscribe, completion/complete, sampling/createMessage, elicitation/create, roots/list; did you mean "tools/call"?`},
		{"priority of text", rule + "priority: high", `rules[0].priority: a priority is a whole number`},
		{"priority with a point", rule + "priority: 1.5", `rules[0].priority: a priority is a whole number`},
		{"priority too large", rule + "priority: 3000000000", `rules[0].priority: a priority is a whole number from -2147483648 to 2147483647`},
		{"field twice", rule + "users: [a]\n    users: [b]", `line 5, column 5`},
		{"rule that is text", "rules: [deny]", `line 1, column 9: rules[0]: this should be an object with the fields name,`},
		{"rules that are no list", "rules: {name: r}", `rules: this should be a list`},
		{"document that is a list", "- name: r", `line 1, column 1: this should be an object with the fields rules, limits, tests`},
		{"no rules", "tests: []", `the document has no rules; write "rules: []"`},
		{"empty", "", `holds no document`},
		{"comment only", "# nothing", `holds no document`},
		{"two documents", "rules: []\n---\nrules: []", `more than one`},
		{"anchor", "rules: &a []", `line 1, column 8: "&" is not allowed in a policy`},
		{"alias", "rules: *a", `is not allowed in a policy`},
		{"tag", "rules: !!seq []", `is not allowed in a policy`},
		{"merge key", "rules:\n  - <<: {name: r}\n    effect: deny", `is not allowed in a policy`},
		{"deep brackets", "rules: " + strings.Repeat("[", 100_000), `nests deeper than`},
		{"deep entries", strings.Repeat("- ", 100_000), `nests deeper than`},
		{"deep keys", strings.Repeat("? ", 100_000), `is not allowed in a policy`},
		{"many entries", "rules:\n" + strings.Repeat("-\n", 100_000), `line 60002, column 1: the lists of the document have more than 60000 entries`},
		{"not YAML", "rules: [", `line 1, column 8: not YAML:`},
		{"not text", "rules: \xff", `not UTF-8`},
		{"too large", "rules: []\n#" + strings.Repeat("x", policy.MaxDocument), `at most 1048576 are allowed`},
		{"test without a call", "rules: []\ntests:\n  - as: {user: ana}\n    expect: deny", `line 3, column 5: tests[0]: the test has no call (of a tool), get (of a prompt) or read (of a resource)`},
		{"test of half a tool", "rules: []\ntests:\n  - as: {user: ana}\n    expect: deny\n    call: github", `line 5, column 11: tests[0].call: "github" is not "server/tool"`},
		{"test of half a resource", "rules: []\ntests:\n  - as: {user: ana}\n    expect: deny\n    read: files", `tests[0].read: "files" is not "server/resource"`},
		{"test of two things", test + "get: a/b", `line 6, column 10: tests[0].get: a test is about one thing`},
		{"test of another kind's method", test + "method: prompts/get", `tests[0].method: no decision about a tool is made for method "prompts/get"; there are tools/call, sampling/createMessage`},
		{"malformed glob of prompts", rule + "prompts: [x]", `rules[0].prompts[0]: glob "x" has no "/" between server and prompt; all prompts of a server are "x/*"`},
		{"malformed glob of resources", rule + "resources: ['x/y://{z}']", `rules[0].resources[0]: glob "x/y://{z}" has a character of []{}\`},
		{"methods of other kinds", rule + "tools: ['*']\n    methods: [prompts/get, resources/read]", `line 5, column 14: rules[0].methods: the rule can never match`},
		{"test with an unknown field", test + "risk: read", `tests[0].risk: unknown field`},
		{"test with odd arguments", test + "arguments: [1]", `tests[0].arguments: arguments are an object`},
		{"test as nobody knows what", "rules: []\ntests:\n  - as: {usr: ana}\n    call: a/b\n    expect: deny", `line 3, column 10: tests[0].as.usr: unknown field; did you mean "user"?`},
		{"test that expects the unknown", "rules: []\ntests:\n  - as: {user: ana}\n    call: a/b\n    expect: maybe", `tests[0].expect: "maybe" is neither allow nor deny`},
	} {
		t.Run(c.why, func(t *testing.T) {
			document, err := policy.ParseDocument([]byte(c.document))
			if document != nil || !fault.Is(err, fault.Invalid) {
				t.Fatalf("accepted: %v", err)
			}
			if !strings.Contains(fault.Text(err), c.want) {
				t.Errorf("the error is %q, want %q in it", fault.Text(err), c.want)
			}
		})
	}
}

func TestEmptyRuleSetMustBeWrittenOut(t *testing.T) {
	document, err := policy.ParseDocument([]byte("rules: []\n"))
	if err != nil || len(document.Rules) != 0 {
		t.Errorf("%v, %v", document, err)
	}
}

func manyRules(n int) string {
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range n {
		fmt.Fprintf(&b, "  - {name: r%d, effect: deny, tools: [\"s/t%d\"]}\n", i, i)
	}
	return b.String()
}

func TestDocumentHoldsAsManyRulesAsItMay(t *testing.T) {
	start := time.Now()
	document, err := policy.ParseDocument([]byte(manyRules(policy.MaxRules)))
	if err != nil || len(document.Rules) != policy.MaxRules {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("%d rules took %v", policy.MaxRules, took)
	}
	if _, err := policy.ParseDocument([]byte(manyRules(policy.MaxRules + 1))); err == nil || !strings.Contains(err.Error(), "at most 10000") {
		t.Errorf("one more: %v", err)
	}
}

func TestConditionsAreBounded(t *testing.T) {
	conditional := func(n int) string {
		return strings.ReplaceAll(manyRules(n), "effect: deny", "effect: deny, when: 'arguments.x == 1'")
	}
	document := parse(t, conditional(policy.MaxConditions))
	if _, err := policy.Compile(1, document.Rules, nil, nil); err != nil {
		t.Error(err)
	}
	if _, err := policy.ParseDocument([]byte(conditional(policy.MaxConditions + 1))); err == nil || !strings.Contains(fault.Text(err), "line 1002, column 5: rules[1000]: more than 1000 rules have a condition") {
		t.Errorf("one more: %v", err)
	}
	more := append(document.Rules, &snapshotv1.Rule{Id: "more", Effect: deny, When: "arguments.x == 2"})
	if _, err := policy.Compile(1, more, nil, nil); err == nil || !strings.Contains(fault.Text(err), "more than 1000 rules have a condition") {
		t.Errorf("one more compiled: %v", err)
	}
}

func TestCheckRunsTheDocumentsTests(t *testing.T) {
	lookup := func(t policy.Target) (snapshotv1.Risk, bool) {
		return map[string]snapshotv1.Risk{"delete_repo": destructive, "get_repo": read, "push": snapshotv1.Risk_RISK_WRITE, "file:///delete_repo": destructive}[t.Name], t.Name != "unheard_of"
	}
	users := func(name string) ([]string, bool) {
		return map[string][]string{"vic": {"viewer"}, "root": {"owner"}}[name], name != "ghost"
	}
	for _, c := range []struct{ why, test, want string }{
		{"rule", "{as: {user: root}, call: github/delete_repo, expect: deny}", ""},
		{"role of the user", "{as: {user: vic}, call: github/get_repo, expect: allow}", ""},
		{"roles as given", "{as: {user: vic, roles: [owner]}, call: github/push, expect: allow}", ""},
		{"no name", "{as: {application: ci}, call: github/get_repo, expect: deny}", ""},
		{"unmet", "{as: {user: root}, call: github/delete_repo, expect: allow}",
			"1 of 1 tests of the document fail:\n  line 4: root calls github/delete_repo: expected allow, got deny (no-deletes: rule \"no-deletes\" denies it)"},
		{"unknown user", "{as: {user: ghost}, call: github/get_repo, expect: allow}", "there is no user ghost, so no roles"},
		{"prompt", "{as: {user: root}, get: github/get_repo, expect: allow}", ""},
		{"unmet of a resource", "{as: {user: vic}, read: 'files/file:///delete_repo', expect: allow}",
			"line 4: vic reads files/file:///delete_repo: expected allow, got deny (no-deletes: rule \"no-deletes\" denies it)"},
		{"unmet of another method", "{as: {user: vic}, call: github/get_repo, method: roots/list, expect: deny}",
			"line 4: vic with roots/list on github/get_repo: expected deny, got allow"},
		{"unknown tool", "{as: {user: vic}, call: github/unheard_of, expect: allow}", "not in the catalogue, so unclassified"},
	} {
		t.Run(c.why, func(t *testing.T) {
			document, err := policy.ParseDocument([]byte("rules:\n  - {name: no-deletes, effect: deny, risk: [destructive]}\ntests:\n  - " + c.test))
			if err != nil {
				t.Fatal(err)
			}
			err = document.Check(t.Context(), policy.BuiltInRoles(), lookup, users)
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(fault.Text(err), c.want)):
				t.Errorf("the error is %v, want %q in it", err, c.want)
			}
		})
	}
}

func FuzzParseDocumentIsTotal(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte("rules: [{name: 'a', effect: \"deny\", reason: |-\n  x\n}]"))
	f.Add([]byte("{rules: [], tests: [{as: {}, call: a/b, expect: deny, arguments: {? a : b}}]}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		document, err := policy.ParseDocument(text)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatalf("kind %v: %v", fault.KindOf(err), err)
			}
			return
		}
		if _, err := policy.Compile(1, document.Rules, nil, nil); err != nil {
			t.Fatalf("parsed, but does not compile: %v", err)
		}
	})
}

// The documentation shows a document; it must be one.
func TestDocumentInTheDocumentationHolds(t *testing.T) {
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := strings.Split(string(page), "```yaml\n")[1:]
	if len(examples) < 4 {
		t.Fatalf("the page shows %d documents", len(examples))
	}
	for _, after := range examples {
		text, _, _ := strings.Cut(after, "```")
		document := parse(t, text)
		risks := func(policy.Target) (snapshotv1.Risk, bool) { return read, true }
		if err := document.Check(t.Context(), policy.BuiltInRoles(), risks, func(string) ([]string, bool) { return nil, true }); err != nil || len(document.Tests) == 0 {
			t.Errorf("%d tests: %v", len(document.Tests), err)
		}
		if remarks := document.Lint(policy.Known{}); len(remarks) > 0 {
			t.Errorf("%v", remarks)
		}
	}
}

// A reason goes to everybody who is denied and into each record of it.
func TestAReasonIsBounded(t *testing.T) {
	document := func(n int) []byte {
		return []byte("rules:\n  - {name: a, effect: deny, reason: " + strings.Repeat("r", n) + "}\n")
	}
	if _, err := policy.ParseDocument(document(1000)); err != nil {
		t.Error(err)
	}
	if _, err := policy.ParseDocument(document(1001)); err == nil || !strings.Contains(err.Error(), "a reason is at most 1000 bytes long") {
		t.Errorf("a longer one: %v", err)
	}
}
