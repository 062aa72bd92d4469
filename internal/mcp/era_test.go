package mcp_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

// claim returns a message of a method whose _meta has these members.
func claim(method, meta string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{"name":"a","uri":"u:","taskId":"t","_meta":{` + meta + `}}}`
}

const modernMeta = pv + `:"2026-07-28",` + cc + `:{}`

// TestClassify is the table of mcp.md E1, and of T-36: no claim weakens a check.
func TestT36_Classify(t *testing.T) {
	const none = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	tests := []struct {
		name, header, body string
		era                mcp.Era
		code, http         int // 0 when it is accepted
		text               string
	}{
		// Legacy: no claim.
		{"no header", "", none, mcp.Legacy, 0, 0, ""},
		{"2025-03-26", "2025-03-26", none, mcp.Legacy, 0, 0, ""},
		{"2025-06-18", "2025-06-18", none, mcp.Legacy, 0, 0, ""},
		{"2025-11-25", "2025-11-25", none, mcp.Legacy, 0, 0, ""},
		{"initialize", "", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2026-07-28"}}`, mcp.Legacy, 0, 0, ""},
		{"initialize negotiates whatever the header says", "1999-01-01", `{"jsonrpc":"2.0","id":1,"method":"initialize"}`, mcp.Legacy, 0, 0, ""},
		{"other _meta is no claim", "", claim("tools/call", cc+`:{},"progressToken":1`), mcp.Legacy, 0, 0, ""},
		{"posted response", "2025-11-25", `{"jsonrpc":"2.0","id":1,"result":{}}`, mcp.Legacy, 0, 0, ""},
		{"unknown method", "", `{"jsonrpc":"2.0","id":1,"method":"acme/do"}`, mcp.Legacy, 0, 0, ""},
		{"old version", "2024-11-05", none, mcp.Legacy, -32600, 400, "MCP-Protocol-Version 2024-11-05 is not supported"},
		{"past version", "2000-01-01", none, mcp.Legacy, -32600, 400, "MCP-Protocol-Version 2000-01-01 is not supported"},
		{"comma list", "2025-06-18, 2025-06-18", none, mcp.Legacy, -32600, 400, "MCP-Protocol-Version 2025-06-18, 2025-06-18 is not supported"},
		{"discover", "", `{"jsonrpc":"2.0","id":1,"method":"server/discover"}`, mcp.Legacy, -32601, 200, "method server/discover does not exist in protocol versions up to 2025-11-25"},
		{"listen", "2025-11-25", `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen"}`, mcp.Legacy, -32601, 200, "method subscriptions/listen does not exist in protocol versions up to 2025-11-25"},

		// Modern: both claims agree.
		{"header and _meta", "2026-07-28", claim("tools/call", modernMeta), mcp.Modern, 0, 0, ""},
		{"discover", "2026-07-28", claim("server/discover", modernMeta), mcp.Modern, 0, 0, ""},
		{"unknown method", "2026-07-28", claim("acme/do", modernMeta), mcp.Modern, 0, 0, ""},
		{"notification without _meta", "2026-07-28", `{"jsonrpc":"2.0","method":"notifications/cancelled"}`, mcp.Modern, 0, 0, ""},

		// Modern: claims that contradict each other or cannot be met.
		{"header without _meta", "2026-07-28", none, mcp.Modern, -32602, 400, "request needs io.modelcontextprotocol/protocolVersion in params._meta (at params._meta)"},
		{"header, _meta without version", "2026-07-28", claim("tools/call", cc+`:{}`), mcp.Modern, -32602, 400, "request needs io.modelcontextprotocol/protocolVersion in params._meta (at params._meta)"},
		{"no capabilities", "2026-07-28", claim("tools/call", pv+`:"2026-07-28"`), mcp.Modern, -32602, 400, "request needs io.modelcontextprotocol/clientCapabilities in params._meta (at params._meta)"},
		{"_meta without header", "", claim("tools/call", modernMeta), mcp.Modern, -32020, 400, "header MCP-Protocol-Version is required for a request whose _meta names a protocol version"},
		{"empty version in _meta", "", claim("tools/call", pv+`:"",`+cc+`:{}`), mcp.Modern, -32020, 400, "header MCP-Protocol-Version is required for a request whose _meta names a protocol version"},
		{"legacy header, modern _meta", "2025-11-25", claim("tools/call", modernMeta), mcp.Modern, -32020, 400, "header MCP-Protocol-Version differs from the protocol version in _meta"},
		{"modern header, legacy _meta", "2026-07-28", claim("tools/call", pv+`:"2025-11-25",`+cc+`:{}`), mcp.Modern, -32020, 400, "header MCP-Protocol-Version differs from the protocol version in _meta"},
		{"modern header, future _meta", "2026-07-28", claim("tools/call", pv+`:"2099-01-01",`+cc+`:{}`), mcp.Modern, -32020, 400, "header MCP-Protocol-Version differs from the protocol version in _meta"},
		{"mismatch on a notification", "2026-07-28", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"_meta":{` + pv + `:"x"}}}`, mcp.Modern, -32020, 400, "header MCP-Protocol-Version differs from the protocol version in _meta"},
		{"future version", "2099-01-01", claim("tools/call", pv+`:"2099-01-01",`+cc+`:{}`), mcp.Modern, -32022, 400, "protocol version is not supported"},
		{"future header before a mismatch", "2099-01-01", claim("tools/call", modernMeta), mcp.Modern, -32022, 400, "protocol version is not supported"},
		{"future header without _meta", "2099-01-01", none, mcp.Modern, -32022, 400, "protocol version is not supported"},
		{"past version with _meta", "1999-01-01", claim("tools/call", pv+`:"1999-01-01",`+cc+`:{}`), mcp.Modern, -32022, 400, "protocol version is not supported"},
		{"a word", "latest", none, mcp.Modern, -32022, 400, "protocol version is not supported"},
		{"legacy version in both", "2025-11-25", claim("tools/call", pv+`:"2025-11-25",`+cc+`:{}`), mcp.Modern, -32022, 400, "protocol version is not supported"},
		{"posted response", "2026-07-28", `{"jsonrpc":"2.0","id":1,"result":{}}`, mcp.Modern, -32600, 400, "responses are not posted in protocol version 2026-07-28, byte 0"},
	}
	for _, test := range tests {
		t.Run(test.era.String()+" "+test.name, func(t *testing.T) {
			era, err := mcp.Classify(test.header, scan(t, test.body))
			if era != test.era {
				t.Errorf("era = %s, want %s", era, test.era)
			}
			switch {
			case err == nil:
				if test.code != 0 {
					t.Errorf("accepted, want %d %q", test.code, test.text)
				}
			case err.Code != test.code || err.Status(era) != test.http || err.Error() != test.text:
				t.Errorf("refused with %d, HTTP %d, %q\n want %d, HTTP %d, %q", err.Code, err.Status(era), err.Error(), test.code, test.http, test.text)
			}
		})
	}
}

func TestRemovedMethodsAreNotFoundInModern(t *testing.T) {
	for _, method := range []string{
		"initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe", "tasks/list", "tasks/result",
		"notifications/initialized", "notifications/roots/list_changed",
	} {
		t.Run(method, func(t *testing.T) {
			_, err := mcp.Classify("2026-07-28", scan(t, claim(method, modernMeta)))
			if err == nil || err.Code != mcp.CodeMethodNotFound || err.HTTP != 404 {
				t.Errorf("Classify = %v, want -32601 with HTTP 404", err)
			}
		})
	}
}

func TestUnsupportedVersionNamesWhatIs(t *testing.T) {
	_, err := mcp.Classify("2099-01-01\"", scan(t, claim("tools/call", modernMeta)))
	const want = `{"supported":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"],"requested":"2099-01-01\""}`
	if err == nil || string(err.Data) != want {
		t.Errorf("data = %v, want %s", err, want)
	}
	// A legacy version claimed the modern way is not answered with itself.
	_, err = mcp.Classify("2025-11-25", scan(t, claim("tools/call", pv+`:"2025-11-25",`+cc+`:{}`)))
	if err == nil || strings.Contains(string(err.Data), `"supported":["2026-07-28","2025`) {
		t.Errorf("data = %s, want modern versions only", err.Data)
	}
}

func TestCheckMethod(t *testing.T) {
	tests := []struct {
		method         string
		legacy, modern bool
	}{
		{"initialize", true, false},
		{"server/discover", false, true},
		{"tools/call", true, true},
		{"acme/do", false, false},
		{"", false, false},
		{"Tools/Call", false, false},
		{"notifications/message", false, false}, // a server's
	}
	for _, test := range tests {
		for era, want := range map[mcp.Era]bool{mcp.Legacy: test.legacy, mcp.Modern: test.modern, 0: false} {
			if got := mcp.CheckMethod(era, test.method) == nil; got != want {
				t.Errorf("CheckMethod(%s, %q) accepts: %v, want %v", era, test.method, got, want)
			}
		}
	}
}

func TestNegotiateVersion(t *testing.T) {
	tests := map[string]string{
		"2025-03-26": "2025-03-26", "2025-06-18": "2025-06-18", "2025-11-25": "2025-11-25",
		"2024-11-05": "2025-11-25", "2026-07-28": "2025-11-25", "2099-01-01": "2025-11-25", "": "2025-11-25", "x": "2025-11-25",
	}
	for requested, want := range tests {
		if got := mcp.NegotiateVersion(requested); got != want {
			t.Errorf("NegotiateVersion(%q) = %s, want %s", requested, got, want)
		}
	}
}

func TestSupportedVersionsAreThoseWithAnEra(t *testing.T) {
	versions := mcp.SupportedVersions()
	if !slices.IsSortedFunc(versions, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("not newest first: %v", versions)
	}
	for _, version := range versions {
		if mcp.EraOf(version) == 0 {
			t.Errorf("%s is supported and has no era", version)
		}
	}
	versions[0] = "changed"
	if mcp.SupportedVersions()[0] != mcp.Version20260728 {
		t.Error("a caller can change the list")
	}
}
