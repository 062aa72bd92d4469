package mcp_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/warder-gateway/warder/internal/mcp"
)

// scanError scans a body that must be refused and returns why.
func scanError(t *testing.T, body string, limits mcp.Limits) *mcp.Error {
	t.Helper()
	var req mcp.Request
	err := mcp.ScanRequest([]byte(body), limits, &req)
	refused, ok := errors.AsType[*mcp.Error](err)
	if !ok {
		t.Fatalf("ScanRequest(%.200q) = %v, want an *mcp.Error", body, err)
	}
	return refused
}

// call wraps params of a tools/call into a message.
func call(params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":` + params + `}`
}

// TestT34_StrictScan holds every rule of mcp.md E4 to its exact error.
func TestT34_StrictScan(t *testing.T) {
	deep := func(n int) string {
		return call(`{"name":"a","arguments":{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}}`)
	}
	manyNames := func(last string) string {
		var b strings.Builder
		for i := range 40 {
			fmt.Fprintf(&b, `"k%02d":0,`, i)
		}
		return call(`{"name":"a","arguments":{` + b.String() + `"` + last + `":1}}`)
	}
	tests := []struct {
		name   string
		body   string
		code   int
		reason mcp.Reason
		want   string
	}{
		// One JSON value, by the grammar.
		{"empty", "", -32700, mcp.ReasonSyntax, "body is empty, byte 0"},
		{"only space", " \n", -32700, mcp.ReasonSyntax, "body is empty, byte 2"},
		{"byte order mark", "\xef\xbb\xbf{}", -32700, mcp.ReasonBOM, "body starts with a byte order mark, byte 0"},
		{"not JSON", "GET / HTTP/1.1", -32700, mcp.ReasonSyntax, "expected a JSON value, byte 0"},
		{"no end", `{"jsonrpc":"2.0"`, -32700, mcp.ReasonSyntax, "expected ',' or '}' in an object, byte 16"},
		{"value without an end", `{"jsonrpc":`, -32700, mcp.ReasonSyntax, "JSON text ends early, byte 11"},
		{"string without an end", `{"jsonrpc":"2.0`, -32700, mcp.ReasonSyntax, "string without an end, byte 15"},
		{"string ends in a backslash", `{"jsonrpc":"2.0\`, -32700, mcp.ReasonSyntax, "string without an end, byte 16"},
		{"trailing comma", `{"jsonrpc":"2.0",}`, -32700, mcp.ReasonSyntax, "expected the name of a member, byte 17"},
		{"leading comma", `{,"jsonrpc":"2.0"}`, -32700, mcp.ReasonSyntax, "expected the name of a member, byte 1"},
		{"no colon", `{"jsonrpc" "2.0"}`, -32700, mcp.ReasonSyntax, "expected ':' after the name of a member, byte 11"},
		{"name without quotes", `{jsonrpc:"2.0"}`, -32700, mcp.ReasonSyntax, "expected the name of a member, byte 1"},
		{"comment", `{/**/"jsonrpc":"2.0"}`, -32700, mcp.ReasonSyntax, "expected the name of a member, byte 1"},
		{"array comma", call(`{"name":"a","arguments":{"x":[1,]}}`), -32700, mcp.ReasonSyntax, "expected a JSON value (at params.arguments.x), byte 87"},
		{"array without comma", call(`{"name":"a","arguments":{"x":[1 2]}}`), -32700, mcp.ReasonSyntax, "expected ',' or ']' in an array (at params.arguments.x), byte 87"},
		{"NaN", call(`{"name":"a","arguments":{"x":NaN}}`), -32700, mcp.ReasonSyntax, "expected a JSON value (at params.arguments.x), byte 84"},
		{"literal cut short", call(`{"name":"a","arguments":{"x":tru}}`), -32700, mcp.ReasonSyntax, "expected a JSON value (at params.arguments.x), byte 84"},
		{"second value", `{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"tools/call"}`, -32700, mcp.ReasonTrailing, "bytes after the JSON value, byte 40"},
		{"zero byte at the end", `{"jsonrpc":"2.0","id":1,"method":"ping"}` + "\x00", -32700, mcp.ReasonTrailing, "bytes after the JSON value, byte 40"},
		{"vertical tab as space", "\v{}", -32700, mcp.ReasonSyntax, "expected a JSON value, byte 0"},

		// Strings.
		{"control character", "{\"jsonrpc\":\"2.0\n\"}", -32700, mcp.ReasonSyntax, "control character in a string, byte 15"},
		{"unknown escape", `{"jsonrpc":"\x41"}`, -32700, mcp.ReasonSyntax, "unknown escape in a string, byte 12"},
		{"bad hex escape", `{"jsonrpc":"\u00g0"}`, -32700, mcp.ReasonSyntax, `bad \u escape in a string, byte 12`},
		{"short hex escape", `{"jsonrpc":"\u00"}`, -32700, mcp.ReasonSyntax, `bad \u escape in a string, byte 12`},
		{"invalid UTF-8", "{\"jsonrpc\":\"\xff\"}", -32700, mcp.ReasonEncoding, "invalid UTF-8, byte 12"},
		{"overlong UTF-8", "{\"jsonrpc\":\"\xc0\xaf\"}", -32700, mcp.ReasonEncoding, "invalid UTF-8, byte 12"},
		{"surrogate in UTF-8", "{\"jsonrpc\":\"\xed\xa0\x80\"}", -32700, mcp.ReasonEncoding, "invalid UTF-8, byte 12"},
		{"cut UTF-8", "{\"jsonrpc\":\"\xe2\x82\"}", -32700, mcp.ReasonEncoding, "invalid UTF-8, byte 12"},
		{"lone high surrogate", `{"jsonrpc":"\ud800"}`, -32700, mcp.ReasonEncoding, "lone surrogate in a string, byte 12"},
		{"lone low surrogate", `{"jsonrpc":"\udc00"}`, -32700, mcp.ReasonEncoding, "lone surrogate in a string, byte 12"},
		{"high and high", `{"jsonrpc":"\ud800\ud800"}`, -32700, mcp.ReasonEncoding, "lone surrogate in a string, byte 12"},
		{"lone surrogate in a name", call(`{"name":"a","arguments":{"\udc00":1}}`), -32700, mcp.ReasonEncoding, "lone surrogate in a string (at params.arguments), byte 81"},

		// Numbers by RFC 8259.
		{"leading zero", `{"jsonrpc":"2.0","id":01,"method":"ping"}`, -32700, mcp.ReasonSyntax, "expected ',' or '}' in an object, byte 23"},
		{"plus sign", `{"jsonrpc":"2.0","id":+1,"method":"ping"}`, -32700, mcp.ReasonSyntax, "expected a JSON value (at id), byte 22"},
		{"lone minus", `{"jsonrpc":"2.0","id":-,"method":"ping"}`, -32700, mcp.ReasonSyntax, "expected a digit in a number (at id), byte 23"},
		{"point without digits", `{"jsonrpc":"2.0","id":1.,"method":"ping"}`, -32700, mcp.ReasonSyntax, "expected a digit in a number (at id), byte 24"},
		{"exponent without digits", `{"jsonrpc":"2.0","id":1e+,"method":"ping"}`, -32700, mcp.ReasonSyntax, "expected a digit in a number (at id), byte 25"},
		{"hexadecimal", `{"jsonrpc":"2.0","id":0x1,"method":"ping"}`, -32700, mcp.ReasonSyntax, "expected ',' or '}' in an object, byte 23"},

		// Shape of the envelope.
		{"a string", `"ping"`, -32600, mcp.ReasonShape, "message must be a JSON object, byte 0"},
		{"null", `null`, -32600, mcp.ReasonShape, "message must be a JSON object, byte 0"},
		{"batch", ` [{"jsonrpc":"2.0","id":1,"method":"ping"}]`, -32600, mcp.ReasonBatch, "batches of messages are not accepted, byte 1"},
		{"no version", `{"id":1,"method":"ping"}`, -32600, mcp.ReasonShape, `jsonrpc must be "2.0", byte 0`},
		{"version 1.0", `{"jsonrpc":"1.0","id":1,"method":"ping"}`, -32600, mcp.ReasonShape, `jsonrpc must be "2.0", byte 0`},
		{"version as number", `{"jsonrpc":2.0,"id":1,"method":"ping"}`, -32600, mcp.ReasonShape, `jsonrpc must be "2.0", byte 0`},
		{"null id", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, -32600, mcp.ReasonShape, "id must be a string or an integer, not null, byte 0"},
		{"fraction id", `{"jsonrpc":"2.0","id":1.5,"method":"ping"}`, -32600, mcp.ReasonShape, "id must be a string or an integer, byte 22"},
		{"exponent id", `{"jsonrpc":"2.0","id":1e3,"method":"ping"}`, -32600, mcp.ReasonShape, "id must be a string or an integer, byte 22"},
		{"object id", `{"jsonrpc":"2.0","id":{},"method":"ping"}`, -32600, mcp.ReasonShape, "id must be a string or an integer, byte 22"},
		{"no method", `{"jsonrpc":"2.0","id":1}`, -32600, mcp.ReasonShape, "method is missing, byte 0"},
		{"empty method", `{"jsonrpc":"2.0","id":1,"method":""}`, -32600, mcp.ReasonShape, "method must be a string that is not empty, byte 33"},
		{"method as number", `{"jsonrpc":"2.0","id":1,"method":1}`, -32600, mcp.ReasonShape, "method must be a string that is not empty, byte 33"},
		{"params as array", call(`["a"]`), -32600, mcp.ReasonShape, "params must be an object (at params), byte 55"},
		{"params null", call(`null`), -32600, mcp.ReasonShape, "params must be an object (at params), byte 55"},
		{"_meta as string", call(`{"name":"a","_meta":"x"}`), -32600, mcp.ReasonShape, "_meta must be an object (at params._meta), byte 75"},
		{"method and result", `{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`, -32600, mcp.ReasonShape, "message has a method and also a result or an error, byte 0"},
		{"result and error", `{"jsonrpc":"2.0","id":1,"error":{},"result":{}}`, -32600, mcp.ReasonShape, "response has both a result and an error, byte 0"},
		{"response without id", `{"jsonrpc":"2.0","result":{}}`, -32600, mcp.ReasonShape, "response has no id, byte 0"},
		{"result as string", `{"jsonrpc":"2.0","id":1,"result":"x"}`, -32600, mcp.ReasonShape, "result must be an object (at result), byte 33"},

		// Depth.
		{"deep arguments", deep(126), -32600, mcp.ReasonDepth, "nested too deep (at params.arguments.x), byte 209"},

		// Names that two parsers could read differently.
		{"method twice", `{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}`, -32600, mcp.ReasonDuplicate, "duplicate member name (at method), byte 41"},
		{"id twice", `{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, -32600, mcp.ReasonDuplicate, "duplicate member name (at id), byte 25"},
		{"params twice", `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe"},"params":{"name":"evil"}}`, -32600, mcp.ReasonDuplicate, "duplicate member name (at params), byte 72"},
		{"name twice", call(`{"name":"safe","name":"evil"}`), -32600, mcp.ReasonDuplicate, "duplicate member name (at params.name), byte 71"},
		{"unknown twice", call(`{"name":"a","x":1,"x":2}`), -32600, mcp.ReasonDuplicate, "duplicate member name (at params.x), byte 74"},
		{"in _meta twice", call(`{"name":"a","_meta":{"k":1,"k":2}}`), -32600, mcp.ReasonDuplicate, "duplicate member name (at params._meta.k), byte 83"},
		{"argument twice", call(`{"name":"a","arguments":{"repo":1,"repo":2}}`), -32600, mcp.ReasonDuplicate, "duplicate member name (at params.arguments.repo), byte 90"},
		{"argument twice deep down", call(`{"name":"a","arguments":{"x":[{"y":{"z":1,"z":2}}]}}`), -32600, mcp.ReasonDuplicate, "duplicate member name (at params.arguments.x.y.z), byte 98"},
		{"argument twice, once escaped", call(`{"name":"a","arguments":{"repo":1,"r\u0065po":2}}`), -32600, mcp.ReasonDuplicate, "duplicate member name (at params.arguments.repo), byte 90"},
		{"argument twice among many", manyNames("k07"), -32600, mcp.ReasonDuplicate, "duplicate member name (at params.arguments.k07), byte 401"},
		{"argument twice among many, escaped", manyNames(`k\u0030\u0037`), -32600, mcp.ReasonDuplicate, "duplicate member name (at params.arguments.k07), byte 401"},
		{"escaped method", `{"jsonrpc":"2.0","id":1,"m\u0065thod":"ping"}`, -32600, mcp.ReasonEscaped, `member name is spelled with escapes (at m\\u0065thod), byte 25`},
		{"escaped name", call(`{"na\u006de":"evil"}`), -32600, mcp.ReasonEscaped, `member name is spelled with escapes (at params.na\\u006de), byte 57`},
		{"escaped unknown", call(`{"name":"a","\u0078":1}`), -32600, mcp.ReasonEscaped, `member name is spelled with escapes (at params.\\u0078), byte 68`},
		{"escaped in _meta", call(`{"name":"a","_meta":{"\u0078":1}}`), -32600, mcp.ReasonEscaped, `member name is spelled with escapes (at params._meta.\\u0078), byte 77`},
		{"Method", `{"jsonrpc":"2.0","id":1,"Method":"ping"}`, -32600, mcp.ReasonLookalike, "member name differs only in case from method (at Method), byte 25"},
		{"params with a long s", `{"jsonrpc":"2.0","id":1,"method":"ping","param` + "\u017f" + `":{}}`, -32600, mcp.ReasonLookalike, `member name differs only in case from params (at param\u017f), byte 41`},
		{"NAME", call(`{"name":"safe","NAME":"evil"}`), -32600, mcp.ReasonLookalike, "member name differs only in case from name (at params.NAME), byte 71"},
		{"taskId with a Kelvin sign", call(`{"name":"a","tas` + "\u212a" + `Id":"x"}`), -32600, mcp.ReasonLookalike, `member name differs only in case from taskId (at params.tas\u212aId), byte 68`},
		{"Arguments", call(`{"name":"a","Arguments":{}}`), -32600, mcp.ReasonLookalike, "member name differs only in case from arguments (at params.Arguments), byte 68"},
		{"_META", call(`{"name":"a","_META":{}}`), -32600, mcp.ReasonLookalike, "member name differs only in case from _meta (at params._META), byte 68"},
		{"protocolversion in _meta", call(`{"name":"a","_meta":{"io.modelcontextprotocol/protocolversion":"x"}}`), -32600, mcp.ReasonLookalike, "member name differs only in case from io.modelcontextprotocol/protocolVersion (at params._meta.io.modelcontextprotocol/protocolversion), byte 77"},

		// Types of what we read.
		{"no name", call(`{}`), -32602, mcp.ReasonShape, "tools/call needs params.name to be a string (at params.name), byte 55"},
		{"no params", `{"jsonrpc":"2.0","id":1,"method":"tools/call"}`, -32602, mcp.ReasonShape, "tools/call needs params.name to be a string (at params.name), byte 0"},
		{"name as number", call(`{"name":1}`), -32602, mcp.ReasonShape, "tools/call needs params.name to be a string (at params.name), byte 63"},
		{"arguments as array", call(`{"name":"a","arguments":[]}`), -32602, mcp.ReasonShape, "tools/call needs params.arguments to be an object (at params.arguments), byte 79"},
		{"arguments null", call(`{"name":"a","arguments":null}`), -32602, mcp.ReasonShape, "tools/call needs params.arguments to be an object (at params.arguments), byte 79"},
		{"no uri", `{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{}}`, -32602, mcp.ReasonShape, "resources/read needs params.uri to be a string (at params.uri), byte 59"},
		{"no task", `{"jsonrpc":"2.0","id":1,"method":"tasks/get","params":{}}`, -32602, mcp.ReasonShape, "tasks/get needs params.taskId to be a string (at params.taskId), byte 54"},
		{"version as number in _meta", call(`{"name":"a","_meta":{"io.modelcontextprotocol/protocolVersion":1}}`), -32602, mcp.ReasonShape, "value has the wrong type (at params._meta.io.modelcontextprotocol/protocolVersion), byte 118"},
		{"capabilities as null", call(`{"name":"a","_meta":{"io.modelcontextprotocol/clientCapabilities":null}}`), -32602, mcp.ReasonShape, "value has the wrong type (at params._meta.io.modelcontextprotocol/clientCapabilities), byte 121"},
		{"progress token as object", call(`{"name":"a","_meta":{"progressToken":{}}}`), -32602, mcp.ReasonShape, "value has the wrong type (at params._meta.progressToken), byte 92"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := scanError(t, test.body, mcp.Limits{})
			if got.Code != test.code || got.Reason != test.reason || got.Error() != test.want {
				t.Errorf("refused with %d %s %q\n want %d %s %q", got.Code, got.Reason, got.Error(), test.code, test.reason, test.want)
			}
			if got.HTTP != 400 {
				t.Errorf("HTTP = %d, want 400", got.HTTP)
			}
		})
	}
}

// TestScanAccepts holds what is unusual and still one thing to every parser.
func TestScanAccepts(t *testing.T) {
	tests := map[string]string{
		"space everywhere":         " {\n\t\"jsonrpc\" : \"2.0\" , \"id\" : 1 , \"method\" : \"ping\" , \"params\" : { } }\r\n",
		"members in any order":     `{"params":{"name":"a"},"method":"tools/call","id":1,"jsonrpc":"2.0"}`,
		"unknown members":          `{"jsonrpc":"2.0","id":1,"method":"ping","extra":[1,{"a":null}],"übung":true}`,
		"escaped argument names":   call(`{"name":"a","arguments":{"gr\u00f6\u00dfe":1,"\ud83d\ude00":2}}`),
		"names that go on longer":  `{"jsonrpc":"2.0","id":1,"method":"tools/call","methods":1,"params":{"name":"a","namespace":1,"_metadata":2,"nam":3}}`,
		"case variants deep down":  call(`{"name":"a","arguments":{"Name":1,"name":2,"NAME":3}}`),
		"same name at two levels":  call(`{"name":"a","arguments":{"name":{"name":1}}}`),
		"same name in two objects": call(`{"name":"a","arguments":{"x":[{"k":1},{"k":1}]}}`),
		"numbers":                  call(`{"name":"a","arguments":{"x":[0,-0,1.10,1e999,-1.5E-3,12345678901234567890]}}`),
		"DEL and emoji":            call("{\"name\":\"a\x7f\U0001F600\"}"),
		"surrogate pair":           call(`{"name":"\ud83d\ude00"}`),
		"negative id":              `{"jsonrpc":"2.0","id":-7,"method":"ping"}`,
		"empty string id":          `{"jsonrpc":"2.0","id":"","method":"ping"}`,
		"posted error":             `{"jsonrpc":"2.0","id":"x","error":{"code":-1,"message":"no"}}`,
		"unknown method":           `{"jsonrpc":"2.0","id":1,"method":"acme/do","params":{"name":{},"arguments":[]}}`,
		"number as progress token": call(`{"name":"a","_meta":{"progressToken":7}}`),
		"depth at the limit":       call(`{"name":"a","arguments":{"x":` + strings.Repeat("[", 125) + strings.Repeat("]", 125) + `}}`),
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			var req mcp.Request
			if err := mcp.ScanRequest([]byte(body), mcp.Limits{}, &req); err != nil {
				t.Errorf("ScanRequest(%s) = %v, want it accepted", body, err)
			}
		})
	}
}

func TestDepthLimitIsTheCallers(t *testing.T) {
	body := call(`{"name":"a","arguments":{"x":[]}}`)
	var req mcp.Request
	if err := mcp.ScanRequest([]byte(body), mcp.Limits{Depth: 4}, &req); err != nil {
		t.Errorf("at depth 4 of 4: %v", err)
	}
	if got := scanError(t, body, mcp.Limits{Depth: 3}); got.Reason != mcp.ReasonDepth {
		t.Errorf("at depth 4 of 3: %v, want %s", got, mcp.ReasonDepth)
	}
}

// TestErrorKeepsUndoubtedID: an error answer names the request, unless the id itself is in doubt.
func TestErrorKeepsUndoubtedID(t *testing.T) {
	tests := []struct{ name, body, want string }{
		{"bad name", call(`{"name":1}`), "1"},
		{"duplicate", call(`{"name":"a","name":"b"}`), "1"},
		{"two ids", `{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}`, ""},
		{"null id", `{"jsonrpc":"2.0","id":null,"method":"ping"}`, ""},
		{"not JSON", `{"jsonrpc":"2.0","id":1,"method":"ping"`, ""},
		{"batch", `[{"id":1}]`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var req mcp.Request
			if err := mcp.ScanRequest([]byte(test.body), mcp.Limits{}, &req); err == nil {
				t.Fatal("accepted")
			}
			if got := string(req.ID.Of([]byte(test.body))); got != test.want {
				t.Errorf("id = %q, want %q", got, test.want)
			}
		})
	}
}

// TestPathIsBounded: the path in an error is made of a stranger's names.
func TestPathIsBounded(t *testing.T) {
	var body strings.Builder
	for range 100 {
		body.WriteString(`{"` + strings.Repeat("n\x7f", 500) + `":`)
	}
	got := scanError(t, call(`{"name":"a","arguments":`+body.String()), mcp.Limits{})
	if len(got.Error()) > 400 || strings.ContainsRune(got.Error(), '\x7f') {
		t.Errorf("error of %d bytes: %q", len(got.Error()), got.Error())
	}
}

// TestDuplicatesAmongAnyNumberOfNames crosses every size at which names are kept or compared in another way, also with an
// outer object that stays open.
func TestDuplicatesAmongAnyNumberOfNames(t *testing.T) {
	for _, n := range []int{1, 2, 15, 16, 17, 23, 24, 25, 31, 32, 33, 64, 65, 1000} {
		var members strings.Builder
		for i := range n {
			fmt.Fprintf(&members, `"k%d":{"k0":0},`, i)
		}
		object := func(last string) string {
			return call(`{"name":"a","arguments":{"outer":{` + members.String() + last + `},"after":{` + members.String() + `"x":0}}}`)
		}
		scan(t, object(`"x":0`))
		for _, i := range []int{0, n / 2, n - 1} {
			got := scanError(t, object(fmt.Sprintf(`"k%d":0`, i)), mcp.Limits{})
			if want := fmt.Sprintf("params.arguments.outer.k%d", i); got.Reason != mcp.ReasonDuplicate || got.Member != want {
				t.Errorf("%d names, number %d again: %v, want a duplicate at %s", n, i, got, want)
			}
		}
	}
}

// TestEveryByteAtEveryPlace holds strings against JSON v2: each byte, at each place of a string long enough for the
// eight-byte steps, before text and at its end.
func TestEveryByteAtEveryPlace(t *testing.T) {
	for c := range 256 {
		for at := range 20 {
			token := []byte(`"abcdefghijklmnopqrst"`)
			token[1+at] = byte(c)
			body := []byte(`{"jsonrpc":"2.0","id":1,"method":"ping","x":` + string(token) + `}`)
			var req mcp.Request
			got, want := mcp.ScanRequest(body, mcp.Limits{}, &req) == nil, jsontext.Value(body).IsValid()
			if got != want {
				t.Errorf("byte %#x at %d accepted: %v, JSON v2 says %v", c, at, got, want)
			}
		}
	}
}
