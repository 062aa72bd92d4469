package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// TestEachVerbPrintsATableAndTheMessageOfTheAPI types every administrator's verb
// in both forms of output. -o json must be protojson of the message that is
// named: nothing in it may be unknown to the message.
func TestEachVerbPrintsATableAndTheMessageOfTheAPI(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	server := startSDK(t, true)
	document := "rules:\n  - {name: a, effect: allow, tools: ['s/add']}\n"
	var key string
	for _, c := range []struct {
		verb  string
		json  proto.Message // what -o json is; nil: the verb is typed without it
		table string        // what the table shows; empty: the verb is typed only with -o json
	}{
		{"server add s --url URL --private", &adminv1.AddServerResponse{}, ""},
		{"server add t --url URL --private --approve", nil, "Added t: 3 tools"},
		{"server list", &adminv1.ListServersResponse{}, "NAME"},
		{"server show s", &adminv1.GetServerResponse{}, "s/delete_item"},
		{"server refresh s", &adminv1.RefreshServerResponse{}, "3 unchanged"},
		{"tool list", &adminv1.ListToolsResponse{}, "pending"},
		{"tool list --state approved --server t", &adminv1.ListToolsResponse{}, "t/add"},
		{"tool show s/add", &adminv1.GetToolResponse{}, "inputSchema"},
		{"tool show s/read_notes", nil, `"read" in the name`},
		{"tool approve s/add s/read_*", nil, "Approved s/add\nApproved s/read_notes"},
		{"tool approve --all --server s", &adminv1.ApproveToolsResponse{}, "Approved s/delete_item"},
		{"tool reject s/delete_item", &adminv1.RejectToolsResponse{}, "Rejected s/delete_item"},
		{"tool disable s/add", &adminv1.DisableToolsResponse{}, "Disabled s/add"},
		{"tool enable s/add", &adminv1.EnableToolsResponse{}, "Enabled s/add"},
		{"tool list --server t --state changed", &adminv1.ListToolsResponse{}, "TOOL"},
		{"prompt list", &adminv1.ListToolsResponse{}, "PROMPT"},
		{"resource list", &adminv1.ListToolsResponse{}, "RESOURCE"},
		{"server approve s", &adminv1.ApproveToolsResponse{}, "Nothing to do."},
		{"server set s --call-timeout 90s --max-in-flight 3", &adminv1.UpdateServerResponse{}, "1m30s"},
		{"role list", &adminv1.ListRolesResponse{}, "operator"},
		{"role create dev --tools s/*", &adminv1.CreateRoleResponse{}, ""},
		{"role create ops", nil, "ops"},
		{"role grant dev --risk write", &adminv1.GrantRoleResponse{}, "anything (write)"},
		{"user create ana --role dev --role viewer", &adminv1.CreateUserResponse{}, ""},
		{"user create bob --role owner", nil, "Created bob with the role owner"},
		{"user list", &adminv1.ListUsersResponse{}, "dev,viewer"},
		{"key create --user ana --application cursor --expires 30d", &adminv1.CreateKeyResponse{}, "wdr_"},
		{"key list", &adminv1.ListKeysResponse{}, "cursor"},
		{"policy apply -f -", &adminv1.ApplyPolicyResponse{}, "with 1 rule and"},
		{"policy lint -f -", &adminv1.CheckPolicyResponse{}, "no tests"},
		{"policy test -f -", &adminv1.CheckPolicyResponse{}, "0 of 0 tests hold"},
		{"policy diff -f -", &adminv1.CheckPolicyResponse{}, "No rule and no limit differs"},
		{"policy simulate -f -", &adminv1.SimulatePolicyResponse{}, "As before"},
		{"policy history", &adminv1.ListPoliciesResponse{}, "@local"},
		{"policy get", &adminv1.GetPolicyResponse{}, "effect: allow"},
		{`policy explain ana --application cursor --tool s/add --arguments {"a":1}`, &adminv1.ExplainDecisionResponse{}, "allow"},
		{"audit list --limit 5 --user ana --tool s/add --decision deny", &adminv1.ListCallsResponse{}, "DECISION"},
		{"audit changes", &adminv1.ListChangesResponse{}, "server.add"},
		{"node list", &adminv1.ListNodesResponse{}, "connected"},
		{"app list", &adminv1.ListApplicationsResponse{}, "cursor"},
		{"health", &adminv1.GetHealthResponse{}, "Database ready"},
		{"server remove t", nil, "Removed t"},
		{"server remove s", &adminv1.RemoveServerResponse{}, ""},
	} {
		args := strings.Fields(strings.Replace(c.verb, "URL", server.url, 1))
		if c.json != nil {
			r := command(t, g.dataDir, document, append(args, "-o", "json")...)
			if r.code != 0 || r.stderr != "" {
				t.Fatalf("warder %s -o json: exit %d, %s", c.verb, r.code, r.stderr)
			}
			if err := protojson.Unmarshal([]byte(r.stdout), c.json); err != nil {
				t.Errorf("warder %s -o json is no %T: %v\n%s", c.verb, c.json, err, r.stdout)
			}
			if created, ok := c.json.(*adminv1.CreateKeyResponse); ok {
				key = created.GetKey()
			}
		}
		if c.table != "" {
			r := command(t, g.dataDir, document, args...)
			if r.code != 0 || !strings.Contains(r.stdout, c.table) {
				t.Errorf("warder %s: exit %d, shows\n%s%s\nwithout %q", c.verb, r.code, r.stdout, r.stderr, c.table)
			}
		}
	}
	for _, verb := range []string{"key list", "user list", "audit changes"} {
		if all, _ := json.Marshal(admin(t, g.dataDir, strings.Fields(verb)...)); key == "" || strings.Contains(string(all), key) {
			t.Errorf("warder %s shows the key %q again: %s", verb, key, all)
		}
	}
}

// TestHeadersReachTheServerAndNobodyElse holds that what --header gives is sent
// with discovery and calls, and is shown nowhere.
func TestHeadersReachTheServerAndNobodyElse(t *testing.T) {
	t.Parallel()
	const secret = "Bearer canary-of-the-upstream"
	var mu sync.Mutex
	seen := map[string]int{} // requests by the secrets that they carried
	m := startMoody(t)
	m.call = func(w http.ResponseWriter, _ *http.Request, id json.RawMessage) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"content":[]}}`, id)
	}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		seen[r.Header.Get("Authorization")+" "+r.Header.Get("X-Tenant")]++
		mu.Unlock()
		m.serve(w, r)
	}))
	t.Cleanup(front.Close)

	g, up := startUp(t, "--log-level", "debug")
	shown := command(t, g.dataDir, "", "server", "add", "moody", "--url", front.URL+"/mcp", "--private", "--approve",
		"--header", "Authorization: "+secret, "--header", "X-Tenant:  blue ")
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	w := &world{gateway: g}
	key := w.key(t, "headers")
	if status, body, _ := post(t, g.mcp, key, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"moody__read"}}`); status != 200 || !strings.Contains(body, "content") {
		t.Fatalf("the call: %d %s", status, body)
	}
	w.ledgerOf(t, "headers", 1)
	mu.Lock()
	if len(seen) != 1 || seen[secret+" blue"] < 4 {
		t.Errorf("the server saw %v", seen)
	}
	mu.Unlock()
	everything := shown.stdout + shown.stderr + up.output.String()
	for _, verb := range []string{"server list", "server show moody", "server refresh moody", "tool show moody/read", "audit list", "audit changes"} {
		for _, form := range []string{"table", "json"} {
			r := command(t, g.dataDir, "", append(strings.Fields(verb), "-o", form)...)
			everything += r.stdout + r.stderr
		}
	}
	if !strings.Contains(everything, "Authorization") {
		t.Error("the names of the headers are nowhere to be seen")
	}
	for _, hidden := range []string{"canary-of-the-upstream", key} {
		if at := strings.Index(everything, hidden); at >= 0 {
			t.Errorf("%q is shown: …%s", hidden, everything[max(0, at-200):at])
		}
	}
}

// TestTailFollowsCallsAsTheyCome holds that 'audit tail -f' shows a call while it
// runs on, as a line, and that an interrupt ends it.
func TestTailFollowsCallsAsTheyCome(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	w := &world{gateway: g}
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	key := w.key(t, "followed")
	tail := start(t, g.dataDir, []string{"WARDER_DATA_DIR=" + g.dataDir}, binary, "audit", "tail", "-f", "--decision", "deny")
	lines := start(t, g.dataDir, []string{"WARDER_DATA_DIR=" + g.dataDir}, binary, "audit", "tail", "-f", "-o", "json")
	calls := 0
	eventually(t, "both show a call", func() bool {
		calls++ // Until the followers are there, calls are but backlog, of which they show the last ten.
		post(t, g.mcp, key, fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"call_%d"}}`, calls))
		time.Sleep(50 * time.Millisecond)
		return strings.Contains(tail.output.String(), "call_") && strings.Contains(lines.output.String(), "call_")
	})
	post(t, g.mcp, key, `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"the_last"}}`)
	if line := tail.waitFor(t, "the_last"); !strings.Contains(line, "Unknown tool") {
		t.Errorf("the line says %q", line)
	}
	lines.waitFor(t, "the_last")
	for _, line := range strings.Split(strings.TrimSpace(lines.output.String()), "\n") {
		if err := protojson.Unmarshal([]byte(line), &adminv1.Call{}); err != nil {
			t.Errorf("a line is no call: %v: %s", err, line)
		}
	}
	tail.stop()
	if code := tail.cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("interrupted, it ends with %d", code)
	}
}

// TestTheBannerSaysWhatRunsAndWhatToDo holds the first screen and the next ones.
func TestTheBannerSaysWhatRunsAndWhatToDo(t *testing.T) {
	t.Parallel()
	g, up := startUp(t)
	base := strings.TrimSuffix(g.mcp, "/mcp")
	up.waitFor(t, "Ctrl-C stops everything")
	first := up.output.String()
	for _, text := range []string{
		"warder ", "all-in-one (control plane + 1 data plane + dashboard)",
		"\n  Database    embedded PostgreSQL ", g.dataDir,
		"\n  Dashboard   " + base + "\n", "\n  MCP         " + base + "/mcp ", "default policy: deny",
		"\n  Metrics     " + base + "/metrics ", "/healthz /readyz",
		"Create the first administrator (one use, valid 60 min)", base + "/setup#t=wds_",
		"Embedded database: fine for evaluation, not for more than one replica.",
	} {
		if !strings.Contains(first, text) {
			t.Errorf("the banner lacks %q:\n%s", text, first)
		}
	}
	if asRoot := strings.Contains(first, "\n  Servers     of the agent local run as root"); asRoot != (os.Geteuid() == 0) || strings.Contains(first, "join at") {
		t.Errorf("as user %d it says:\n%s", os.Geteuid(), first)
	}
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/", "/setup"} {
		if !answers(base + path) {
			t.Errorf("%s does not answer", path)
		}
	}
	token := up.waitFor(t, "/setup#t=")
	b := &browser{base: base}
	if status, answer, _ := b.ask(t, "LoginService/SetUp", object{"token": token, "name": "root", "password": password}); status != http.StatusOK {
		t.Fatalf("set up: %d %v", status, answer)
	}
	up.stop()
	again := start(t, g.dataDir, nil, binary, "up", "--data-dir", g.dataDir, "--listen", "127.0.0.1:0")
	again.waitFor(t, "Ctrl-C stops everything")
	if text := again.output.String(); strings.Contains(text, "administrator") || strings.Contains(text, "wds_") || !strings.Contains(text, "  MCP  ") {
		t.Errorf("with an administrator it says:\n%s", text)
	}
}
