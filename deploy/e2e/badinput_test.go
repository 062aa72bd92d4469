package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warder-gateway/warder/internal/porttest"
)

// TestBadInputAtTheDoorForClients holds that each kind of bad request gets its
// own status and a text that says what is wrong, and that no server hears of it.
func TestBadInputAtTheDoorForClients(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	w := prepare(t, g)
	key := w.key(t, "careless")
	w.settled(t, key)
	const call = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"modern__add","arguments":{"a":1,"b":2}}}`
	deep := strings.Repeat(`{"x":`, 2000) + "1" + strings.Repeat("}", 2000)

	for _, c := range []struct {
		name   string
		body   string
		header []string
		status int
		says   string
	}{
		{"malformed", `{"jsonrpc":"2.0",`, nil, 400, "-32700"},
		{"no object", `"hello"`, nil, 400, "-32600"},
		{"two values", call + call, nil, 400, "after the JSON value"},
		{"duplicate name", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","name":"modern__add","arguments":{}}}`, nil, 400, "duplicate member"},
		{"duplicate argument", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"modern__add","arguments":{"a":1,"a":2,"b":3}}}`, nil, 400, "duplicate member"},
		{"escaped name", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"n\u0061me":"modern__add","arguments":{}}}`, nil, 400, "escape"},
		{"too deep", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"modern__add","arguments":` + deep + `}}`, nil, 400, "deep"},
		// The client waits to be told whether to send it: one that is cut off while it
		// writes may lose the answer to the reset that follows.
		{"oversized", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"modern__add","arguments":{"a":"` + strings.Repeat("x", 5<<20) + `"}}}`,
			[]string{"Expect", "100-continue"}, 413, ""},
		{"batch", `[` + call + `]`, nil, 400, "batch"},
		{"id of null", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, nil, 400, "id"},
		{"wrong content type", call, []string{"Content-Type", "", "Content-Type", "text/plain"}, 415, "application/json"},
		{"wrong Origin", call, []string{"Origin", "https://evil.example"}, 403, "rigin"},
		{"Origin of null", call, []string{"Origin", "null"}, 403, "rigin"},
		{"wrong Host", call, []string{"Host", "evil.example"}, 421, "ost"},
		{"unknown method", `{"jsonrpc":"2.0","id":1,"method":"tools/destroy"}`, nil, 200, "-32601"},
		{"unknown method, modern", `{"jsonrpc":"2.0","id":1,"method":"tools/destroy","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`,
			[]string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/destroy"}, 404, "-32601"},
		{"unknown tool", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"modern__none","arguments":{}}}`, nil, 200, "Unknown tool: modern__none"},
		{"pending tool", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"modern__read_notes","arguments":{}}}`, nil, 200, "Unknown tool: modern__read_notes"},
		{"unserved version", call, []string{"MCP-Protocol-Version", "2031-01-01"}, 400, "-32"},
		{"header that differs", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"modern__add","arguments":{"a":1,"b":2},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`,
			[]string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "modern__delete_item"}, 400, "-32020"},
	} {
		status, body, _ := post(t, g.mcp, key, c.body, c.header...)
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %.300s; not %d with %q", c.name, status, body, c.status, c.says)
		}
	}
	for method, want := range map[string]int{
		http.MethodGet:    http.StatusNotAcceptable, // it takes no event stream
		http.MethodDelete: http.StatusBadRequest,    // it names no session
		http.MethodPut:    http.StatusMethodNotAllowed,
	} {
		if status := bare(t, method, g.mcp, key); status != want {
			t.Errorf("%s gets %d, not %d", method, status, want)
		}
	}
	if status := bare(t, http.MethodPost, g.mcp+"?access_token="+key, ""); status != http.StatusBadRequest && status != http.StatusUnauthorized {
		t.Errorf("a key in the query gets %d", status)
	}
	if added := w.modern.added.Load() + w.modern.deleted.Load(); added != 0 {
		t.Errorf("%d bad calls reached the server", added)
	}
	if status, body, _ := post(t, g.mcp, key, call); status != 200 || !strings.Contains(body, "3") {
		t.Errorf("a good call afterwards: %d %s", status, body)
	}
}

func bare(t *testing.T, method, url, key string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// moody is an MCP server that lists one tool, and then behaves as it is told.
type moody struct {
	url  string
	call func(http.ResponseWriter, *http.Request, json.RawMessage) // answers tools/call
	body []byte                                                    // of the last tools/call
}

func startMoody(t *testing.T) *moody {
	t.Helper()
	m := &moody{}
	front := httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	m.url = front.URL + "/mcp"
	return m
}

func (m *moody) serve(w http.ResponseWriter, r *http.Request) {
	var request struct {
		ID     json.RawMessage
		Method string
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &request) != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	result := ""
	switch request.Method {
	case "initialize":
		result = `{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"moody","version":"1"}}`
	case "tools/list":
		result = `{"tools":[{"name":"read","description":"Reads","inputSchema":{"type":"object"}}]}`
	case "tools/call":
		m.body = body
		m.call(w, r, request.ID)
		return
	case "notifications/initialized":
		w.WriteHeader(http.StatusAccepted)
		return
	default:
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}`, request.ID)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, request.ID, result)
}

// TestServersThatMisbehave holds that each failure of a server is a clear error
// that names the server, is recorded as server_failed, and shows nothing of what
// the server sent.
func TestServersThatMisbehave(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	m := startMoody(t)
	admin(t, g.dataDir, "server", "add", "moody", "--url", m.url, "--private", "--approve")
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	w := &world{gateway: g}

	const canary = "canary-that-no-client-may-see"
	hang := make(chan struct{})
	defer close(hang)
	for name, call := range map[string]func(http.ResponseWriter, *http.Request, json.RawMessage){
		"garbage": func(w http.ResponseWriter, _ *http.Request, _ json.RawMessage) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, canary)
		},
		"wrong-type": func(w http.ResponseWriter, _ *http.Request, _ json.RawMessage) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html>"+canary)
		},
		"status-500": func(w http.ResponseWriter, _ *http.Request, _ json.RawMessage) { http.Error(w, canary, 500) },
		"redirect": func(w http.ResponseWriter, r *http.Request, _ json.RawMessage) {
			http.Redirect(w, r, "http://127.0.0.1:1/"+canary, http.StatusTemporaryRedirect)
		},
		"half": func(w http.ResponseWriter, _ *http.Request, id json.RawMessage) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"%s", id, canary)
			conn.Close()
		},
		"other-id": func(w http.ResponseWriter, _ *http.Request, _ json.RawMessage) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":"somebody else's","result":{"content":[{"type":"text","text":%q}]}}`, canary)
		},
	} {
		key := w.key(t, name)
		w.settled(t, key)
		m.call = call
		began := time.Now()
		status, body, _ := post(t, g.mcp, key, `{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"moody__read","arguments":{}}}`)
		if status != 200 || !strings.Contains(body, `"error"`) || !strings.Contains(body, "moody") || !strings.Contains(body, `"id":5`) {
			t.Errorf("%s: %d %s", name, status, body)
		}
		if strings.Contains(body, canary) {
			t.Errorf("%s: the client sees what the server sent: %s", name, body)
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if got := w.ledgerOf(t, name, 1)[0]; got["outcome"] != "server_failed" || got["error"] == "" || strings.Contains(got["error"].(string), canary) {
			t.Errorf("%s stands in the ledger as %v: %v", name, got["outcome"], got["error"])
		}
	}
}

// TestAServerThatIsDown holds that nothing typed is lost when a server cannot be
// reached, and that the exit code says to try again.
func TestAServerThatIsDown(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	down := "http://" + porttest.Free(t) + "/mcp"
	r := command(t, g.dataDir, "", "server", "add", "down", "--url", down, "--private")
	if r.code != 6 || !strings.Contains(r.stderr, "warder server refresh down") {
		t.Errorf("adding a server that is down: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if s := admin(t, g.dataDir, "server", "show", "down")["server"].(object); s["url"] != down || s["lastError"] == "" {
		t.Errorf("the server is kept as %v", s)
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"server", "add", "loop", "--url", down}, 2, "--private"},
		{[]string{"server", "add", "down", "--url", down, "--private"}, 7, "down"},
		{[]string{"server", "add", "Bad_Name", "--url", down}, 2, "1 to 20 characters"},
		{[]string{"server", "add", "ftp", "--url", "ftp://x/"}, 2, "http"},
		{[]string{"server", "show", "nobody"}, 4, "nobody"},
		{[]string{"tool", "approve", "down/none"}, 4, "down/none"},
		{[]string{"user", "create", "u", "--role", "nonsense"}, 2, "nonsense"},
		{[]string{"key", "create", "--user", "nobody", "--application", "a"}, 4, "nobody"},
		{[]string{"key", "revoke", "aaaaaaaaaaaa"}, 4, "aaaaaaaaaaaa"},
		{[]string{"role", "grant", "viewer", "--risk", "write"}, 7, "built"},
	} {
		r := command(t, g.dataDir, "", c.args...)
		if r.code != c.code || !strings.Contains(r.stderr, c.says) {
			t.Errorf("warder %v: exit %d, %s; not %d with %q", c.args, r.code, r.stderr, c.code, c.says)
		}
	}
	for document, says := range map[string]string{
		"rules: [{name: a, effect: permit}]":                         "permit",
		"rules: [{name: a, effect: deny, tool: [x]}]":                "tool",
		"rules: [{name: a, effect: deny}, {name: a, effect: allow}]": "a",
		"rules: {": "1:8",
		"rules:\n  - name: a\n    effect: allow\n    when: 'principal.shoe == 1'":              "4:",
		"rules: []\ntests: [{as: {user: u, roles: [viewer]}, call: down/none, expect: allow}]": "test",
	} {
		r := command(t, g.dataDir, document, "policy", "apply", "-f", "-")
		if r.code == 0 || !strings.Contains(r.stderr, says) {
			t.Errorf("policy %q: exit %d, %s; not refused with %q", document, r.code, r.stderr, says)
		}
	}
}

func TestWhatKeepsItFromStarting(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	running, _ := startUp(t)
	nobody := porttest.Free(t)

	for _, c := range []struct {
		name string
		args []string
		says []string
	}{
		{"port in use", []string{"up", "--listen", busy.Addr().String(), "--data-dir", scratch(t)}, []string{"is used by pid", "WARDER_LISTEN"}},
		{"second instance", []string{"up", "--listen", "127.0.0.1:0", "--data-dir", running.dataDir}, []string{"another warder", "pid"}},
		{"database unreachable", []string{"up", "--listen", "127.0.0.1:0", "--data-dir", scratch(t), "--database-url", "postgres://u:hunter2@" + nobody + "/db"}, []string{nobody}},
		{"node without identity", []string{"dataplane", "--listen", "127.0.0.1:0", "--data-dir", scratch(t), "--control-plane", nobody}, []string{"identity", "warder join-token create --kind node"}},
		{"control plane without a database", []string{"controlplane", "--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0", "--data-dir", scratch(t)}, []string{"--database-url"}},
	} {
		r := command(t, "", "", c.args...)
		if r.code != 10 {
			t.Errorf("%s: exit %d", c.name, r.code)
		}
		for _, text := range c.says {
			if !strings.Contains(r.stderr, text) {
				t.Errorf("%s: %q does not say %q", c.name, r.stderr, text)
			}
		}
		if strings.Contains(r.stderr, "hunter2") {
			t.Errorf("%s: the password is shown: %s", c.name, r.stderr)
		}
	}
}

// TestADatabaseOfANewerWarderIsLeftAlone holds that an older Warder neither
// starts on it nor writes to it.
func TestADatabaseOfANewerWarderIsLeftAlone(t *testing.T) {
	t.Parallel()
	a := startApart(t)
	a.control.stop()
	database, err := pgx.Connect(t.Context(), a.database.OwnerDSN)
	if err != nil {
		t.Fatal(err)
	}
	defer database.Close(t.Context())
	if _, err := database.Exec(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)"); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"up", "--listen", "127.0.0.1:0", "--data-dir", scratch(t), "--database-url", a.database.OwnerDSN},
		{"controlplane", "--listen", "127.0.0.1:0", "--node-listen", "127.0.0.1:0", "--data-dir", scratch(t), "--database-url", a.database.OwnerDSN},
	} {
		r := command(t, "", "", args...)
		if r.code != 10 || !strings.Contains(r.stderr, "migrated by a newer Warder") || !strings.Contains(r.stderr, "99999") {
			t.Errorf("warder %s: exit %d, %s", args[0], r.code, r.stderr)
		}
	}
	var newest int64
	if err := database.QueryRow(t.Context(), "SELECT max(version_id) FROM goose_db_version").Scan(&newest); err != nil || newest != 99999 {
		t.Errorf("afterwards the database is at %d, %v", newest, err)
	}
}
