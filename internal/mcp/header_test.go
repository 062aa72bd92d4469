package mcp_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

// sentinels: text and the one header value that carries it.
var sentinels = []struct{ text, header string }{
	{"get_weather", "get_weather"},
	{"", ""},
	{"a b", "a b"},
	{"a\tb", "a\tb"},
	{"~ !", "~ !"},
	{" padded", "=?base64?IHBhZGRlZA==?="},
	{"padded ", "=?base64?cGFkZGVkIA==?="},
	{"\tpadded", "=?base64?CXBhZGRlZA==?="},
	{"größe", "=?base64?Z3LDtsOfZQ==?="},
	{"\U0001F600", "=?base64?8J+YgA==?="},
	{"a\nb", "=?base64?YQpi?="},
	{"a\rb: c", "=?base64?YQ1iOiBj?="},
	{"\x00", "=?base64?AA==?="},
	{"\x7f", "=?base64?fw==?="},
	{"=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="},
	{"=?base64?", "=?base64?"},
	{"=?base64?=", "=?base64?="},
	{"=?base64??=", "=?base64?PT9iYXNlNjQ/Pz0=?="},
	{"=?BASE64?YQ==?=", "=?BASE64?YQ==?="},
}

func TestHeaderValue(t *testing.T) {
	for _, s := range sentinels {
		if got := mcp.EncodeHeaderValue(s.text); got != s.header {
			t.Errorf("EncodeHeaderValue(%q) = %q, want %q", s.text, got, s.header)
		}
		if got, err := mcp.DecodeHeaderValue(s.header); err != nil || got != s.text {
			t.Errorf("DecodeHeaderValue(%q) = %q, %v, want %q", s.header, got, err, s.text)
		}
	}
}

func TestT35_DecodeHeaderValueRefuses(t *testing.T) {
	for name, value := range map[string]string{
		"raw UTF-8":              "größe",
		"raw Latin-1":            "gr\xf6\xdfe",
		"control character":      "a\x01",
		"line end":               "a\r\nX: y",
		"no padding":             "=?base64?YQ?=",
		"too much padding":       "=?base64?YWI==?=",
		"URL alphabet":           "=?base64?8J-YgA==?=",
		"bits beyond the end":    "=?base64?YR==?=",
		"space in the content":   "=?base64?Y Q==?=",
		"content is not UTF-8":   "=?base64?/w==?=",
		"surrogate in content":   "=?base64?7aCA?=",
		"two sentinels in a row": "=?base64?YQ==?==?base64?Yg==?=",
	} {
		if got, err := mcp.DecodeHeaderValue(value); err == nil {
			t.Errorf("%s: DecodeHeaderValue(%q) = %q, want an error", name, value, got)
		}
	}
}

func TestT35_CheckHeaders(t *testing.T) {
	h := func(pairs ...string) http.Header {
		headers := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			headers.Add(pairs[i], pairs[i+1])
		}
		return headers
	}
	toolCall := func(name string) string {
		return string(mcp.AppendString([]byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":`), name)) + `}}`
	}
	const read = `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///a b"}}`
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	const task = `{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{"taskId":"t1"}}`
	const notice = `{"jsonrpc":"2.0","method":"notifications/cancelled"}`
	tests := []struct {
		name    string
		headers http.Header
		body    string
		want    string // the error; empty when accepted
	}{
		{"both agree", h("Mcp-Method", "tools/call", "Mcp-Name", "safe"), toolCall("safe"), ""},
		{"spelled in lower case", h("mcp-method", "tools/call", "mcp-name", "safe"), toolCall("safe"), ""},
		{"name in a sentinel", h("Mcp-Method", "tools/call", "Mcp-Name", "=?base64?Z3LDtsOfZQ==?="), toolCall("größe"), ""},
		{"plain name in a sentinel", h("Mcp-Method", "tools/call", "Mcp-Name", "=?base64?c2FmZQ==?="), toolCall("safe"), ""},
		{"name that looks like a sentinel", h("Mcp-Method", "tools/call", "Mcp-Name", "=?base64?PT9iYXNlNjQ/WVE9PT89?="), toolCall("=?base64?YQ==?="), ""},
		{"name in raw UTF-8, as the Go SDK sends it", h("Mcp-Method", "tools/call", "Mcp-Name", "größe"), toolCall("größe"), ""},
		{"prompt", h("Mcp-Method", "prompts/get", "Mcp-Name", "safe"), strings.Replace(toolCall("safe"), "tools/call", "prompts/get", 1), ""},
		{"resource", h("Mcp-Method", "resources/read", "Mcp-Name", "file:///a b"), read, ""},
		{"task", h("Mcp-Method", "tasks/get", "Mcp-Name", "t1"), task, ""},
		{"method without a name", h("Mcp-Method", "tools/list"), list, ""},
		{"name where none is needed", h("Mcp-Method", "tools/list", "Mcp-Name", "x"), list, ""},
		{"notification without headers", h(), notice, ""},
		{"notification with the header", h("Mcp-Method", "notifications/cancelled"), notice, ""},

		{"no method", h("Mcp-Name", "safe"), toolCall("safe"), "header Mcp-Method is missing"},
		{"no name", h("Mcp-Method", "tools/call"), toolCall("safe"), "header Mcp-Name is missing"},
		{"empty name", h("Mcp-Method", "tools/call", "Mcp-Name", ""), toolCall("safe"), "header Mcp-Name differs from the body"},
		{"another name", h("Mcp-Method", "tools/call", "Mcp-Name", "safe"), toolCall("danger"), "header Mcp-Name differs from the body"},
		{"another case", h("Mcp-Method", "tools/call", "Mcp-Name", "Safe"), toolCall("safe"), "header Mcp-Name differs from the body"},
		{"another method", h("Mcp-Method", "tools/list", "Mcp-Name", "safe"), toolCall("safe"), "header Mcp-Method differs from the body"},
		{"method in another case", h("Mcp-Method", "Tools/Call", "Mcp-Name", "safe"), toolCall("safe"), "header Mcp-Method differs from the body"},
		{"two methods", h("Mcp-Method", "tools/call", "Mcp-Method", "tools/call", "Mcp-Name", "safe"), toolCall("safe"), "header Mcp-Method stands more than once"},
		{"two names", h("Mcp-Method", "tools/call", "Mcp-Name", "safe", "Mcp-Name", "danger"), toolCall("danger"), "header Mcp-Name stands more than once"},
		{"two equal names", h("Mcp-Method", "tools/call", "Mcp-Name", "safe", "Mcp-Name", "safe"), toolCall("safe"), "header Mcp-Name stands more than once"},
		{"two names where none is needed", h("Mcp-Method", "tools/list", "Mcp-Name", "a", "Mcp-Name", "b"), list, "header Mcp-Name stands more than once"},
		{"comma list", h("Mcp-Method", "tools/call", "Mcp-Name", "safe, danger"), toolCall("safe"), "header Mcp-Name differs from the body"},
		{"folded line", h("Mcp-Method", "tools/call", "Mcp-Name", "safe danger"), toolCall("safe"), "header Mcp-Name differs from the body"},
		{"trailing space", h("Mcp-Method", "tools/call", "Mcp-Name", "safe "), toolCall("safe"), "header Mcp-Name differs from the body"},
		{"raw UTF-8 of another name", h("Mcp-Method", "tools/call", "Mcp-Name", "größe"), toolCall("grösse"), "header Mcp-Name is not well-formed: value has characters outside printable ASCII"},
		{"raw UTF-8 in another normal form", h("Mcp-Method", "tools/call", "Mcp-Name", "gro\u0308ße"), toolCall("größe"), "header Mcp-Name is not well-formed: value has characters outside printable ASCII"},
		{"Latin-1", h("Mcp-Method", "tools/call", "Mcp-Name", "gr\xf6\xdfe"), toolCall("größe"), "header Mcp-Name is not well-formed: value has characters outside printable ASCII"},
		{"raw control character", h("Mcp-Method", "tools/call", "Mcp-Name", "ü\x01"), toolCall("ü\x01"), "header Mcp-Name is not well-formed: value has characters outside printable ASCII"},
		{"bad padding", h("Mcp-Method", "tools/call", "Mcp-Name", "=?base64?c2FmZQ?="), toolCall("safe"), "header Mcp-Name is not well-formed: content of the sentinel is not base64"},
		{"encoded twice", h("Mcp-Method", "tools/call", "Mcp-Name", mcp.EncodeHeaderValue("=?base64?c2FmZQ==?=")), toolCall("safe"), "header Mcp-Name differs from the body"},
		{"upper-case sentinel", h("Mcp-Method", "tools/call", "Mcp-Name", "=?BASE64?c2FmZQ==?="), toolCall("safe"), "header Mcp-Name differs from the body"},
		{"method in a sentinel", h("Mcp-Method", "=?base64?dG9vbHMvY2FsbA==?=", "Mcp-Name", "safe"), toolCall("safe"), "header Mcp-Method differs from the body"},
		{"another resource", h("Mcp-Method", "resources/read", "Mcp-Name", "file:///b"), read, "header Mcp-Name differs from the body"},
		{"another task", h("Mcp-Method", "tasks/get", "Mcp-Name", "t2"), task, "header Mcp-Name differs from the body"},
		{"notification with another method", h("Mcp-Method", "tools/call"), notice, "header Mcp-Method differs from the body"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := mcp.CheckHeaders(test.headers, scan(t, test.body))
			if err == nil {
				if test.want != "" {
					t.Errorf("accepted, want %q", test.want)
				}
				return
			}
			if err.Error() != test.want || err.Code != mcp.CodeHeaderMismatch || err.HTTP != 400 {
				t.Errorf("refused with %d, HTTP %d, %q, want %q", err.Code, err.HTTP, err.Error(), test.want)
			}
		})
	}
}

func TestVersionHeaderStandsOnce(t *testing.T) {
	headers := http.Header{}
	headers.Add("MCP-Protocol-Version", "2025-11-25")
	if got, err := mcp.Header(headers, mcp.HeaderVersion); err != nil || got != "2025-11-25" {
		t.Errorf("Header = %q, %v", got, err)
	}
	headers.Add("MCP-Protocol-Version", "2026-07-28")
	if got, err := mcp.Header(headers, mcp.HeaderVersion); err == nil {
		t.Errorf("Header of two = %q, want an error", got)
	}
	for _, name := range []string{mcp.HeaderVersion, mcp.HeaderMethod, mcp.HeaderName, mcp.HeaderSession} {
		if name != http.CanonicalHeaderKey(name) {
			t.Errorf("%s is not canonical: it would never be found", name)
		}
	}
}
