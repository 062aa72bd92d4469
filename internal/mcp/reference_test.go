package mcp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/mcp"
)

// request returns a request with these members of params.
func request(method, params string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"` + method + `","params":{` + params + `}}`
}

func TestRequestReadsWhatACompletionIsAbout(t *testing.T) {
	body := request("completion/complete", `"argument":{"name":"q","value":"v"},"ref":{"uri":"x:{id}","title":"t","type":"ref/prompt","name":"gr\u00fc\u00df"}`)
	req := scan(t, body)
	if req.RefType != mcp.RefPrompt || req.RefName != "grüß" || req.RefURI != "" || !req.RefURISpan.Empty() || string(req.RefNameSpan.Of([]byte(body))) != `"gr\u00fc\u00df"` {
		t.Errorf("read %+v", req)
	}
	body = request("completion/complete", `"ref":{"type":"ref/resource","name":7,"uri":"x:{id}"}`)
	req = scan(t, body)
	if req.RefType != mcp.RefResource || req.RefURI != "x:{id}" || req.RefName != "" || string(req.RefURISpan.Of([]byte(body))) != `"x:{id}"` {
		t.Errorf("read %+v", req)
	}
	if req := scan(t, request("tools/list", `"ref":7,"level":[],"requestId":{},"notifications":1,"requestState":1,"inputResponses":1`)); req.RefType != "" || req.Level != "" {
		t.Errorf("another method's members were read: %+v", req)
	}
}

func TestRequestReadsLevelAndRequestID(t *testing.T) {
	for _, level := range mcp.Levels() {
		if req := scan(t, request("logging/setLevel", `"level":"`+level+`"`)); req.Level != level || mcp.LevelIndex(level) < 0 {
			t.Errorf("level = %q, want %q", req.Level, level)
		}
	}
	for _, id := range []string{`"a\u0062"`, `7`, `-1`, `12345678901234567890`} {
		body := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":` + id + `}}`
		if got := string(scan(t, body).RequestID.Of([]byte(body))); got != id {
			t.Errorf("requestId = %s, want %s", got, id)
		}
	}
	scan(t, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"reason":"x"}}`)
}

func TestRequestReadsWhatContinuesIt(t *testing.T) {
	for _, method := range []string{"tools/call", "prompts/get", "resources/read"} {
		body := request(method, `"name":"n","uri":"u:","inputResponses":{"k":{"a":1.0}},"requestState":"s\u0031"`)
		req := scan(t, body)
		if got := string(req.InputResponses.Of([]byte(body))); got != `{"k":{"a":1.0}}` {
			t.Errorf("%s: inputResponses = %s", method, got)
		}
		if got := string(req.RequestState.Of([]byte(body))); got != `"s\u0031"` {
			t.Errorf("%s: requestState = %s", method, got)
		}
	}
}

func TestT34_StrictParams(t *testing.T) {
	refused := func(name, body string, code int, reason mcp.Reason) {
		t.Helper()
		var req mcp.Request
		err := mcp.ScanRequest([]byte(body), mcp.Limits{}, &req)
		if e, ok := errors.AsType[*mcp.Error](err); !ok || e.Code != code || e.Reason != reason {
			t.Errorf("%s: ScanRequest = %v, want %d %s", name, err, code, reason)
		}
	}
	const shape, params = mcp.ReasonShape, mcp.CodeInvalidParams
	const message = mcp.CodeInvalidRequest
	complete := func(ref string) string { return request("completion/complete", `"ref":`+ref) }
	refused("no ref", request("completion/complete", ``), params, shape)
	refused("ref is no object", complete(`"p"`), params, shape)
	refused("ref without a type", complete(`{"name":"a"}`), params, shape)
	refused("ref of an unknown type", complete(`{"type":"ref/tool","name":"a"}`), params, shape)
	refused("prompt without a name", complete(`{"type":"ref/prompt","uri":"a"}`), params, shape)
	refused("resource without a URI", complete(`{"type":"ref/resource","name":"a"}`), params, shape)
	refused("name of a ref twice", complete(`{"type":"ref/prompt","name":"safe","name":"evil"}`), message, mcp.ReasonDuplicate)
	refused("name of a ref in another case", complete(`{"type":"ref/prompt","name":"safe","Name":"evil"}`), message, mcp.ReasonLookalike)
	refused("name of a ref escaped", complete(`{"type":"ref/prompt","name":"safe","nam\u0065":"evil"}`), message, mcp.ReasonDuplicate)
	refused("URI of a ref escaped", complete(`{"type":"ref/resource","ur\u0069":"evil"}`), message, mcp.ReasonEscaped)
	refused("Ref", request("completion/complete", `"ref":{"type":"ref/prompt","name":"a"},"Ref":{}`), message, mcp.ReasonLookalike)
	refused("unknown level", request("logging/setLevel", `"level":"loud"`), params, shape)
	refused("level as a number", request("logging/setLevel", `"level":1`), params, shape)
	refused("no level", request("logging/setLevel", ``), params, shape)
	refused("requestId as a fraction", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1.5}}`, params, shape)
	refused("requestId null", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":null}}`, params, shape)
	refused("inputResponses as a list", request("tools/call", `"name":"a","inputResponses":[]`), params, shape)
	refused("requestState as an object", request("resources/read", `"uri":"a:","requestState":{}`), params, shape)
	refused("RequestState", request("tools/call", `"name":"a","RequestState":"x"`), message, mcp.ReasonLookalike)
	refused("answers twice", request("tools/call", `"name":"a","inputResponses":{"k":1,"k":2}`), message, mcp.ReasonDuplicate)
}

// TestMethodsOfTheOtherEraAreNotReadThere: what a modern client says with a removed method does not matter; the method
// is not found (mcp.md E1).
func TestMethodsOfTheOtherEraAreNotReadThere(t *testing.T) {
	for _, method := range []string{"logging/setLevel", "resources/subscribe", "resources/unsubscribe", "tasks/result"} {
		_, err := mcp.Classify("2026-07-28", scan(t, request(method, `"level":7,"uri":7,"taskId":7,"_meta":{`+modernMeta+`}`)))
		if err == nil || err.Code != mcp.CodeMethodNotFound || err.HTTP != 404 {
			t.Errorf("%s: Classify = %v, want -32601 with HTTP 404", method, err)
		}
	}
}

func TestListenFilter(t *testing.T) {
	listen := func(filter string) ([]byte, *mcp.Request) {
		body := request("subscriptions/listen", `"notifications":`+filter)
		return []byte(body), scan(t, body)
	}
	tests := map[string]mcp.ListenFilter{
		`{}`:                        {},
		`{"toolsListChanged":true}`: {Tools: true},
		`{"toolsListChanged":false,"promptsListChanged":true,"resourcesListChanged":true,"resourceSubscriptions":["a:","gr\u00fcn:"],"taskIds":[1],"acme":{}}`: {Prompts: true, Resources: true, URIs: []string{"a:", "grün:"}},
		`{"resourceSubscriptions":[]}`: {},
	}
	for filter, want := range tests {
		body, req := listen(filter)
		got, err := req.ListenFilter(body)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("ListenFilter(%s): %v\n%s", filter, err, diff)
		}
	}
	for filter, code := range map[string]int{
		`7`: mcp.CodeInvalidParams, `[]`: mcp.CodeInvalidParams, `{"toolsListChanged":1}`: mcp.CodeInvalidParams, `{"promptsListChanged":null}`: mcp.CodeInvalidParams,
		`{"resourceSubscriptions":"a:"}`: mcp.CodeInvalidParams, `{"resourceSubscriptions":["a:",7]}`: mcp.CodeInvalidParams, `{"resourceSubscriptions":{}}`: mcp.CodeInvalidParams,
		`{"ToolsListChanged":true}`: mcp.CodeInvalidRequest, `{"toolsListChange\u0064":true}`: mcp.CodeInvalidRequest,
	} {
		body, req := listen(filter)
		if got, err := req.ListenFilter(body); err == nil || err.Code != code || !cmp.Equal(got, mcp.ListenFilter{}) {
			t.Errorf("ListenFilter(%s) = %+v, %v, want %d", filter, got, err, code)
		}
	}
	for name, uris := range map[string][2]string{
		"URIs":  {strings.Repeat(`"a:",`, 255), strings.Repeat(`"a:",`, 256)},
		"bytes": {`"` + strings.Repeat("a", 64<<10-16) + `",`, `"` + strings.Repeat("a", 64<<10) + `",`},
	} {
		body, req := listen(`{"resourceSubscriptions":[` + uris[0] + `"a:"]}`)
		if _, err := req.ListenFilter(body); err != nil {
			t.Errorf("as many %s as may be: %v", name, err)
		}
		body, req = listen(`{"resourceSubscriptions":[` + uris[1] + `"a:"]}`)
		if got, err := req.ListenFilter(body); err == nil || err.Code != mcp.CodeInvalidParams || got.URIs != nil {
			t.Errorf("too many %s: %v", name, err)
		}
	}
	body := request("subscriptions/listen", ``)
	if got, err := scan(t, body).ListenFilter([]byte(body)); err == nil || err.Code != mcp.CodeInvalidParams {
		t.Errorf("ListenFilter of none = %+v, %v, want -32602", got, err)
	}
}
