package policy_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/jsonschema-go/jsonschema"
	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/internal/policy"
)

// schema returns a function that says what the schema has against a document.
func schema(t testing.TB) func(text string) error {
	t.Helper()
	var parsed jsonschema.Schema
	if err := json.Unmarshal(policy.Schema, &parsed); err != nil {
		t.Fatal(err)
	}
	resolved, err := parsed.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(text string) error {
		var document any
		if err := yaml.Unmarshal([]byte(text), &document); err != nil {
			return err
		}
		raw, err := json.Marshal(document)
		if err != nil {
			return err
		}
		var plain any
		if err := json.Unmarshal(raw, &plain); err != nil {
			return err
		}
		return resolved.Validate(plain)
	}
}

func TestSchemaAcceptsWhatIsADocument(t *testing.T) {
	validate := schema(t)
	page, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	examples := []string{sample, "rules: []\n", everything}
	for _, part := range strings.Split(string(page), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(part, "```")
		examples = append(examples, text)
	}
	if len(examples) < 7 {
		t.Fatalf("only %d examples", len(examples))
	}
	for _, text := range examples {
		if _, err := policy.ParseDocument([]byte(text)); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
		if err := validate(text); err != nil {
			t.Errorf("%v\n%s", err, text)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.fits()
		text := w.write()
		if len(w.limits) > 0 {
			text += "limits:\n"
		}
		for _, limit := range w.limits {
			text += policy.FormatLimit(limit)
		}
		if err := validate(text); err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
	})
}

// everything has each field.
const everything = `rules:
  - name: all of it
    priority: -3
    effect: allow
    reason: because
    users: [ana]
    groups: [web]
    roles: [developer]
    applications: [cursor]
    tools: ['*', 'git*/get_*', 'a-1/b c/d']
    prompts: ['**']
    resources: ['files/file:///pub/*?x=1']
    risk: [read, write, destructive, admin, execute, external, unclassified]
    methods: [tools/call, prompts/get, resources/read, resources/subscribe, completion/complete, sampling/createMessage, elicitation/create, roots/list]
    when: |
      arguments.repo.startsWith("prod-") &&
        now < timestamp("2026-12-01T00:00:00Z")
limits:
  - {name: l, per: tool, calls: 600, window: 1m30s, burst: 60, users: [ana], groups: [web], roles: [developer], applications: [cursor],
     tools: ['*'], prompts: ['*'], resources: ['*'], risk: [write]}
tests:
  - as: {user: ana, application: cursor, roles: [developer], groups: [web], key: k1, issuer: corp}
    call: github/x
    method: roots/list
    client: {name: cursor, version: '1'}
    at: 2026-11-22T10:00:00Z
    expect: deny
  - {as: {}, call: github/x, arguments: {repo: prod-x, n: 1.5, deep: {list: [1, true, null]}}, expect: deny}
  - {as: {}, get: github/x, expect: deny}
  - {as: {}, read: 'github/x://y', expect: deny}
`

// What a person can get wrong without writing anything that is no YAML or no CEL.
func TestSchemaRefusesWhatIsNoDocument(t *testing.T) {
	validate := schema(t)
	const rule, limit, test = "rules: [{name: r, effect: deny, ", "rules: []\nlimits: [{name: l, per: user, calls: 1, window: 1s, ", "rules: []\ntests: [{as: {user: a}, expect: deny, "
	for _, text := range []string{
		"rule: []", "tests: []", "[]", "rules: {}", "rules: [deny]", "rules: [{effect: deny}]", "rules: [{name: r}]", "rules: [{name: r, effect: Deny}]",
		"rules: [{name: '', effect: deny}]", "rules: [{name: ' r', effect: deny}]", "rules: [{name: 'role:x', effect: deny}]", "rules: [{name: key-servers, effect: deny}]",
		rule + "effct: deny}]", rule + "users: ana}]", rule + "users: []}]", rule + "users: ['']}]", rule + "users: [7]}]", rule + "priority: 1.5}]",
		rule + "priority: 3000000000}]", rule + "risk: [destuctive]}]", rule + "tools: [github]}]", rule + "tools: ['Git/x']}]", rule + "tools: ['git/']}]",
		rule + "tools: ['git/a?']}]", rule + "tools: ['!git/a']}]", rule + "resources: ['git/{x}']}]", rule + "methods: [tools/list]}]", rule + "when: true}]", rule + "when: ''}]",
		limit + "per_: 1}]", limit + "burst: 0}]", limit + "methods: [tools/call]}]", "rules: []\nlimits: [{name: l, per: users, calls: 1, window: 1s}]",
		"rules: []\nlimits: [{name: l, per: user, calls: 0, window: 1s}]", "rules: []\nlimits: [{name: l, per: user, calls: 1, window: 60}]",
		"rules: []\nlimits: [{name: l, per: user, calls: 1, window: minute}]", "rules: []\nlimits: [{name: l, per: user, calls: 1}]",
		test + "x: 1}]", test + "call: github}]", test + "call: a/b, get: a/b}]", test + "method: tools/call}]", test + "call: a/b, arguments: [1]}]",
		test + "call: a/b, client: cursor}]", test + "call: a/b, client: {nam: x}}]", test + "call: a/b, method: tools/list}]",
		"rules: []\ntests: [{as: {usr: a}, call: a/b, expect: deny}]", "rules: []\ntests: [{as: {user: a}, call: a/b, expect: maybe}]",
	} {
		if _, err := policy.ParseDocument([]byte(text)); err == nil {
			t.Errorf("a document: %s", text)
		}
		if validate(text) == nil {
			t.Errorf("accepted: %s", text)
		}
	}
}
