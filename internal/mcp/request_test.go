package mcp_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/mcp"
)

// scan scans a body that must be accepted.
func scan(t testing.TB, body string) *mcp.Request {
	t.Helper()
	var req mcp.Request
	if err := mcp.ScanRequest([]byte(body), mcp.Limits{}, &req); err != nil {
		t.Fatalf("ScanRequest(%s): %v", body, err)
	}
	return &req
}

func TestRequestIDAndProgressTokenAreBounded(t *testing.T) {
	long := func(n int) string { return `"` + strings.Repeat("a", n-2) + `"` }
	for name, body := range map[string]func(n int) string{
		"id": func(n int) string { return `{"jsonrpc":"2.0","id":` + long(n) + `,"method":"ping"}` },
		"progress token": func(n int) string {
			return `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"_meta":{"progressToken":` + long(n) + `}}}`
		},
	} {
		scan(t, body(1024))
		var req mcp.Request
		if err := mcp.ScanRequest([]byte(body(1025)), mcp.Limits{}, &req); err == nil {
			t.Errorf("%s of more than 1 KiB is accepted", name)
		}
	}
	// That of a response is ours, sealed.
	scan(t, `{"jsonrpc":"2.0","id":`+long(4096)+`,"result":{}}`)
}

func TestRequestReadsWhatPolicyDecidesOn(t *testing.T) {
	const body = `{"id":9007199254740993, "params":{"arguments" : {"a":1.10}, "name":"caf\u00e9\n", "cursor":"c1","_meta":{"progressToken":7,` +
		`"io.modelcontextprotocol/clientInfo":{"name":"c"},"traceparent":"00-aa-bb-01","io.modelcontextprotocol/logLevel":"info","acme/x":[],` +
		`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"sampling":{}}}},` +
		`"method":"tools/call","jsonrpc":"2.0"}`
	req := scan(t, body)
	of := func(s mcp.Span) string { return string(s.Of([]byte(body))) }
	got := map[string]string{
		"id": of(req.ID), "method": req.Method, "name": req.Name, "raw name": of(req.NameSpan), "arguments": of(req.Arguments),
		"cursor": of(req.Cursor), "version": req.ProtocolVersion, "capabilities": of(req.ClientCapabilities),
		"client": of(req.ClientInfo), "level": of(req.LogLevel), "token": of(req.ProgressToken), "trace": of(req.TraceParent),
	}
	want := map[string]string{
		"id": "9007199254740993", "method": "tools/call", "name": "café\n", "raw name": `"caf\u00e9\n"`, "arguments": `{"a":1.10}`,
		"cursor": `"c1"`, "version": "2026-07-28", "capabilities": `{"sampling":{}}`,
		"client": `{"name":"c"}`, "level": `"info"`, "token": "7", "trace": `"00-aa-bb-01"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	if req.IsNotification() || req.IsResponse() {
		t.Error("a request is taken for a notification or a response")
	}
}

func TestRequestKinds(t *testing.T) {
	tests := []struct {
		name, body             string
		notification, response bool
	}{
		{"request", `{"jsonrpc":"2.0","id":"1","method":"ping"}`, false, false},
		{"notification", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, true, false},
		{"posted result", `{"jsonrpc":"2.0","id":1,"result":{"action":"accept"}}`, false, true},
		{"posted error", `{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":""}}`, false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req := scan(t, test.body)
			if req.IsNotification() != test.notification || req.IsResponse() != test.response {
				t.Errorf("notification %v, response %v; want %v, %v", req.IsNotification(), req.IsResponse(), test.notification, test.response)
			}
		})
	}
}

// TestRequestIsOverwritten: a Request may be used again.
func TestRequestIsOverwritten(t *testing.T) {
	req := scan(t, string(modernCall(10)))
	if err := mcp.ScanRequest([]byte(`{"jsonrpc":"2.0","method":"ping"}`), mcp.Limits{}, req); err != nil {
		t.Fatal(err)
	}
	if req.Name != "" || req.HasProtocolVersion || !req.ID.Empty() || !req.Arguments.Empty() || !req.Meta.Empty() {
		t.Errorf("left over from the message before: %+v", req)
	}
}

func TestParamReadsOtherMembers(t *testing.T) {
	const body = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"a":{"protocolVersion":"x"}}}}`
	req := scan(t, body)
	if got := string(req.Param([]byte(body), "protocolVersion").Of([]byte(body))); got != `"2025-11-25"` {
		t.Errorf("protocolVersion = %s", got)
	}
	if got := req.Param([]byte(body), "clientInfo"); !got.Empty() {
		t.Errorf("clientInfo = %v, want an empty span", got)
	}
	without := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	if got := scan(t, without).Param([]byte(without), "x"); !got.Empty() {
		t.Errorf("member of absent params = %v, want an empty span", got)
	}
}

func TestScanRequestAllocatesOnlyTheName(t *testing.T) {
	body := modernCall(256)
	var req mcp.Request
	allocs := testing.AllocsPerRun(100, func() {
		if err := mcp.ScanRequest(body, mcp.Limits{}, &req); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 1 {
		t.Errorf("%v allocations, want 1 at most", allocs)
	}
}
