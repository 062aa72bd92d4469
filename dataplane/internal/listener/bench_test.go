package listener

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// discard is an audit queue and an HTTP response that keep nothing, so that only
// the door's own work is counted.
type discard struct {
	header http.Header
	bytes  int
}

func (*discard) Intent(*auditv1.Event) (session.Ticket, error) { return &discard{}, nil }
func (*discard) Refusal(*auditv1.Event) error                  { return nil }
func (*discard) Result(*auditv1.Event)                         {}
func (d *discard) Header() http.Header                         { return d.header }
func (d *discard) Write(b []byte) (int, error)                 { d.bytes += len(b); return len(b), nil }
func (d *discard) WriteHeader(int)                             {}
func (d *discard) Flush()                                      {}
func (d *discard) SetReadDeadline(time.Time) error             { return nil }
func (d *discard) SetWriteDeadline(time.Time) error            { return nil }

func visit(t testing.TB) (visit func()) {
	visit, _ = visitWith(t, call, "get")
	return visit
}

// visitWith returns what sends a message to a door behind which there are these
// tools, and what counts the bytes of its answers.
func visitWith(t testing.TB, message string, tools ...string) (visit func(), out *discard) {
	w := gatetest.New(t)
	w.Server("git", tools...)
	w.Role("dev", "git/*")
	w.User("ana", "dev")
	key := w.Key("ana", "ide", time.Time{})
	index := w.Index(1)
	log, registry := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	current := func() *gate.Index { return index }
	board := notice.New(notice.Config{Upstream: &server{}, Current: current, Log: log, Registerer: registry})
	s := session.New(session.Config{
		Upstream: &server{}, Board: board, Audit: &discard{}, Current: current, Version: "1", Log: log, Registerer: registry,
	})
	now := time.Now()
	token, _, err := index.Sealer().SealSession(&handle.Session{Version: mcp.Version20251125, Issued: now, Expires: now.Add(time.Hour)},
		handle.OwnerOf(&principal.Principal{User: "ana", Application: "ide"}), now)
	if err != nil {
		t.Fatal(err)
	}
	l := New(Config{
		Current: current, Session: s, Refusals: s.Refusals(),
		Hosts: []string{"127.0.0.1"}, Log: log, Registerer: registry,
	})
	body := bytes.NewReader([]byte(message))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:1/mcp", io.NopCloser(body))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = int64(len(message))
	r.Header = http.Header{
		"Authorization": {"Bearer " + key.String()}, "Content-Type": {"application/json"},
		"Accept": {"application/json, text/event-stream"}, "Mcp-Protocol-Version": {"2025-11-25"}, session.HeaderSession: {token},
	}
	out = &discard{header: http.Header{}}
	return func() {
		body.Seek(0, io.SeekStart)
		clear(out.header)
		l.ServeHTTP(out, r)
	}, out
}

// BenchmarkCall is a call from net/http's hands to the server's and back; the
// server of the test allocates twice.
func BenchmarkCall(b *testing.B) {
	visit := visit(b)
	b.ReportAllocs()
	for b.Loop() {
		visit()
	}
}

// BenchmarkList is tools/list of one page, filtered by policy, and a file of that
// size, as net/http serves it.
func BenchmarkList(b *testing.B) {
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	for _, n := range []int{100, 1000} {
		tools := make([]string, n)
		for i := range tools {
			tools[i] = fmt.Sprintf("tool-%d", i)
		}
		visit, out := visitWith(b, list, tools...)
		visit()
		page := out.bytes
		run := func(name string, f func()) {
			b.Run(fmt.Sprintf("%d/%s", n, name), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(page))
				for b.Loop() {
					f()
				}
			})
		}
		run("list", visit)
		file := bytes.NewReader(make([]byte, page))
		r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "http://127.0.0.1:1/file", nil)
		if err != nil {
			b.Fatal(err)
		}
		run("file", func() { http.ServeContent(out, r, "list.json", time.Time{}, file) })
	}
}

func TestACallCostsFewAllocationsAtTheDoorToo(t *testing.T) {
	visit := visit(t)
	if allocs := testing.AllocsPerRun(200, visit); allocs > 8+slack {
		t.Errorf("%v allocations; want at most 8", allocs)
	}
}
