package mcp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

// modernCall returns a tools/call of the modern era whose argument has about size bytes.
func modernCall(size int) []byte {
	return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"github__get_issue","arguments":{"text":"%s"},`+
		`"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"progressToken":"p1"}}}`,
		strings.Repeat("word ", size/5))
}

func BenchmarkScanRequest(b *testing.B) {
	bodies := []struct {
		name string
		body []byte
	}{
		{"256B", modernCall(256)},
		{"16KiB", modernCall(16 << 10)},
		{"16KiB-objects", fmt.Appendf(nil, `{"jsonrpc":"2.0","id":17,"method":"tools/call","params":{"name":"x","arguments":{"rows":[%s0]}}}`,
			strings.Repeat(`{"id":1234,"title":"größer","open":true,"ratio":1.5e3},`, 300))},
	}
	for _, c := range bodies {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(c.body)))
			var req mcp.Request
			for b.Loop() {
				if err := mcp.ScanRequest(c.body, mcp.Limits{}, &req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkRewriteRequest(b *testing.B) {
	body := modernCall(256)
	var req mcp.Request
	if err := mcp.ScanRequest(body, mcp.Limits{}, &req); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		meta mcp.MetaRewrite
	}{
		{"modern", mcp.MetaRewrite{Era: mcp.Modern, ProtocolVersion: mcp.Version20260728, ClientInfo: []byte(`{"name":"warder","version":"1"}`), TraceParent: "00-a-b-01"}},
		{"legacy", mcp.MetaRewrite{Era: mcp.Legacy, ProgressToken: []byte("99")}},
	} {
		b.Run(c.name, func(b *testing.B) {
			id, dst := []byte("99"), make([]byte, 0, 4096)
			b.ReportAllocs()
			for b.Loop() {
				dst = mcp.RewriteRequest(dst[:0], body, &req, &mcp.Hop{ID: id, Name: "get_issue", Meta: c.meta})
			}
		})
	}
}

func BenchmarkRewriteResponse(b *testing.B) {
	text := strings.Repeat("word ", 50)
	body := []byte(`{"jsonrpc":"2.0","id":41,"result":{"content":[{"type":"text","text":"` + text + `"}],"resultType":"complete"}}`)
	linked := []byte(`{"jsonrpc":"2.0","id":41,"result":{"content":[{"type":"resource_link","uri":"file:///a","name":"` + text + `"}],"resultType":"complete"}}`)
	for _, c := range []struct {
		name  string
		body  []byte
		reply mcp.Reply
	}{
		{"same-era", body, mcp.Reply{From: mcp.Modern, To: mcp.Modern}},
		{"aggregate", body, mcp.Reply{From: mcp.Modern, To: mcp.Modern, URIPrefix: "gh+"}},
		{"aggregate-linked", linked, mcp.Reply{From: mcp.Modern, To: mcp.Modern, URIPrefix: "gh+"}},
		{"to-legacy", body, mcp.Reply{From: mcp.Modern, To: mcp.Legacy}},
		{"to-modern", body, mcp.Reply{From: mcp.Legacy, To: mcp.Modern, ServerInfo: []byte(`{"name":"warder"}`)}},
	} {
		b.Run(c.name, func(b *testing.B) {
			c.reply.ID, c.reply.Method = []byte(`"client-7"`), mcp.MethodToolsCall
			dst := make([]byte, 0, 4096)
			var resp mcp.Response
			b.ReportAllocs()
			for b.Loop() {
				if err := mcp.ScanResponse(c.body, mcp.Limits{}, &resp); err != nil {
					b.Fatal(err)
				}
				dst = mcp.RewriteResponse(dst[:0], c.body, &resp, &c.reply)
			}
		})
	}
}

// BenchmarkHostile scans four megabytes that were made to be slow: the cost per byte must stay in the range of an
// honest body's.
func BenchmarkHostile(b *testing.B) {
	const size = 4 << 20
	fill := func(unit func(i int) string) string {
		var s strings.Builder
		for i := 0; s.Len() < size; i++ {
			s.WriteString(unit(i))
		}
		return s.String()
	}
	long := strings.Repeat("n", 200)
	bodies := map[string]string{
		"one-object-many-names": call(`{"name":"a","arguments":{` + fill(func(i int) string { return fmt.Sprintf(`"%d":0,`, i) }) + `"x":0}}`),
		"many-escaped-names":    call(`{"name":"a","arguments":{` + fill(func(i int) string { return fmt.Sprintf(`"\u0061%d":0,`, i) }) + `"x":0}}`),
		"unknown-params":        call(`{"name":"a",` + fill(func(i int) string { return fmt.Sprintf(`"nam%d":0,`, i) }) + `"x":0}`),
		"small-objects":         call(`{"name":"a","arguments":{"x":[` + fill(func(int) string { return `{"":0},` }) + `0]}}`),
		"sixteen-alike-names":   call(`{"name":"a","arguments":{"x":[` + fill(func(int) string { return alike(long) }) + `0]}}`),
		"escapes":               call(`{"name":"a","arguments":{"x":"` + fill(func(int) string { return `\u00e9` }) + `"}}`),
		"arrays-at-the-limit":   call(`{"name":"a","arguments":{"x":[` + fill(func(int) string { return strings.Repeat("[", 120) + strings.Repeat("]", 120) + "," }) + `0]}}`),
		"one-name":              call(`{"name":"a","` + fill(func(int) string { return "nAmE" }) + `":0}`),
		"refused-at-the-end":    call(`{"name":"a","arguments":{` + fill(func(i int) string { return fmt.Sprintf(`"%d":0,`, i) }) + `"0":0}}`),
		"honest":                call(`{"name":"a","arguments":{"x":"` + fill(func(int) string { return "word " }) + `"}}`),
	}
	for name, body := range bodies {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			body := []byte(body)
			var req mcp.Request
			for b.Loop() {
				_ = mcp.ScanRequest(body, mcp.Limits{}, &req)
			}
		})
	}
}

// BenchmarkHostileResponse does the same for what a server answers, with its URIs rewritten.
func BenchmarkHostileResponse(b *testing.B) {
	const size = 4 << 20
	for name, unit := range map[string]string{
		"links":         `{"type":"resource_link","uri":""},`,
		"type-at-last":  `{"uri":"a:` + strings.Repeat("x", 1000) + `","type":"resource_link"},`,
		"web":           `{"type":"resource_link","uri":"\u0068ttp:"},`,
		"nothing-to-do": `{"type":"text","uri":"a:"},`,
	} {
		b.Run(name, func(b *testing.B) {
			body := []byte(`{"jsonrpc":"2.0","result":{"content":[` + strings.Repeat(unit, size/len(unit)) + `{}],"resultType":"complete"},"id":1}`)
			reply := mcp.Reply{ID: []byte("7"), From: mcp.Modern, To: mcp.Legacy, Method: mcp.MethodToolsCall, URIPrefix: "gh+"}
			var resp mcp.Response
			if err := mcp.ScanResponse(body, mcp.Limits{}, &resp); err != nil {
				b.Fatal(err)
			}
			dst := make([]byte, 0, 2*size)
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				dst = mcp.RewriteResponse(dst[:0], body, &resp, &reply)
			}
		})
	}
}

// alike returns an object of sixteen names that differ in their last byte only.
func alike(prefix string) string {
	var s strings.Builder
	for i := range 16 {
		fmt.Fprintf(&s, `"%s%c":0,`, prefix, 'a'+i)
	}
	return "{" + strings.TrimSuffix(s.String(), ",") + "},"
}
