package upstream

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/mcp"
)

// BenchmarkCall is one call over loopback to a server that costs as little as net/http allows. Its allocations include
// those of that server and of net/http's client; "RoundTrip" is what they are without us.
func BenchmarkCall(b *testing.B) {
	for _, size := range []int{256, 16 << 10} {
		arguments := `{"text":"` + strings.Repeat("x", size) + `"}`
		for _, streaming := range []bool{false, true} {
			for _, version := range []string{mcp.Version20251125, mcp.Version20260728} {
				name := map[bool]string{false: "JSON", true: "stream"}[streaming] + "/" + version + "/" + map[bool]string{true: "256B", false: "16KiB"}[size == 256]
				b.Run(name, func(b *testing.B) {
					f := &fake{t: b, call: func(w http.ResponseWriter, _ *http.Request, id string) { reply(w, ok(id)) }}
					server := versioned(listen(b, quick(f, streaming)), version)
					p := newPool(b, Config{})
					call := callTo(b, server, mcp.Legacy, "1", "echo", arguments)
					do(b, p, call)
					b.ReportAllocs()
					b.SetParallelism(8)
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							if answer, err := p.Do(b.Context(), call, nil); err != nil || answer.Outcome != outcomeOK {
								b.Error(err, show(answer))
								return
							}
						}
					})
				})
			}
		}
	}
	b.Run("transport/256B", benchmarkTransport)
}

// benchmarkTransport is what the same costs without us.
func benchmarkTransport(b *testing.B) {
	server := listen(b, quick(nil, false))
	address, err := url.Parse(server.Url)
	if err != nil {
		b.Fatal(err)
	}
	t, err := transport.New(transport.Config{URL: address, Private: true})
	if err != nil {
		b.Fatal(err)
	}
	defer t.CloseIdle()
	body := []byte(strings.Repeat("x", 350))
	b.ReportAllocs()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			response, err := t.Do(b.Context(), &transport.Request{Method: http.MethodPost, Body: body})
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
	})
}

// quick answers tools/call by cutting the id out of the body, which it expects at the front, and leaves the rest to slow.
func quick(slow http.Handler, streaming bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := newBuffer()
		defer body.release()
		if _, err := body.readAll(r.Body, 1<<20, &holding{budget: &budget{size: 1 << 20}}); err != nil {
			return
		}
		text := string(body.bytes[:min(len(body.bytes), 200)])
		if slow != nil && !strings.Contains(text, "tools/call") {
			r.Body = io.NopCloser(strings.NewReader(string(body.bytes)))
			slow.ServeHTTP(w, r)
			return
		}
		_, id, _ := strings.Cut(text, `"id":`)
		id, _, _ = strings.Cut(id, ",")
		if id == "" {
			id = "0"
		}
		if streaming {
			w.Header()["Content-Type"] = []string{"text/event-stream"}
			io.WriteString(w, "event: message\ndata: "+ok(id)+"\n\n")
			return
		}
		w.Header()["Content-Type"] = []string{"application/json"}
		io.WriteString(w, ok(id))
	})
}
