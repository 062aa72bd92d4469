package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// TestAServerMovesWhileClientsGoOn changes the address of a server to one of the
// other era, under a legacy client that has a session with it and a modern one.
// Both go on at the new address; nothing reaches the old one any more.
func TestAServerMovesWhileClientsGoOn(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	w := &world{gateway: g}
	old, next := startSDK(t, false), startSDK(t, true) // Legacy with sessions, then modern.
	admin(t, g.dataDir, "server", "add", "calc", "--url", old.url, "--private", "--approve")
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	key := w.key(t, "mover")
	w.settled(t, key)

	const add = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"calc__add","arguments":{"a":2,"b":3},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	call := func(when string) {
		t.Helper()
		legacy := strings.Replace(add, `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}`, "", 1)
		if status, body, _ := post(t, g.mcp, key, legacy, "MCP-Protocol-Version", "2025-11-25"); status != http.StatusOK || !strings.Contains(body, `"sum":5`) {
			t.Errorf("%s, the legacy client gets %d %s", when, status, body)
		}
		if status, body, _ := send(t, g.mcp, key, add, "MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "calc__add"); status != http.StatusOK || !strings.Contains(body, `"sum":5`) {
			t.Errorf("%s, the modern client gets %d %s", when, status, body)
		}
	}
	for range 2 {
		from, to := old, next
		call("before")
		reached := from.added.Load()
		moved := admin(t, g.dataDir, "server", "set", "calc", "--url", to.url)
		if d, _ := moved["discovery"].(object); d == nil || d["unchanged"] != float64(3) {
			t.Errorf("moved, the discovery found %v", moved["discovery"])
		}
		call("after")
		if from.added.Load() != reached || to.added.Load() < 2 {
			t.Errorf("after the move the old address got %d calls, the new one %d", from.added.Load()-reached, to.added.Load())
		}
		old, next = next, old // And back.
	}
}

// TestAServerThatComesBackIsSaidToBeReady holds that the list does not keep a
// failure which is over.
func TestAServerThatComesBackIsSaidToBeReady(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	server := startSDK(t, true)
	address, err := url.Parse(server.url)
	if err != nil {
		t.Fatal(err)
	}
	to := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL = address; r.Out.Host = address.Host }}
	var up atomic.Bool
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			http.Error(w, "later", http.StatusServiceUnavailable)
			return
		}
		to.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	if r := command(t, g.dataDir, "", "server", "add", "late", "--url", front.URL, "--private"); r.code != 6 || !strings.Contains(r.stderr, "HTTP 503") {
		t.Fatalf("exit %d, %s", r.code, r.stderr)
	}
	list := command(t, g.dataDir, "", "server", "list").stdout
	for _, text := range []string{"failed", "HTTP 503", "failing since 20", "last tried"} {
		if !strings.Contains(list, text) {
			t.Errorf("the list lacks %q:\n%s", text, list)
		}
	}
	up.Store(true)
	eventually(t, "the list says that it is ready", func() bool {
		list = command(t, g.dataDir, "", "server", "list").stdout
		return strings.Contains(list, "ready") && !strings.Contains(list, "failing")
	})
}
