package mcp_test

import (
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

const (
	pv = `"io.modelcontextprotocol/protocolVersion"`
	cc = `"io.modelcontextprotocol/clientCapabilities"`
	ci = `"io.modelcontextprotocol/clientInfo"`
	ll = `"io.modelcontextprotocol/logLevel"`
)

// ourHop is what the gateway says about itself to a modern server.
var ourHop = mcp.MetaRewrite{
	Era: mcp.Modern, ProtocolVersion: mcp.Version20260728,
	ClientCapabilities: []byte(`{"sampling":{}}`), ClientInfo: []byte(`{"name":"warder"}`),
}

// ours is ourHop as it is inserted.
const ours = pv + `:"2026-07-28",` + cc + `:{"sampling":{}},` + ci + `:{"name":"warder"}`

func TestRewriteRequest(t *testing.T) {
	traced := mcp.MetaRewrite{Era: mcp.Legacy, TraceParent: "00-new", ProgressToken: []byte("77"), KeepBaggage: true}
	tests := []struct {
		name, body string
		id, tool   string
		meta       mcp.MetaRewrite
		want       string
	}{
		{
			"nothing but id and name changes, byte for byte",
			"{ \"params\" :{\"z\":1, \"arguments\":{\"n\":12345678901234567890,\"f\":1.10,\"e\":1e999,\"größe\":\"ü\\u00fc\\/\",\"a\":1,\"A\":2} ,\t\"name\" : \"gh__x\"},\n\"x-unknown\":[1 , 2],\"id\":9007199254740993 ,\"method\":\"tools/call\",\"jsonrpc\":\"2.0\"}\n",
			"41", "x", mcp.MetaRewrite{Era: mcp.Legacy},
			"{ \"params\" :{\"z\":1, \"arguments\":{\"n\":12345678901234567890,\"f\":1.10,\"e\":1e999,\"größe\":\"ü\\u00fc\\/\",\"a\":1,\"A\":2} ,\t\"name\" : \"x\"},\n\"x-unknown\":[1 , 2],\"id\":41 ,\"method\":\"tools/call\",\"jsonrpc\":\"2.0\"}\n",
		},
		{
			"name is quoted as JSON",
			`{"jsonrpc":"2.0","id":"1","method":"tools/call","params":{"name":"a"}}`, "2", "say \"hi\"\n\\é", mcp.MetaRewrite{Era: mcp.Legacy},
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"say \"hi\"\n\\é"}}`,
		},
		{
			"no name and no id: both stay",
			`{"jsonrpc":"2.0","id":"1","method":"tools/call","params":{"name":"a"}}`, "", "", mcp.MetaRewrite{Era: mcp.Legacy},
			`{"jsonrpc":"2.0","id":"1","method":"tools/call","params":{"name":"a"}}`,
		},
		{
			"a notification gets no id",
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}`, "5", "", mcp.MetaRewrite{Era: mcp.Legacy},
			`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1}}`,
		},
		{
			"modern: replaced in place",
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"a":1,` + pv + ` : "2026-07-28", ` + cc + `:{},"b":[2]},"name":"a"}}`, "2", "b",
			mcp.MetaRewrite{Era: mcp.Modern, ProtocolVersion: "2027-01-01"},
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"_meta":{"a":1,` + pv + ` : "2027-01-01", ` + cc + `:{},"b":[2]},"name":"b"}}`,
		},
		{
			"modern: client info that we do not have is removed",
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{` + ci + `:{"name":"c"},` + pv + `:"x",` + cc + `:{}}}}`, "2", "",
			mcp.MetaRewrite{Era: mcp.Modern, ProtocolVersion: "2026-07-28"},
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a","_meta":{` + pv + `:"2026-07-28",` + cc + `:{}}}}`,
		},
		{
			"modern: inserted into _meta",
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{"k":1}}}`, "2", "", ourHop,
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a","_meta":{` + ours + `,"k":1}}}`,
		},
		{
			"modern: inserted into an empty _meta",
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{ }}}`, "2", "", ourHop,
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a","_meta":{` + ours + ` }}}`,
		},
		{
			"modern: inserted into params",
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}`, "2", "b", ourHop,
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"_meta":{` + ours + `},"name":"b"}}`,
		},
		{
			"modern: inserted into empty params",
			`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}`, "2", "", ourHop,
			`{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"_meta":{` + ours + `}}}`,
		},
		{
			"modern: inserted where there are no params",
			`{"id":1,"method":"tools/list","jsonrpc":"2.0" } `, "2", "", ourHop,
			`{"id":2,"method":"tools/list","jsonrpc":"2.0" ,"params":{"_meta":{` + ours + `}}} `,
		},
		{
			"modern: the only member left is one that goes",
			`{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"baggage":"u=1"}}}`, "2", "", ourHop,
			`{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"_meta":{` + ours + `}}}`,
		},
		{
			"legacy: our hop's members removed, first, middle and last",
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{` + pv + `:"2026-07-28", "k":1 ,` + cc + `:{} , ` + ll + `:"info","m":2 , ` + ci + `:{}}}}`, "2", "",
			mcp.MetaRewrite{Era: mcp.Legacy},
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a","_meta":{"k":1 ,"m":2 }}}`,
		},
		{
			"legacy: all of them removed",
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{ ` + ci + `:{}, ` + pv + `:"2026-07-28" }}}`, "2", "",
			mcp.MetaRewrite{Era: mcp.Legacy},
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a","_meta":{  }}}`,
		},
		{
			"baggage removed, tracestate kept",
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{"tracestate":"s","baggage":"u=1"}}}`, "2", "",
			mcp.MetaRewrite{Era: mcp.Legacy},
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a","_meta":{"tracestate":"s"}}}`,
		},
		{
			"progress token and trace replaced, baggage kept",
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","_meta":{"progressToken":"p","traceparent":"00-old","baggage":"u=1"}}}`, "2", "", traced,
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"a","_meta":{"progressToken":77,"traceparent":"00-new","baggage":"u=1"}}}`,
		},
		{
			"trace set where there was none, progress token not invented",
			`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}`, "2", "", traced,
			`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"_meta":{"traceparent":"00-new"},"name":"a"}}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req := scan(t, test.body)
			got := string(mcp.RewriteRequest([]byte("> "), []byte(test.body), req, &mcp.Hop{ID: []byte(test.id), Name: test.tool, Meta: test.meta}))
			if want := "> " + test.want; got != want {
				t.Errorf("rewritten\n got %s\nwant %s", got, want)
			}
			scan(t, got[2:])
		})
	}
}

func TestRewriteResponse(t *testing.T) {
	tests := []struct {
		name, body string
		id         string
		from, to   mcp.Era
		want       string
	}{
		{
			"same era: only the id changes, byte for byte",
			"{ \"result\" : {\"n\":12345678901234567890,\"f\":1.10 ,\"x\":\"ü\\u00fc\",\"resultType\":\"task\",\"ttlMs\":1},\"id\": 41,\"jsonrpc\":\"2.0\" ,\"extra\":[]}\n",
			"9007199254740993", mcp.Modern, mcp.Modern,
			"{ \"result\" : {\"n\":12345678901234567890,\"f\":1.10 ,\"x\":\"ü\\u00fc\",\"resultType\":\"task\",\"ttlMs\":1},\"id\": 9007199254740993,\"jsonrpc\":\"2.0\" ,\"extra\":[]}\n",
		},
		{"string id stays a string", `{"jsonrpc":"2.0","id":41,"result":{}}`, `"1"`, mcp.Legacy, mcp.Legacy, `{"jsonrpc":"2.0","id":"1","result":{}}`},
		{"escapes of an id stay", `{"jsonrpc":"2.0","id":41,"result":{}}`, `"\u00e9"`, mcp.Legacy, mcp.Legacy, `{"jsonrpc":"2.0","id":"\u00e9","result":{}}`},
		{"error with null id", `{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}`, "7", mcp.Legacy, mcp.Legacy, `{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":""}}`},
		{"error without id", `{"jsonrpc":"2.0","error":{"code":1,"message":""}}`, "7", mcp.Legacy, mcp.Legacy, `{"id":7,"jsonrpc":"2.0","error":{"code":1,"message":""}}`},
		{"notification passes", `{"jsonrpc":"2.0","method":"notifications/message","params":{}}`, "7", mcp.Modern, mcp.Legacy, `{"jsonrpc":"2.0","method":"notifications/message","params":{}}`},
		{"server's request passes", `{"jsonrpc":"2.0","id":3,"method":"roots/list"}`, "7", mcp.Legacy, mcp.Legacy, `{"jsonrpc":"2.0","id":3,"method":"roots/list"}`},

		{"to modern: resultType first", `{"jsonrpc":"2.0","id":41,"result":{"content":[]}}`, "7", mcp.Legacy, mcp.Modern, `{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","content":[]}}`},
		{"to modern: into an empty result", `{"jsonrpc":"2.0","id":41,"result":{}}`, "7", mcp.Legacy, mcp.Modern, `{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete"}}`},
		{"to modern: a legacy server's resultType means nothing", `{"jsonrpc":"2.0","id":41,"result":{"a":1,"resultType":"input_required"}}`, "7", mcp.Legacy, mcp.Modern, `{"jsonrpc":"2.0","id":7,"result":{"a":1,"resultType":"complete"}}`},
		{"to legacy: resultType first", `{"jsonrpc":"2.0","id":41,"result":{"resultType":"complete", "content":[]}}`, "7", mcp.Modern, mcp.Legacy, `{"jsonrpc":"2.0","id":7,"result":{"content":[]}}`},
		{"to legacy: resultType last", `{"jsonrpc":"2.0","id":41,"result":{"content":[] , "resultType":"complete"}}`, "7", mcp.Modern, mcp.Legacy, `{"jsonrpc":"2.0","id":7,"result":{"content":[] }}`},
		{"to legacy: resultType alone", `{"jsonrpc":"2.0","id":41,"result":{ "resultType":"complete" }}`, "7", mcp.Modern, mcp.Legacy, `{"jsonrpc":"2.0","id":7,"result":{  }}`},
		{"to legacy: cache hints too", `{"jsonrpc":"2.0","id":41,"result":{"ttlMs":0,"tools":[],"cacheScope":"private","resultType":"complete"}}`, "7", mcp.Modern, mcp.Legacy, `{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}`},
		{"to legacy: structured content that is no object", `{"jsonrpc":"2.0","id":41,"result":{"content":[],"structuredContent":[1,2],"resultType":"complete"}}`, "7", mcp.Modern, mcp.Legacy, `{"jsonrpc":"2.0","id":7,"result":{"content":[]}}`},
		{"to legacy: structured content that is an object", `{"jsonrpc":"2.0","id":41,"result":{"structuredContent":{"a":1},"content":[]}}`, "7", mcp.Modern, mcp.Legacy, `{"jsonrpc":"2.0","id":7,"result":{"structuredContent":{"a":1},"content":[]}}`},
		{"modern throughout: structured content of any kind", `{"jsonrpc":"2.0","id":41,"result":{"content":[],"structuredContent":null,"resultType":"complete"}}`, "7", mcp.Modern, mcp.Modern, `{"jsonrpc":"2.0","id":7,"result":{"content":[],"structuredContent":null,"resultType":"complete"}}`},
		{"to legacy: all three alone", `{"jsonrpc":"2.0","id":41,"result":{"ttlMs":0,"cacheScope":"private","resultType":"complete"}}`, "7", mcp.Modern, mcp.Legacy, `{"jsonrpc":"2.0","id":7,"result":{}}`},
		{"to legacy: a deeper resultType stays", `{"jsonrpc":"2.0","id":41,"result":{"structuredContent":{"resultType":"x"}}}`, "7", mcp.Modern, mcp.Legacy, `{"jsonrpc":"2.0","id":7,"result":{"structuredContent":{"resultType":"x"}}}`},

		{"E7: header mismatch to legacy", `{"jsonrpc":"2.0","id":41,"error":{"code":-32020,"message":"m","data":{}}}`, "7", mcp.Modern, mcp.Legacy, `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"m","data":{}}}`},
		{"E7: missing capability to legacy", `{"jsonrpc":"2.0","id":41,"error":{"message":"m","code":-32021}}`, "7", mcp.Modern, mcp.Legacy, `{"jsonrpc":"2.0","id":7,"error":{"message":"m","code":-32603}}`},
		{"E7: unsupported version to legacy", `{"jsonrpc":"2.0","id":41,"error":{"code":-32022,"message":"m"}}`, "7", mcp.Modern, mcp.Legacy, `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"m"}}`},
		{"E7: resource not found to modern", `{"jsonrpc":"2.0","id":41,"error":{"code":-32002,"message":"m"}}`, "7", mcp.Legacy, mcp.Modern, `{"jsonrpc":"2.0","id":7,"error":{"code":-32602,"message":"m"}}`},
		{"E7: URL elicitation to modern", `{"jsonrpc":"2.0","id":41,"error":{"code":-32042,"message":"m"}}`, "7", mcp.Legacy, mcp.Modern, `{"jsonrpc":"2.0","id":7,"error":{"code":-32603,"message":"m"}}`},
		{"other codes pass", `{"jsonrpc":"2.0","id":41,"error":{"code":-32000,"message":"m"}}`, "7", mcp.Legacy, mcp.Modern, `{"jsonrpc":"2.0","id":7,"error":{"code":-32000,"message":"m"}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			resp := scanAnswer(t, test.body)
			got := string(mcp.RewriteResponse([]byte("> "), []byte(test.body), resp, &mcp.Reply{ID: []byte(test.id), From: test.from, To: test.to}))
			if want := "> " + test.want; got != want {
				t.Errorf("rewritten\n got %s\nwant %s", got, want)
			}
			scanAnswer(t, got[2:])
		})
	}
}

func TestSplice(t *testing.T) {
	got := mcp.Splice([]byte("> "), []byte("0123456789"),
		mcp.Edit{Span: mcp.Span{Start: 0, End: 0}, With: []byte("a")},
		mcp.Edit{Span: mcp.Span{Start: 0, End: 2}},
		mcp.Edit{Span: mcp.Span{Start: 5, End: 6}, With: []byte("bcd")},
		mcp.Edit{Span: mcp.Span{Start: 10, End: 10}, With: []byte("e")})
	if want := "> a234bcd6789e"; string(got) != want {
		t.Errorf("Splice = %q, want %q", got, want)
	}
}
