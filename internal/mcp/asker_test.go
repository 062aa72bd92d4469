package mcp_test

import (
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

// asked are params of elicitation/create, as the server wrote them and with who asks.
var asked = []struct{ name, params, named string }{
	{"form", `{"message":"Who?","n":1.10}`, `{"message":"gh: Who?","n":1.10}`},
	{"odd spelling", "{ \"x\":" + odd + ",\n\"message\" : \"\\u0022\\/Ü\" , \"mode\":\"url\"}", "{ \"x\":" + odd + ",\n\"message\" : \"gh: \\u0022\\/Ü\" , \"mode\":\"url\"}"},
	{"empty message", `{"message":""}`, `{"message":"gh: "}`},
	{"message that names another", `{"message":"other: Who?"}`, `{"message":"gh: other: Who?"}`},
	{"no message", `{"mode":"form"}`, `{"mode":"form"}`},
	{"message that is no string", `{"message":{"message":"x"}}`, `{"message":{"message":"x"}}`},
	{"message further in", `{"requestedSchema":{"message":"x"}}`, `{"requestedSchema":{"message":"x"}}`},
	{"nothing", `{}`, `{}`},
}

func TestNameAskerSaysWhoAsks(t *testing.T) {
	for _, test := range asked {
		for method, want := range map[string]string{mcp.MethodElicit: test.named, mcp.MethodCreateMessage: test.params} {
			params := []byte(test.params)
			in := mcp.Input{Key: "k", Method: method, Params: params}
			if in.NameAsker("gh"); string(in.Params) != want || string(params) != test.params {
				t.Errorf("%s, %s: params\n got %s\nwant %s", test.name, method, in.Params, want)
			}
			in.Params = params
			if in.NameAsker(""); string(in.Params) != test.params {
				t.Errorf("%s: nobody asks, and yet %s", test.name, in.Params)
			}
		}
	}
	in := mcp.Input{Method: mcp.MethodElicit}
	if in.NameAsker("gh"); in.Params != nil {
		t.Errorf("no params became %s", in.Params)
	}
}

func TestRewriteServerRequestSaysWhoAsks(t *testing.T) {
	for _, test := range asked {
		for _, body := range []string{
			`{"jsonrpc":"2.0", "id":@ID,"method":"elicitation\/create","params": @PARAMS }`,
			`{"params":@PARAMS,"method":"elicitation/create","x":` + odd + `,"id" : @ID,"jsonrpc":"2.0"}`,
		} {
			fill := func(id, params string) string { return strings.NewReplacer("@ID", id, "@PARAMS", params).Replace(body) }
			from := fill("3", test.params)
			for asker, params := range map[string]string{"gh": test.named, "": test.params} {
				got := string(mcp.RewriteServerRequest(nil, []byte(from), scanAnswer(t, from), []byte(`"s"`), asker))
				if want := fill(`"s"`, params); got != want {
					t.Errorf("%s, asker %q: rewritten\n got %s\nwant %s", test.name, asker, got, want)
				}
			}
		}
	}
	const other = `{"jsonrpc":"2.0","id":3,"method":"sampling/createMessage","params":{"message":"x"}}`
	if got := string(mcp.RewriteServerRequest(nil, []byte(other), scanAnswer(t, other), []byte("3"), "gh")); got != other {
		t.Errorf("another method became %s", got)
	}
}

func TestRewriteResponseSaysWhoAsks(t *testing.T) {
	const head = `{"resultType":"input_required","requestState":"s"`
	requests := func(params func(named, plain string) string) string {
		var b strings.Builder
		for _, test := range asked {
			b.WriteString(`"` + test.name + ` 1" : {"params":` + params(test.named, test.params) + `,"method":"elicitation\/create"},`)
			b.WriteString(`"` + test.name + ` 2":{"method":"sampling/createMessage","params":` + test.params + `},`)
		}
		return head + `,"inputRequests":{` + b.String() + `"none":{"method":"elicitation/create"}}}`
	}
	plain := requests(func(_, plain string) string { return plain })
	named := requests(func(named, _ string) string { return named })
	modern := mcp.Reply{From: mcp.Modern, To: mcp.Modern, Method: mcp.MethodToolsCall}
	if got := rewritten(t, result("41", plain), modern); got != result("7", plain) {
		t.Errorf("nobody asks: %s", got)
	}
	modern.Asker = "gh"
	if got := rewritten(t, result("41", plain), modern); got != result("7", named) {
		t.Errorf("rewritten\n got %s\nwant %s", got, result("7", named))
	}
	for name, unasked := range map[string]string{
		"complete":     strings.Replace(plain, "input_required", "complete", 1),
		"wrong shapes": head + `,"inputRequests":{"a":7,"b":{"method":["elicitation/create"],"params":{"message":"x"}},"c":{"method":"elicitation/create","params":["message"]}}}`,
		"none":         head + `}`,
	} {
		if got := rewritten(t, result("41", unasked), modern); got != result("7", unasked) {
			t.Errorf("%s: rewritten to %s", name, got)
		}
	}
}
