package e2e_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestWhoChangesPolicySeesWhatItDoes types what an administrator types who makes a
// mistake in the policy and takes it back: look, apply, be told of a denied call,
// explain it, simulate, roll back.
func TestWhoChangesPolicySeesWhatItDoes(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	w := &world{gateway: g}
	admin(t, g.dataDir, "server", "add", "s", "--url", startSDK(t, true).url, "--private", "--approve")
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	key := w.key(t, "cursor")
	add := func() string {
		_, body, _ := post(t, g.mcp, key, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"s__add","arguments":{"a":1,"b":2}}}`)
		return body
	}
	// says runs a command that is to end so, and to say all that.
	says := func(code int, args string, want ...string) string {
		t.Helper()
		r := command(t, g.dataDir, "", strings.Fields(args)...)
		for _, text := range want {
			if !strings.Contains(r.stdout+r.stderr, text) {
				t.Errorf("warder %s: shows\n%s%s\nwithout %q", args, r.stdout, r.stderr, text)
			}
		}
		if r.code != code {
			t.Errorf("warder %s: exit %d\n%s%s", args, r.code, r.stdout, r.stderr)
		}
		return r.stdout
	}
	file := func(name, document string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(document), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := file("good.yaml", "rules: []\n")
	bad := file("bad.yaml", "rules:\n  - {name: no-sums, effect: deny, tools: [s/add], when: 'arguments.a == 1'}\n  - {name: no-cursor, effect: deny, applications: [cursor], tools: [s/add]}\n")
	wrong := file("wrong.yaml", "rules:\n  - {name: x, effect: maybe}\ntests:\n  - {as: {user: ana}, call: s/add}\n")

	says(0, "policy apply -f "+good+" --reason begin", "Version 1 with 0 rules and 0 limits")
	if body := add(); !strings.Contains(body, `"sum":3`) {
		t.Fatalf("at first the call answers %s", body)
	}
	w.ledgerOf(t, "cursor", 1)
	says(0, "deny add user anna --for 1s", "No user here is named anna", "Was it misspelt?")
	says(0, "deny add application cursr --for 1s", "No application here is named cursr")
	if r := command(t, g.dataDir, "", "deny", "add", "user", "ana"); r.code != 0 || r.stderr != "" {
		t.Errorf("a user who is known: exit %d, %s", r.code, r.stderr)
	}
	says(0, "deny remove user ana", "Lifted")

	says(2, "policy apply -f "+wrong, "wrong.yaml:2:23: error: rules[0].effect", "^", "wrong.yaml:4:5: error: tests[0]: the test has no expect", "the rules in force stay: 2 errors")
	says(3, "policy lint -f "+wrong, "wrong.yaml:2:23", "wrong.yaml:4:5")
	says(3, "policy test -f "+file("failing.yaml", "rules: []\ntests:\n  - {as: {user: ana}, call: s/add, expect: deny}\n"), "failing.yaml:3:5: error: ana calls s/add: expected deny, got allow", "0 of 1 tests hold.")
	says(0, "policy lint -f "+bad, "warning: the document has no tests")
	says(3, "policy diff --exit-code -f "+bad, "--- version 1", "@@ rule no-cursor: added @@", "+  applications: [cursor]")
	says(3, "policy simulate --exit-code -f "+bad+" --since 1h", "Now denied", "s/add", "allow (role:owner)", "deny (no-cursor)")
	says(0, "policy apply --dry-run -f "+bad, "@@ rule no-sums: added @@")
	says(7, "policy apply --expect-version 0 -f "+bad, "you began from version 0")

	says(0, "policy apply --expect-version 1 -f "+bad, "Version 2 with 2 rules")
	body := add()
	if !strings.Contains(body, "no-cursor") {
		t.Fatalf("under the rules the call answers %s", body)
	}
	var denied string
	for _, call := range w.ledgerOf(t, "cursor", 2) {
		if call["decision"] == "deny" {
			denied = call["id"].(string)
		}
	}
	if !strings.Contains(body, denied) {
		t.Errorf("the answer does not name the call %s: %s", denied, body)
	}
	says(0, "policy explain --call "+denied, "Decision  deny", "no-cursor", "Recorded:", "no-cursor  yes")
	says(3, "policy explain ana --application cursor --tool s/add --expect allow", "the decision is deny, not allow")
	says(0, `policy explain ana --application ci --tool s/add --arguments {"a":1} --expect deny`, "no-sums")
	says(0, "policy explain ana --application ci --tool s/add --expect allow", "open", "arguments.a == 1")
	says(0, "policy simulate --version 1 --since 1h --application cursor", "Now allowed  1", "deny (no-cursor)", "allow (role:owner)")

	says(0, "policy rollback 1 --reason oops", "Version 3, which is version 1 again, is in force")
	says(0, "policy history", "oops", "begin", "ROLLBACK-OF")
	says(0, "policy get --version 2", "no-cursor")
	if body := add(); !strings.Contains(body, `"sum":3`) {
		t.Errorf("after the rollback the call answers %s", body)
	}

	schema := says(0, "policy schema", `"urn:warder:policy:1"`)
	response, err := http.Get(strings.TrimSuffix(g.mcp, "/mcp") + "/schemas/policy.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	served, err := io.ReadAll(response.Body)
	if kind := response.Header.Get("Content-Type"); err != nil || string(served) != schema || kind != "application/schema+json" {
		t.Errorf("the schema at its address: %d, %s, %d bytes, %v", response.StatusCode, kind, len(served), err)
	}
}
