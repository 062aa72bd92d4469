package mcp_test

import (
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

// result returns a response with this result.
func result(id, result string) string {
	return `{"jsonrpc":"2.0","id":` + id + `,"result":` + result + `}`
}

// rewritten returns the answer to the client's request 7, and checks that it is a message still.
func rewritten(t *testing.T, body string, reply mcp.Reply) string {
	t.Helper()
	reply.ID = []byte("7")
	got := string(mcp.RewriteResponse(nil, []byte(body), scanAnswer(t, body), &reply))
	scanAnswer(t, got)
	return got
}

func TestRewriteResponsePrefixesURIs(t *testing.T) {
	tests := []struct{ name, method, result, want string }{
		{
			"contents of a resource", mcp.MethodResourcesRead,
			`{"contents":[{"uri":"file:///a","text":"\"uri\":\"file:///b\""},{ "mimeType":"x" , "uri" : "file:///%C3%A4\u00e4\/","uri2":1}]}`,
			`{"contents":[{"uri":"gh+file:///a","text":"\"uri\":\"file:///b\""},{ "mimeType":"x" , "uri" : "gh+file:///%C3%A4\u00e4\/","uri2":1}]}`,
		},
		{
			"web pages are left alone", mcp.MethodResourcesRead,
			`{"contents":[{"uri":"http://a"},{"uri":"https://a"},{"uri":"HTTPS://a"},{"uri":"\u0068ttp:\/\/a"},{"uri":"httpx://a"}]}`,
			`{"contents":[{"uri":"http://a"},{"uri":"https://a"},{"uri":"HTTPS://a"},{"uri":"\u0068ttp:\/\/a"},{"uri":"gh+httpx://a"}]}`,
		},
		{
			"links and embedded resources of a tool", mcp.MethodToolsCall,
			`{"content":[{"type":"text","text":"x","uri":"file:///t"},{"uri":"file:///l","type":"resource_link","_meta":{"uri":"file:///m"}},{"type":"resource","uri":"file:///o","resource":{"text":"","uri":"file:///e"}}],"structuredContent":{"uri":"file:///s","type":"resource_link"},"uri":"file:///r"}`,
			`{"content":[{"type":"text","text":"x","uri":"file:///t"},{"uri":"gh+file:///l","type":"resource_link","_meta":{"uri":"file:///m"}},{"type":"resource","uri":"file:///o","resource":{"text":"","uri":"gh+file:///e"}}],"structuredContent":{"uri":"file:///s","type":"resource_link"},"uri":"file:///r"}`,
		},
		{
			"messages of a prompt, with one block or several", mcp.MethodPromptsGet,
			`{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"file:///a"}}},{"content":[{"type":"resource_link","uri":"file:///b"},{"type":"text","text":"uri"}]},{"uri":"file:///c"}]}`,
			`{"messages":[{"role":"user","content":{"type":"resource","resource":{"uri":"gh+file:///a"}}},{"content":[{"type":"resource_link","uri":"gh+file:///b"},{"type":"text","text":"uri"}]},{"uri":"file:///c"}]}`,
		},
		{"places of another method", mcp.MethodToolsCall, `{"contents":[{"uri":"file:///a"}],"messages":[{"content":{"type":"resource_link","uri":"file:///b"}}]}`, ``},
		{"a completion", mcp.MethodComplete, `{"completion":{"values":["file:///a"]},"contents":[{"uri":"file:///a"}]}`, ``},
		{"wrong shapes", mcp.MethodToolsCall, `{"content":[1,null,[],{},{"type":"resource"},{"type":"resource","resource":[]},{"type":"resource_link","uri":7},{"type":["resource_link"],"uri":"a:"}]}`, ``},
		{"content that is no list", mcp.MethodToolsCall, `{"content":{"type":"resource_link","uri":"file:///a"}}`, ``},
		{"empty list", mcp.MethodResourcesRead, `{"contents":[],"x":{"uri":"a:"}}`, ``},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := test.want
			if want == "" {
				want = test.result
			}
			for _, era := range []mcp.Era{mcp.Legacy, mcp.Modern} {
				body, want := test.result, want
				if era == mcp.Modern {
					// What modern results must have anyway.
					const head = `{"ttlMs":1,"cacheScope":"private","resultType":"complete",`
					body, want = head+body[1:], head+want[1:]
				}
				reply := mcp.Reply{From: era, To: era, Method: test.method, URIPrefix: mcp.URIPrefix("gh")}
				if got := rewritten(t, result("41", body), reply); got != result("7", want) {
					t.Errorf("%s: rewritten\n got %s\nwant %s", era, got, result("7", want))
				}
				reply.URIPrefix = ""
				if got := rewritten(t, result("41", body), reply); got != result("7", body) {
					t.Errorf("%s: without a prefix: %s", era, got)
				}
			}
		})
	}
}

func TestRewriteResponsePrefixesTheURIOfAnError(t *testing.T) {
	failed := func(id, code, uri string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"error":{"data":{"uri":"` + uri + `","x":["uri"]},"code":` + code + `,"message":"uri"}}`
	}
	for _, test := range []struct {
		name               string
		from, to           mcp.Era
		code, uri          string
		wantCode, prefixed string
	}{
		{"same era", mcp.Modern, mcp.Modern, "-32602", "file:///a", "-32602", "gh+file:///a"},
		{"to legacy it is a resource that was not found", mcp.Modern, mcp.Legacy, "-32602", "file:///a", "-32002", "gh+file:///a"},
		{"to modern", mcp.Legacy, mcp.Modern, "-32002", "file:///a", "-32602", "gh+file:///a"},
		{"a web page", mcp.Legacy, mcp.Legacy, "-32002", "https://a", "-32002", "https://a"},
		{"E7: a modern server with a legacy code", mcp.Modern, mcp.Modern, "-32002", "file:///a", "-32602", "gh+file:///a"},
		{"E7: a legacy server with a modern code", mcp.Legacy, mcp.Legacy, "-32021", "file:///a", "-32603", "gh+file:///a"},
		{"a legacy server's own words", mcp.Legacy, mcp.Legacy, "-32602", "file:///a", "-32602", "gh+file:///a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			reply := mcp.Reply{From: test.from, To: test.to, Method: mcp.MethodResourcesRead, URIPrefix: "gh+"}
			if got, want := rewritten(t, failed("41", test.code, test.uri), reply), failed("7", test.wantCode, test.prefixed); got != want {
				t.Errorf("rewritten\n got %s\nwant %s", got, want)
			}
		})
	}
	// Only an error that names the resource says that it was not found.
	const other = `{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"no"}}`
	if got := rewritten(t, other, mcp.Reply{From: mcp.Modern, To: mcp.Legacy, Method: mcp.MethodResourcesRead}); got != other {
		t.Errorf("another invalid parameter became %s", got)
	}
}

func TestRewriteResponseHasCacheHints(t *testing.T) {
	tests := []struct {
		name         string
		from         mcp.Era
		method       string
		result, want string
	}{
		{"added for a legacy server", mcp.Legacy, mcp.MethodResourcesRead, `{"contents":[]}`, `{"resultType":"complete","ttlMs":0,"cacheScope":"private","contents":[]}`},
		{"added into an empty result", mcp.Legacy, mcp.MethodToolsList, `{}`, `{"resultType":"complete","ttlMs":0,"cacheScope":"private"}`},
		{"a server's public is nobody else's business", mcp.Modern, mcp.MethodResourcesRead, `{"resultType":"complete","ttlMs":5,"cacheScope":"public"}`, `{"resultType":"complete","ttlMs":5,"cacheScope":"private"}`},
		{"private stays as it is", mcp.Modern, mcp.MethodPromptsList, `{"resultType":"complete","cacheScope" : "private","ttlMs":5}`, `{"resultType":"complete","cacheScope" : "private","ttlMs":5}`},
		{"missing ones are added", mcp.Modern, mcp.MethodResourceTemplates, `{"resultType":"complete"}`, `{"ttlMs":0,"cacheScope":"private","resultType":"complete"}`},
		{"not where input is required", mcp.Modern, mcp.MethodResourcesRead, `{"resultType":"input_required"}`, `{"resultType":"input_required"}`},
		{"not for a call", mcp.Legacy, mcp.MethodToolsCall, `{"content":[]}`, `{"resultType":"complete","content":[]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := rewritten(t, result("41", test.result), mcp.Reply{From: test.from, To: mcp.Modern, Method: test.method})
			if want := result("7", test.want); got != want {
				t.Errorf("rewritten\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestRewriteResponseStateAndServerInfo(t *testing.T) {
	const si = `"io.modelcontextprotocol/serverInfo"`
	info, state := []byte(`{"name":"warder"}`), []byte(`"sealed"`)
	tests := []struct {
		name         string
		from, to     mcp.Era
		state, info  []byte
		result, want string
	}{
		{"state replaced", mcp.Modern, mcp.Modern, state, nil, `{"resultType":"input_required","requestState" : "inner","inputRequests":{}}`, `{"resultType":"input_required","requestState" : "sealed","inputRequests":{}}`},
		{"state added", mcp.Modern, mcp.Modern, state, nil, `{"resultType":"input_required","inputRequests":{}}`, `{"requestState":"sealed","resultType":"input_required","inputRequests":{}}`},
		{"state not added to a complete result", mcp.Modern, mcp.Modern, state, nil, `{"resultType":"complete"}`, `{"resultType":"complete"}`},
		{"state left", mcp.Modern, mcp.Modern, nil, nil, `{"resultType":"input_required","requestState":"inner"}`, `{"resultType":"input_required","requestState":"inner"}`},
		{"info replaced", mcp.Modern, mcp.Modern, nil, info, `{"resultType":"complete","_meta":{"k":1,` + si + ` : {"name":"x"} }}`, `{"resultType":"complete","_meta":{"k":1,` + si + ` : {"name":"warder"} }}`},
		{"info added to _meta", mcp.Modern, mcp.Modern, nil, info, `{"resultType":"complete","_meta":{"k":1}}`, `{"resultType":"complete","_meta":{` + si + `:{"name":"warder"},"k":1}}`},
		{"info added to an empty _meta", mcp.Modern, mcp.Modern, nil, info, `{"resultType":"complete","_meta":{}}`, `{"resultType":"complete","_meta":{` + si + `:{"name":"warder"}}}`},
		{"info added with _meta", mcp.Legacy, mcp.Modern, nil, info, `{"content":[]}`, `{"resultType":"complete","_meta":{` + si + `:{"name":"warder"}},"content":[]}`},
		{"info and state into an empty result", mcp.Legacy, mcp.Modern, nil, info, `{}`, `{"resultType":"complete","_meta":{` + si + `:{"name":"warder"}}}`},
		{"info left", mcp.Modern, mcp.Modern, nil, nil, `{"resultType":"complete","_meta":{` + si + `:{"name":"x"}}}`, `{"resultType":"complete","_meta":{` + si + `:{"name":"x"}}}`},
		{"info removed for a legacy client", mcp.Modern, mcp.Legacy, nil, info, `{"resultType":"complete","_meta":{` + si + `:{"name":"x"},"k":1}}`, `{"_meta":{"k":1}}`},
		{"nothing to remove for a legacy client", mcp.Modern, mcp.Legacy, nil, info, `{"_meta":{"k":1}}`, `{"_meta":{"k":1}}`},
		{"legacy throughout", mcp.Legacy, mcp.Legacy, nil, info, `{"_meta":{` + si + `:{"name":"x"}}}`, `{"_meta":{` + si + `:{"name":"x"}}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := rewritten(t, result("41", test.result), mcp.Reply{From: test.from, To: test.to, RequestState: test.state, ServerInfo: test.info, Method: mcp.MethodToolsCall})
			if want := result("7", test.want); got != want {
				t.Errorf("rewritten\n got %s\nwant %s", got, want)
			}
		})
	}
}

func TestRewriteNotification(t *testing.T) {
	const id = `"io.modelcontextprotocol/subscriptionId"`
	const updated = `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":`
	stamp := mcp.Note{SubscriptionID: []byte(`"l\u0031"`), URIPrefix: "gh+"}
	tests := []struct {
		name, body string
		note       mcp.Note
		want       string
	}{
		{
			"the client's progress token", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":0.10, "progressToken" : 99,"message":"99"}}`, mcp.Note{ProgressToken: []byte(`"p1"`)},
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":0.10, "progressToken" : "p1","message":"99"}}`,
		},
		{"no token to replace", `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}`, mcp.Note{ProgressToken: []byte(`1`)}, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1}}`},
		{"stamped and prefixed", updated + `{"uri":"file:///a","x":1}}`, stamp, updated + `{"_meta":{` + id + `:"l\u0031"},"uri":"gh+file:///a","x":1}}`},
		{"stamp replaced", updated + `{"uri":"https://a","_meta":{` + id + `:5,"k":1}}}`, stamp, updated + `{"uri":"https://a","_meta":{` + id + `:"l\u0031","k":1}}}`},
		{"stamp added to _meta", updated + `{"_meta":{"k":1},"uri":"a:"}}`, stamp, updated + `{"_meta":{` + id + `:"l\u0031","k":1},"uri":"gh+a:"}}`},
		{"stamp added where there are no params", `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`, stamp, `{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{` + id + `:"l\u0031"}}}`},
		{"stamp added to empty params", `{"params":{ },"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`, stamp, `{"params":{"_meta":{` + id + `:"l\u0031"} },"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`},
		{"the server's stamp removed", updated + `{"uri":"a:","_meta":{` + id + `:"s", "k":1}}}`, mcp.Note{}, updated + `{"uri":"a:","_meta":{"k":1}}}`},
		{"the URI of a log message is text", `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","uri":"a:","data":{"uri":"a:"}}}`, mcp.Note{URIPrefix: "gh+"}, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","uri":"a:","data":{"uri":"a:"}}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := string(mcp.RewriteNotification(nil, []byte(test.body), scanAnswer(t, test.body), &test.note))
			if got != test.want {
				t.Errorf("rewritten\n got %s\nwant %s", got, test.want)
			}
			scanAnswer(t, got)
		})
	}
}

func TestRewriteServerRequest(t *testing.T) {
	const body = `{ "method":"elicitation/create","params":{"message":"id","n":1.0},"id" : 3 ,"jsonrpc":"2.0"}`
	want := strings.Replace(body, `: 3 `, `: "sealed" `, 1)
	if got := string(mcp.RewriteServerRequest(nil, []byte(body), scanAnswer(t, body), []byte(`"sealed"`), "")); got != want {
		t.Errorf("rewritten\n got %s\nwant %s", got, want)
	}
	const note = `{"jsonrpc":"2.0","method":"notifications/message"}`
	if got := string(mcp.RewriteServerRequest(nil, []byte(note), scanAnswer(t, note), []byte(`1`), "gh")); got != note {
		t.Errorf("a notification became %s", got)
	}
}
