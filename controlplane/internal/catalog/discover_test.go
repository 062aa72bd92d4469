package catalog

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/internal/egress"
	"github.com/warder-gateway/warder/internal/fault"
)

// sdkServer starts a server of the official SDK with n tools, three a page.
func sdkServer(t *testing.T, n int, options *sdk.StreamableHTTPOptions) *recorder {
	t.Helper()
	server := sdk.NewServer(&sdk.Implementation{Name: "fixture", Version: "1"},
		&sdk.ServerOptions{PageSize: 3, Instructions: "Be kind."})
	for i := range n {
		tool := &sdk.Tool{Name: fmt.Sprintf("read_%02d", i), Description: "Reads."}
		sdk.AddTool(server, tool, func(context.Context, *sdk.CallToolRequest, struct{}) (*sdk.CallToolResult, any, error) {
			return &sdk.CallToolResult{}, nil, nil
		})
	}
	return record(t, sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, options))
}

// instructionsIn returns the text of the instructions that were found.
func instructionsIn(found *Discovery) string {
	for _, entry := range found.Entries {
		if entry.Kind == Instructions {
			text, err := InstructionsText(entry.Definition)
			if err != nil {
				return err.Error()
			}
			return text
		}
	}
	return ""
}

// recorder is a test server that remembers what it was asked.
type recorder struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
}

func record(t *testing.T, h http.Handler) *recorder {
	t.Helper()
	r := new(recorder)
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.mu.Lock()
		r.requests = append(r.requests, q)
		r.mu.Unlock()
		h.ServeHTTP(w, q)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *recorder) target() Target {
	return Target{Name: "fixture", URL: r.URL, Private: true}
}

// count returns how many requests match.
func (r *recorder) count(match func(*http.Request) bool) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range r.requests {
		if match(q) {
			n++
		}
	}
	return n
}

func TestDiscoverFindsAllPagesOfOfficialServers(t *testing.T) {
	for _, c := range []struct {
		name    string
		options *sdk.StreamableHTTPOptions
		version string
		session bool
	}{
		{"stateless, JSON", &sdk.StreamableHTTPOptions{Stateless: true, JSONResponse: true}, "2026-07-28", false},
		{"stateless, events", &sdk.StreamableHTTPOptions{Stateless: true}, "2026-07-28", false},
		{"stateful, JSON", &sdk.StreamableHTTPOptions{JSONResponse: true}, "2025-11-25", true},
		{"stateful, events", &sdk.StreamableHTTPOptions{}, "2025-11-25", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := sdkServer(t, 10, c.options)
			found, err := NewDiscoverer("test").Discover(t.Context(), server.target())
			if err != nil {
				t.Fatal(err)
			}
			if found.ProtocolVersion != c.version || instructionsIn(found) != "Be kind." || len(found.Refused) != 0 {
				t.Errorf("version %s, instructions %q, refused %v", found.ProtocolVersion, instructionsIn(found), found.Refused)
			}
			var names, want []string
			for i := range 10 {
				want = append(want, fmt.Sprintf("fixture__read_%02d", i))
			}
			for _, entry := range found.Entries {
				if entry.Kind == Tool {
					names = append(names, entry.ExposedName)
				}
			}
			if diff := cmp.Diff(want, names); diff != "" {
				t.Error(diff)
			}
			ended := server.count(func(q *http.Request) bool {
				return q.Method == http.MethodDelete && q.Header.Get("Mcp-Session-Id") != ""
			})
			if (ended == 1) != c.session {
				t.Errorf("%d sessions ended, want %t", ended, c.session)
			}
		})
	}
}

func TestDiscoverSendsTheServersHeadersAndNoOthersSecrets(t *testing.T) {
	server := sdkServer(t, 1, &sdk.StreamableHTTPOptions{Stateless: true})
	target := server.target()
	target.Headers = http.Header{"Authorization": {"Bearer canary"}, "Mcp-Method": {"evil"}, "accept": {"text/html"}}
	if _, err := NewDiscoverer("test").Discover(t.Context(), target); err != nil {
		t.Fatal(err)
	}
	all := server.count(func(*http.Request) bool { return true })
	good := server.count(func(q *http.Request) bool {
		return q.Header.Get("Authorization") == "Bearer canary" && q.Header.Get("Mcp-Method") != "evil" &&
			cmp.Equal(q.Header.Values("Accept"), []string{"application/json, text/event-stream"})
	})
	if all == 0 || good != all {
		t.Fatalf("%d of %d requests are as they should be", good, all)
	}
}

// script answers JSON-RPC by method; %s in an answer is the request's id.
type script map[string]string

func (s script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method, id := readRequest(r)
	answer, found := s[method]
	if !found {
		answer = `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"CANARY"}}`
	}
	w.Header().Set("Content-Type", "application/json")
	if strings.Contains(answer, "%s") {
		answer = fmt.Sprintf(answer, id)
	}
	_, _ = w.Write([]byte(answer))
}

const (
	modernHello = `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"ttlMs":0,"cacheScope":"private"}}`
	legacyHello = `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}}`
	oneTool     = `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","tools":[{"name":"a","inputSchema":{"type":"object"}}]}}`
)

func discoverer() *Discoverer {
	d := NewDiscoverer("test")
	d.caps.request = 300 * 1e6 // ns
	return d
}

func TestDiscoverFallsBackToInitialize(t *testing.T) {
	legacy := script{"initialize": legacyHello, "tools/list": oneTool, "notifications/initialized": ""}
	for _, c := range []struct {
		name  string
		probe http.HandlerFunc
	}{
		{"method not found", legacy.ServeHTTP},
		{"400 in words", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no session", http.StatusBadRequest) }},
		{"400 unsupported version", func(w http.ResponseWriter, r *http.Request) {
			_, id := readRequest(r)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32022,"message":"x","data":{"supported":["2025-06-18"]}}}`, id)
		}},
		{"404", http.NotFound},
		{"silence", hangs},
		{"only old versions", func(w http.ResponseWriter, r *http.Request) {
			script{"server/discover": strings.Replace(modernHello, "2026-07-28", "2025-06-18", 1)}.ServeHTTP(w, r)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := record(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Mcp-Method") == "server/discover" {
					c.probe(w, r)
					return
				}
				legacy.ServeHTTP(w, r)
			}))
			found, err := discoverer().Discover(t.Context(), server.target())
			if err != nil || found.ProtocolVersion != "2025-06-18" || len(found.Entries) != 1 {
				t.Fatalf("Discover = %+v, %v", found, err)
			}
		})
	}
}

func TestDiscoverTakesTheEmptyCursorForACursor(t *testing.T) {
	var pages atomic.Int32
	server := record(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := script{"server/discover": modernHello}
		switch pages.Load() {
		case 0:
			s["tools/list"] = `{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"a","inputSchema":{}}],"nextCursor":""}}`
		default:
			s["tools/list"] = `{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"b","inputSchema":{}}],"nextCursor":null}}`
		}
		if r.Header.Get("Mcp-Method") == "tools/list" {
			pages.Add(1)
		}
		s.ServeHTTP(w, r)
	}))
	found, err := discoverer().Discover(t.Context(), server.target())
	if err != nil || len(found.Entries) != 2 {
		t.Fatalf("Discover = %+v, %v", found, err)
	}
}

func TestDiscoverReadsTheAnswerAmongOtherEvents(t *testing.T) {
	server := record(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Mcp-Method") != "tools/list" {
			script{"server/discover": modernHello}.ServeHTTP(w, r)
			return
		}
		_, id := readRequest(r)
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		_, _ = fmt.Fprintf(w, ": hello\r\n\r\nid: 1\r\ndata:\r\n\r\n"+
			"data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\r\n\r\n"+
			"data: {\"jsonrpc\":\"2.0\",\"id\":999,\"result\":{\"tools\":[]}}\n\n"+
			"data: {\"jsonrpc\":\"2.0\",\"id\":%s,\ndata: \"result\":{\"tools\":[{\"name\":\"a\",\"inputSchema\":{}}]}}\n\n", id)
	}))
	found, err := discoverer().Discover(t.Context(), server.target())
	if err != nil || len(found.Entries) != 1 {
		t.Fatalf("Discover = %+v, %v", found, err)
	}
}

func TestT19_PrivateAddressesNeedPrivate(t *testing.T) {
	server := sdkServer(t, 1, &sdk.StreamableHTTPOptions{Stateless: true})
	port := server.URL[strings.LastIndex(server.URL, ":"):]
	for _, url := range []string{
		server.URL, "https://localhost" + port, "https://LOCALHOST." + port, "https://a.localhost" + port,
		"https://[::1]" + port, "https://[::ffff:127.0.0.1]" + port, "https://10.0.0.1", "https://169.254.169.254/latest",
		"https://100.64.0.1", "https://[fd00::1]", "https://[64:ff9b::7f00:1]", "https://[fe80::1%25eth0]", "https://0.0.0.0",
		// Not addresses to net/netip; the resolver of the system may think otherwise, and the dial is guarded.
		"https://127.1" + port, "https://2130706433" + port, "https://0x7f000001" + port,
	} {
		target := Target{Name: "fixture", URL: url}
		_, err := discoverer().Discover(t.Context(), target)
		if err == nil {
			t.Errorf("%s was dialled", url)
		}
		if fault.Is(err, fault.Invalid) != strings.Contains(fault.Text(err), "--private") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if n := server.count(func(*http.Request) bool { return true }); n != 0 {
		t.Fatalf("%d requests arrived", n)
	}
}

// A name that looks public and resolves to loopback is stopped at dial.
func TestT19_NamesAreCheckedWhenDialled(t *testing.T) {
	server := sdkServer(t, 1, &sdk.StreamableHTTPOptions{Stateless: true})
	_, transport := egress.NewClient(false, nil)
	_, dialled := transport.DialContext(t.Context(), "tcp", server.Listener.Addr().String())
	if !egress.Prohibited(dialled) {
		t.Fatalf("dial = %v, want prohibited", dialled)
	}
	c := newConversation(Target{Name: "fixture"}, http.DefaultClient, "test", defaultCaps())
	if text := fault.Text(c.transportFault(t.Context(), dialled)); !strings.Contains(text, "--private") {
		t.Fatalf("text %q", text)
	}
}

func TestCheckURL(t *testing.T) {
	for url, want := range map[string]string{
		"https://mcp.example.com/mcp":       "",
		"ftp://example.com":                 "must begin with https://",
		"javascript:alert(1)":               "must begin with https://",
		"/mcp":                              "must begin with https://",
		"https://":                          "has no host",
		"https://user:secret@example.com":   "must not carry a user",
		"https://example.com/#x":            "fragment",
		"http://mcp.example.com/mcp":        "in the clear",
		"https://exa mple.com/?key=secret":  "cannot be read",
		"https://[::1]:bad/":                "cannot be read",
		"http://127.0.0.1:3000/mcp":         "--private",
		"https://169.254.169.254/meta-data": "--private",
	} {
		err := CheckURL(Target{Name: "s", URL: url})
		text := fault.Text(err)
		if (want == "") != (err == nil) || !strings.Contains(text, want) || strings.Contains(text, "secret") {
			t.Errorf("CheckURL(%q) = %q, want %q", url, text, want)
		}
		if err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("CheckURL(%q) is %v", url, fault.KindOf(err))
		}
	}
}

// quiet is a log for servers whose clients hang up on purpose.
func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
