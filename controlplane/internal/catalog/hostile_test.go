package catalog

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
)

// readRequest returns method and id of a JSON-RPC request.
func readRequest(r *http.Request) (method, id string) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return "", ""
	}
	var q mcp.Request
	if err := mcp.ScanRequest(body, mcp.Limits{}, &q); err != nil {
		return "", ""
	}
	return q.Method, string(q.ID.Of(body))
}

// after answers server/discover as a modern server, and everything else with h.
func after(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Method") == "server/discover" {
			script{"server/discover": modernHello}.ServeHTTP(w, r)
			return
		}
		h(w, r)
	}
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, code) }
}

// says answers with this body, whatever the request.
func says(media, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", media)
		_, _ = io.WriteString(w, body)
	}
}

// breaksOff sends this and closes the connection.
func breaksOff(head string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, head)
		_ = conn.Close()
	}
}

// hangs reads the request, without which the server would not notice that the
// client has left.
func hangs(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func redirects(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "/elsewhere?CANARY", http.StatusTemporaryRedirect)
}

// pages answers tools/list with pages that never end.
func pages(tool, cursor func(n int32) string) http.HandlerFunc {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		i := n.Add(1)
		_, id := readRequest(r)
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"tools":[%s],"nextCursor":"%s"}}`, id, tool(i), cursor(i))
	}
}

func TestHostileServersGetAClearError(t *testing.T) {
	list := func(result string) http.HandlerFunc {
		return after(script{"tools/list": `{"jsonrpc":"2.0","id":%s,"result":` + result + `}`}.ServeHTTP)
	}
	numbered := func(n int32) string { return fmt.Sprintf(`{"name":"t%d","inputSchema":{}}`, n) }
	for _, c := range []struct {
		name  string
		serve http.HandlerFunc
		kind  fault.Kind
		text  string
	}{
		{"401", status(401, "CANARY"), fault.Precondition, "asks for credentials (HTTP 401)"},
		{"403", status(403, "CANARY"), fault.Precondition, "forbids access (HTTP 403)"},
		{"404", status(404, "CANARY"), fault.Precondition, "no streamable HTTP endpoint"},
		{"405", status(405, "CANARY"), fault.Precondition, "no streamable HTTP endpoint"},
		{"429", status(429, "CANARY"), fault.Unavailable, "limits requests"},
		{"500", status(500, "CANARY"), fault.Unavailable, "failed (HTTP 500)"},
		{"500 at the list", after(status(500, "CANARY")), fault.Unavailable, "failed (HTTP 500)"},
		{"401 at the list", after(status(401, "CANARY")), fault.Precondition, "asks for credentials"},
		{"redirect", redirects, fault.Precondition, "redirects are not followed"},
		{"redirect at the list", after(redirects), fault.Precondition, "redirects are not followed"},
		{"HTML", says("text/html", "<h1>CANARY</h1>"), fault.Precondition, "not MCP"},
		{"no type", says("", `{"CANARY":1}`), fault.Precondition, "not MCP"},
		{"garbage", says("application/json", "CANARY{{{"), fault.Precondition, "not MCP"},
		{"duplicate members", says("application/json", `{"jsonrpc":"2.0","id":1,"result":{},"result":{"CANARY":1}}`), fault.Precondition, "not MCP"},
		{"two values", says("application/json", `{"jsonrpc":"2.0","id":1,"result":{}} {}`), fault.Precondition, "not MCP"},
		{"another's id", says("application/json", `{"jsonrpc":"2.0","id":77,"result":{}}`), fault.Precondition, "not MCP"},
		{"empty event stream", says("text/event-stream", ""), fault.Unavailable, "broke off"},
		{"broken HTTP", breaksOff("CANARY CANARY\r\n\r\n"), fault.Unavailable, "cannot be talked to over HTTP"},
		{"closes at once", breaksOff(""), fault.Unavailable, "broke off"},
		{"closes half-way", breaksOff("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{\"CANARY\":"), fault.Unavailable, "broke off"},
		{"hangs", hangs, fault.Unavailable, "did not answer in time"},
		{"hangs at the list", after(hangs), fault.Unavailable, "did not answer in time"},
		{"error at the list", after(script{}.refusing(-32000)), fault.Precondition, "refused tools/list (error -32000)"},
		{"header mismatch", script{}.refusing(-32020), fault.Precondition, "refused server/discover"},
		{"version unknown", script{"initialize": `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"CANARY"}}`}.ServeHTTP, fault.Precondition, "does not know"},
		{"no tools member", list(`{}`), fault.Precondition, "not MCP"},
		{"tools no array", list(`{"tools":"CANARY"}`), fault.Precondition, "not MCP"},
		{"cursor no string", list(`{"tools":[],"nextCursor":7}`), fault.Precondition, "not MCP"},
		{"asks for input", list(`{"resultType":"input_required","requestState":"CANARY"}`), fault.Precondition, "not MCP"},
		{"same cursor", after(pages(numbered, func(int32) string { return "CANARY" })), fault.Precondition, "has no end"},
		{"endless pages", after(pages(numbered, func(n int32) string { return fmt.Sprint(n) })), fault.Precondition, "more than 1000 pages"},
		{"too many tools", list(`{"tools":[` + strings.Repeat("1,", 10_000) + `1]}`), fault.Precondition, "more than 10000 tools"},
		{"too many bytes", after(pages(func(n int32) string {
			return `{"name":"t","inputSchema":{},"description":"` + strings.Repeat("x", 4<<20) + `"}`
		}, func(n int32) string { return fmt.Sprint(n) })), fault.Precondition, "more than 32 MiB"},
		{"too deep", list(`{"tools":[` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `]}`), fault.Precondition, "not MCP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.serve)
			defer server.Close()
			d := NewDiscoverer("test")
			if strings.HasPrefix(c.name, "hangs") {
				d = discoverer()
			}
			found, err := d.Discover(t.Context(), Target{Name: "bad", URL: server.URL, Private: true})
			if err == nil {
				t.Fatalf("found %+v", found)
			}
			text := fault.Text(err)
			if !fault.Is(err, c.kind) || !strings.Contains(text, c.text) || !strings.Contains(text, `server "bad"`) {
				t.Errorf("error %v: %q; want %v: %q", fault.KindOf(err), text, c.kind, c.text)
			}
			if strings.Contains(text, "CANARY") {
				t.Errorf("text %q shows what the server sent", text)
			}
		})
	}
}

// refusing answers every request with this error code.
func (script) refusing(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, id := readRequest(r)
		says("application/json", fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":"CANARY"}}`, id, code))(w, r)
	}
}

func TestServersThatAreNotThere(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for url, want := range map[string]string{
		"http://" + address:           "refuses connections",
		"http://no-such-host.invalid": "cannot be",
	} {
		_, err := NewDiscoverer("test").Discover(t.Context(), Target{Name: "bad", URL: url, Private: true})
		if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.Text(err), want) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}

func TestUntrustedCertificateIsNamed(t *testing.T) {
	server := httptest.NewUnstartedServer(script{})
	server.Config.ErrorLog = quiet()
	server.StartTLS()
	defer server.Close()
	_, err := NewDiscoverer("test").Discover(t.Context(), Target{Name: "bad", URL: server.URL, Private: true})
	if !fault.Is(err, fault.Precondition) || !strings.Contains(fault.Text(err), "certificate") {
		t.Fatalf("Discover = %v", err)
	}
}

// Who gives up waiting is not told that the server failed.
func TestCancelledDiscoveryIsCancelled(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(hangs))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := NewDiscoverer("test").Discover(ctx, Target{Name: "bad", URL: server.URL, Private: true})
	if err == nil || ctx.Err() == nil || fault.Is(err, fault.Unavailable) {
		t.Fatalf("Discover = %v", err)
	}
}

func TestServerWithoutToolsIsNoError(t *testing.T) {
	server := httptest.NewServer(after(script{}.ServeHTTP))
	defer server.Close()
	found, err := NewDiscoverer("test").Discover(t.Context(), Target{Name: "bare", URL: server.URL, Private: true})
	if err != nil || len(found.Entries) != 0 {
		t.Fatalf("Discover = %+v, %v", found, err)
	}
}
