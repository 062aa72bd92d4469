package mcp_test

import (
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

func TestWriters(t *testing.T) {
	tests := []struct{ name, got, want string }{
		{"error", string(mcp.WriteError([]byte(">"), []byte("9007199254740993"), -32602, "say \"hi\"\n\u2028\x00\xff", []byte(`{"a":1}`))),
			`>{"jsonrpc":"2.0","id":9007199254740993,"error":{"code":-32602,"message":"say \"hi\"\n` + "\u2028" + `\u0000` + "\ufffd" + `","data":{"a":1}}}`},
		{"error without id and data", string(mcp.WriteError(nil, nil, mcp.CodeDenied, "no", nil)), `{"jsonrpc":"2.0","id":null,"error":{"code":1403,"message":"no"}}`},
		{"result", string(mcp.WriteResult(nil, []byte(`"1"`), []byte(`{}`))), `{"jsonrpc":"2.0","id":"1","result":{}}`},
		{"request", string(mcp.WriteRequest(nil, []byte("1"), "tools/list", []byte(`{}`))), `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}`},
		{"notification", string(mcp.WriteRequest(nil, nil, "notifications/initialized", nil)), `{"jsonrpc":"2.0","method":"notifications/initialized"}`},
		{"compact", string(mcp.AppendCompact(nil, []byte(" {\n\"a\\\" \" :\t[ 1 , \" x\\\\\" ] }\r\n"))), `{"a\" ":[1," x\\"]}`},
	}
	for _, test := range tests {
		if test.got != test.want {
			t.Errorf("%s\n got %s\nwant %s", test.name, test.got, test.want)
		}
	}
}

func TestString(t *testing.T) {
	for token, want := range map[string]string{`""`: "", `"a"`: "a", `"\u0061\ud83d\ude00\"\\\/\b\f\n\r\t"`: "a\U0001F600\"\\/\b\f\n\r\t", `"é"`: "é"} {
		if got, err := mcp.String([]byte(token)); err != nil || got != want {
			t.Errorf("String(%s) = %q, %v, want %q", token, got, err, want)
		}
	}
	for _, token := range []string{"", "a", `"`, `"a`, `"a"b`, `1`, `"\ud800"`, "\"\xff\"", `"\"`} {
		if got, err := mcp.String([]byte(token)); err == nil {
			t.Errorf("String(%s) = %q, want an error", token, got)
		}
	}
}

func TestE7_StatusOf(t *testing.T) {
	tests := []struct{ code, legacy, modern int }{
		{mcp.CodeParse, 400, 400}, {mcp.CodeInvalidRequest, 400, 400},
		{mcp.CodeMethodNotFound, 200, 404}, {mcp.CodeInvalidParams, 200, 400}, {mcp.CodeInternal, 200, 200},
		{mcp.CodeHeaderMismatch, 200, 400}, {mcp.CodeMissingCapability, 200, 400}, {mcp.CodeUnsupportedVersion, 200, 400},
		{mcp.CodeDenied, 200, 200}, {mcp.CodeRateLimited, 200, 200}, {mcp.CodeBadServerAnswer, 200, 200},
		{mcp.CodeUnavailable, 200, 200}, {mcp.CodeTimeout, 200, 200}, {mcp.CodeAuditUnavailable, 200, 200},
	}
	for _, test := range tests {
		if got := mcp.StatusOf(test.code, mcp.Legacy); got != test.legacy {
			t.Errorf("StatusOf(%d, legacy) = %d, want %d", test.code, got, test.legacy)
		}
		if got := mcp.StatusOf(test.code, mcp.Modern); got != test.modern {
			t.Errorf("StatusOf(%d, modern) = %d, want %d", test.code, got, test.modern)
		}
	}
}

func TestErrorAppend(t *testing.T) {
	refused := scanError(t, call(`{"name":"safe","NAME":"evil"}`), mcp.Limits{})
	const want = `{"jsonrpc":"2.0","id":1,"error":{"code":-32600,"message":"member name differs only in case from name (at params.NAME), byte 71"}}`
	if got := string(refused.Append(nil, []byte("1"))); got != want {
		t.Errorf("Append = %s, want %s", got, want)
	}
}
