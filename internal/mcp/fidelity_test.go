package mcp_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

// odd is JSON that a gateway which decodes and encodes would change: numbers beyond float64 and with zeros at their
// end, escapes that need not be, text outside ASCII, white space, members in no order, names that differ in case only.
const odd = "{\"n\" :12345678901234567890,\"f\":1.10,\t\"e\":1E+999,\"minus\":-0 ,\"z\":{\"b\":[ ],\"a\":{ }},\"A\":1,\"a\":2,\r\n" +
	"\"größe\":\"Ünïcödé \u2028 \U0001F600 \\u00fc \\/ \\ud83d\\ude00\",\"\":null,\"uri\":\"file:///x\",\"name\":\"n\",\"resultType\":\"r\"}"

// rawIDs come back as they were sent, whatever a number means to others.
var rawIDs = []string{`"a"`, `""`, `"\u00e9\/"`, `"größe"`, `0`, `-0`, `-7`, `9007199254740993`, `12345678901234567890123`}

// TestFidelityOfRequests: what a client sends reaches the server byte for byte, but for the id, the name and _meta.
func TestFidelityOfRequests(t *testing.T) {
	template := "{ \"x-unknown\" : " + odd + ",\"params\":{\"arguments\" :" + odd + " , \"x\":[" + odd + "],\"name\" : @NAME,\"uri\":\"u:\"},\n" +
		"\"id\":@ID ,\"method\":\"tools/call\",\"jsonrpc\":\"2.0\"} \n"
	fill := func(id, name string) string { return strings.NewReplacer("@ID", id, "@NAME", name).Replace(template) }
	for _, id := range rawIDs {
		body := fill(id, `"gh__t\u00f6"`)
		req := scan(t, body)
		if got := string(req.ID.Of([]byte(body))); got != id {
			t.Errorf("id = %s, want %s", got, id)
		}
		hop := mcp.Hop{ID: []byte(`4711`), Name: "tö", Meta: mcp.MetaRewrite{Era: mcp.Legacy}}
		if got, want := string(mcp.RewriteRequest(nil, []byte(body), req, &hop)), fill(`4711`, `"tö"`); got != want {
			t.Errorf("id %s: rewritten\n got %s\nwant %s", id, got, want)
		}
		if got := string(mcp.RewriteRequest(nil, []byte(body), req, &mcp.Hop{Meta: mcp.MetaRewrite{KeepBaggage: true}})); got != body {
			t.Errorf("a hop that changes nothing changed it:\n got %s\nwant %s", got, body)
		}
	}
}

// TestFidelityOfResponses: what a server answers reaches the client byte for byte, but for the id.
func TestFidelityOfResponses(t *testing.T) {
	for _, id := range rawIDs {
		for _, template := range []string{
			"\n{ \"result\" :{\"content\":[" + odd + "], \"structuredContent\":" + odd + ",\"x\":" + odd + ",\"_meta\":{\"k\" :" + odd + "}} ,\"id\" : @ID,\"jsonrpc\":\"2.0\",\"x\":" + odd + "}\t",
			`{"jsonrpc":"2.0","error":{"data":` + odd + `,"message":"ü\u00fc","code":-32000 ,"x":` + odd + `},"id":@ID}`,
		} {
			body := strings.Replace(template, "@ID", "41", 1)
			want := strings.Replace(template, "@ID", id, 1)
			resp := scanAnswer(t, body)
			for _, era := range []mcp.Era{mcp.Legacy, mcp.Modern} {
				reply := mcp.Reply{ID: []byte(id), From: era, To: era, Method: mcp.MethodToolsCall}
				if got := string(mcp.RewriteResponse(nil, []byte(body), resp, &reply)); got != want {
					t.Errorf("%s, id %s: rewritten\n got %s\nwant %s", era, id, got, want)
				}
			}
		}
	}
}

// TestFidelityOfNotifications: the same for what comes before the answer.
func TestFidelityOfNotifications(t *testing.T) {
	for _, method := range []string{mcp.MethodMessage, mcp.MethodResourceUpdated, mcp.MethodProgress, "notifications/acme"} {
		body := "{\"method\":\"" + method + "\" , \"params\":{\"level\":\"info\",\"data\":" + odd + ",\"progress\":1.10,\"_meta\":{\"k\":" + odd + "}},\"jsonrpc\":\"2.0\"}\n"
		if got := string(mcp.RewriteNotification(nil, []byte(body), scanAnswer(t, body), &mcp.Note{URIPrefix: "gh+", ProgressToken: []byte("1")})); got != body {
			t.Errorf("%s: rewritten\n got %s\nwant %s", method, got, body)
		}
	}
}

// TestFidelityOfLargeBodies: four megabytes of each kind survive in both directions.
func TestFidelityOfLargeBodies(t *testing.T) {
	const size = 4 << 20
	for name, unit := range map[string]string{
		"text": `"plain text ", `, "beyond ASCII": `"größe 日本 😀", `, "escapes": `"\u00fc\\\"\n", `, "numbers": `12345678901234567890, -1.10e-5,`, "objects": odd + " ,",
	} {
		list := "[" + strings.Repeat(unit, size/len(unit)) + "0]"
		body := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"list":` + list + `}}}`)
		var req mcp.Request
		if err := mcp.ScanRequest(body, mcp.Limits{}, &req); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := mcp.RewriteRequest(nil, body, &req, &mcp.Hop{ID: []byte("2"), Name: "b", Meta: mcp.MetaRewrite{Era: mcp.Legacy}})
		want := append([]byte(`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"b"`), body[len(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"`):]...)
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the request changed on its way", name)
		}
		body = []byte(`{"jsonrpc":"2.0","result":{"content":[],"structuredContent":{"list":` + list + `}},"id":1}`)
		var resp mcp.Response
		if err := mcp.ScanResponse(body, mcp.Limits{}, &resp); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got = mcp.RewriteResponse(nil, body, &resp, &mcp.Reply{ID: []byte("2"), From: mcp.Legacy, To: mcp.Legacy, Method: mcp.MethodToolsCall, URIPrefix: "gh+"})
		body[len(body)-2] = '2'
		if !bytes.Equal(got, body) {
			t.Errorf("%s: the response changed on its way", name)
		}
	}
}
