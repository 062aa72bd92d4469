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

func BenchmarkRewriteCall(b *testing.B) {
	body := modernCall(256)
	var req mcp.Request
	if err := mcp.ScanRequest(body, mcp.Limits{}, &req); err != nil {
		b.Fatal(err)
	}
	rewrite := mcp.MetaRewrite{Era: mcp.Modern, ProtocolVersion: mcp.Version20260728, ClientInfo: []byte(`{"name":"warder","version":"1"}`)}
	dst := make([]byte, 0, 4096)
	b.ReportAllocs()
	for b.Loop() {
		dst = mcp.RewriteCall(dst[:0], body, &req, []byte("99"), "get_issue", rewrite)
	}
}
