package mcp_test

import (
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

// continued returns a tools/call with these members of params before its name.
func continued(members string) string {
	return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{` + members + `"name":"a"}}`
}

func TestRewriteRequestReplacesWhatItsMethodIsAbout(t *testing.T) {
	hop := mcp.Hop{ID: []byte("2"), Name: "own", URI: "own:x", Meta: mcp.MetaRewrite{Era: mcp.Legacy}}
	tests := []struct{ name, body, want string }{
		{
			"a tool by its name",
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"gh__own","arguments":{"name":"n","uri":"u"}}}`,
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"own","arguments":{"name":"n","uri":"u"}}}`,
		},
		{
			"a resource by its URI",
			`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{ "uri" : "gh+own:x" }}`,
			`{"jsonrpc":"2.0","id":2,"method":"resources/read","params":{ "uri" : "own:x" }}`,
		},
		{
			"a subscription by its URI",
			`{"jsonrpc":"2.0","id":1,"method":"resources/subscribe","params":{"uri":"gh+own:x"}}`,
			`{"jsonrpc":"2.0","id":2,"method":"resources/subscribe","params":{"uri":"own:x"}}`,
		},
		{
			"a completion by its prompt, not by other names",
			`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"name":"n","ref":{"type":"ref/prompt","name":"gh__own","uri":"u"},"argument":{"name":"q","value":"v"}}}`,
			`{"jsonrpc":"2.0","id":2,"method":"completion/complete","params":{"name":"n","ref":{"type":"ref/prompt","name":"own","uri":"u"},"argument":{"name":"q","value":"v"}}}`,
		},
		{
			"a completion by its template, not by other URIs",
			`{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{"ref":{"name":"n","uri":"gh+own:x","type":"ref/resource"},"uri":"u","argument":{"name":"q","value":"v"}}}`,
			`{"jsonrpc":"2.0","id":2,"method":"completion/complete","params":{"ref":{"name":"n","uri":"own:x","type":"ref/resource"},"uri":"u","argument":{"name":"q","value":"v"}}}`,
		},
		{
			"nothing where there is nothing",
			`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`,
			`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := string(mcp.RewriteRequest(nil, []byte(test.body), scan(t, test.body), &hop)); got != test.want {
				t.Errorf("rewritten\n got %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestRewriteRequestContinues(t *testing.T) {
	const answers = `{"k":{"action":"accept","content":{"n":12345678901234567890}}}`
	both := mcp.Hop{RequestState: []byte(`"inner"`), InputResponses: []byte(answers)}
	drop := mcp.Hop{DropState: true, DropInput: true}
	tests := []struct {
		name, body string
		hop        mcp.Hop
		want       string
	}{
		{"left alone", continued(`"requestState":"s","inputResponses":` + answers + `,`), mcp.Hop{}, continued(`"requestState":"s","inputResponses":` + answers + `,`)},
		{"replaced in place", continued(`"requestState" : "sealed", "inputResponses":{},`), both, continued(`"requestState" : "inner", "inputResponses":` + answers + `,`)},
		{"added", continued(``), both, continued(`"requestState":"inner","inputResponses":` + answers + `,`)},
		{"one replaced, one added", continued(`"requestState":"sealed",`), both, continued(`"inputResponses":` + answers + `,"requestState":"inner",`)},
		{"added where there are no params", `{"jsonrpc":"2.0","id":1,"method":"x/y"}`, both, `{"jsonrpc":"2.0","id":1,"method":"x/y","params":{"requestState":"inner","inputResponses":` + answers + `}}`},
		{"added to empty params", `{"jsonrpc":"2.0","id":1,"method":"x/y","params":{ }}`, both, `{"jsonrpc":"2.0","id":1,"method":"x/y","params":{"requestState":"inner","inputResponses":` + answers + ` }}`},
		{"dropped", continued(`"requestState":"s", "x":1, "inputResponses":{},`), drop, continued(`"x":1, `)},
		{"both alone dropped", `{"jsonrpc":"2.0","id":1,"method":"x/y","params":{"requestState":"s","inputResponses":{}}}`, drop, `{"jsonrpc":"2.0","id":1,"method":"x/y","params":{}}`},
		{"dropped where there is none", continued(``), drop, continued(``)},
		{"dropping goes before setting", continued(`"requestState":"s",`), mcp.Hop{DropState: true, RequestState: []byte(`"x"`)}, continued(``)},
		{
			"added together with _meta", continued(``),
			mcp.Hop{RequestState: []byte(`"inner"`), Meta: mcp.MetaRewrite{Era: mcp.Modern, ProtocolVersion: "v"}},
			continued(`"requestState":"inner","_meta":{` + pv + `:"v",` + cc + `:{}},`),
		},
		{
			"the last member goes and _meta comes", `{"jsonrpc":"2.0","id":1,"method":"x/y","params":{"requestState":"s"}}`,
			mcp.Hop{DropState: true, Meta: mcp.MetaRewrite{Era: mcp.Modern, ProtocolVersion: "v"}},
			`{"jsonrpc":"2.0","id":1,"method":"x/y","params":{"_meta":{` + pv + `:"v",` + cc + `:{}}}}`,
		},
		{
			"all at once where there are no params", `{"jsonrpc":"2.0","id":1,"method":"x/y"}`,
			mcp.Hop{RequestState: []byte(`"i"`), InputResponses: []byte(`{}`), Meta: mcp.MetaRewrite{Era: mcp.Modern, ProtocolVersion: "v"}},
			`{"jsonrpc":"2.0","id":1,"method":"x/y","params":{"requestState":"i","inputResponses":{},"_meta":{` + pv + `:"v",` + cc + `:{}}}}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.hop.Meta.Era == 0 {
				test.hop.Meta.Era = mcp.Legacy
			}
			got := string(mcp.RewriteRequest(nil, []byte(test.body), scan(t, test.body), &test.hop))
			if got != test.want {
				t.Errorf("rewritten\n got %s\nwant %s", got, test.want)
			}
			scan(t, got)
		})
	}
}

func TestRewriteRequestLogLevel(t *testing.T) {
	with := func(meta string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{` + meta + `}}}`
	}
	modern := mcp.MetaRewrite{Era: mcp.Modern, ProtocolVersion: "v", LogLevel: "error"}
	silent := mcp.MetaRewrite{Era: mcp.Modern, ProtocolVersion: "v"}
	const head = pv + `:"v",` + cc + `:{}`
	tests := []struct {
		name, body string
		meta       mcp.MetaRewrite
		want       string
	}{
		{"set", with(`"k":1`), modern, with(head + `,` + ll + `:"error","k":1`)},
		{"replaced", with(head + `,` + ll + `:"debug"`), modern, with(head + `,` + ll + `:"error"`)},
		{"a modern client's stays", with(head + `,` + ll + `:"debug"`), silent, with(head + `,` + ll + `:"debug"`)},
		{"removed for a legacy server", with(ll + `:"debug","k":1`), mcp.MetaRewrite{Era: mcp.Legacy, LogLevel: "error"}, with(`"k":1`)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := string(mcp.RewriteRequest(nil, []byte(test.body), scan(t, test.body), &mcp.Hop{Meta: test.meta})); got != test.want {
				t.Errorf("rewritten\n got %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestRewritingAllocatesNothing: a call and its answer cost the message that is sent, and no more.
func TestRewritingAllocatesNothing(t *testing.T) {
	body := modernCall(256)
	req := scan(t, string(body))
	hop := mcp.Hop{
		ID: []byte("99"), Name: "get_issue", RequestState: []byte(`"s"`),
		Meta: mcp.MetaRewrite{Era: mcp.Modern, ProtocolVersion: mcp.Version20260728, ClientInfo: []byte(`{}`), TraceParent: "00", ProgressToken: []byte("99")},
	}
	dst := make([]byte, 0, 4096)
	if allocs := testing.AllocsPerRun(100, func() { dst = mcp.RewriteRequest(dst[:0], body, req, &hop) }); allocs > 0 {
		t.Errorf("RewriteRequest: %v allocations", allocs)
	}
	const answer = `{"jsonrpc":"2.0","id":41,"result":{"content":[{"type":"text","text":"t"}],"resultType":"complete","_meta":{}}}`
	resp := scanAnswer(t, answer)
	for _, from := range []mcp.Era{mcp.Legacy, mcp.Modern} {
		for _, to := range []mcp.Era{mcp.Legacy, mcp.Modern} {
			reply := mcp.Reply{ID: []byte("7"), From: from, To: to, Method: mcp.MethodToolsCall, URIPrefix: "gh+", ServerInfo: []byte(`{}`)}
			raw := []byte(answer)
			if allocs := testing.AllocsPerRun(100, func() { dst = mcp.RewriteResponse(dst[:0], raw, resp, &reply) }); allocs > 0 {
				t.Errorf("RewriteResponse from %s to %s: %v allocations", from, to, allocs)
			}
		}
	}
}
