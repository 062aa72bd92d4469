package listener

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/dataplane/internal/spool"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/httpserver"
	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// BenchmarkAudit compares calls of which nothing is recorded, calls whose records are written, and calls that also wait until
// their intent is on the disk: over HTTP on loopback, by turns in one run, so that what else the machine does weighs on all. Clients,
// server and whoever takes the records are in the same process. The targets of written/off and synced/off are 0.95 and 0.6.
func BenchmarkAudit(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d-callers", callers), func(b *testing.B) { benchmarkAudit(b, callers) })
	}
}

func benchmarkAudit(b *testing.B, callers int) {
	const turn = 100 * time.Millisecond
	names := [...]string{"off", "written", "synced"}
	nodes := [...]*measured{measure(b, &discard{}, "get"), measure(b, record(b), "get"), measure(b, record(b), "wipe")}
	for _, node := range nodes {
		node.call(b, callers, turn) // Connections, and memory.
		node.calls, node.spent, node.took = 0, 0, nil
	}
	for round := 0; b.Loop(); round++ {
		for i := range nodes {
			nodes[(round+i)%len(nodes)].call(b, callers, turn)
		}
	}
	for i, node := range nodes {
		b.ReportMetric(node.rate(), names[i]+"-calls/s")
		node.report(b, names[i])
	}
	b.ReportMetric(nodes[1].rate()/nodes[0].rate(), "written/off")
	b.ReportMetric(nodes[2].rate()/nodes[0].rate(), "synced/off")
}

// BenchmarkReadingBesideSyncs is what a call that waits for no disk sees of another caller at the same node whose calls all do, by
// turns with one that sees nobody. With -cpu 1 it is about the one processor, which a system call holds for a while.
func BenchmarkReadingBesideSyncs(b *testing.B) {
	const turn = 100 * time.Millisecond
	reads := measure(b, record(b), "get")
	wipes, beside := reads.calling("wipe"), reads.calling("get")
	for b.Loop() {
		reads.call(b, 1, turn)
		var other sync.WaitGroup
		other.Go(func() { wipes.call(b, 1, turn) })
		beside.call(b, 1, turn)
		other.Wait()
	}
	reads.report(b, "alone")
	beside.report(b, "beside")
	wipes.report(b, "synced")
}

// measured is a node to be called, and how that went.
type measured struct {
	address string
	key     apikey.Key
	message []byte
	lines   []*line
	calls   int
	spent   time.Duration
	took    []time.Duration
}

func (m *measured) rate() float64 { return float64(m.calls) / m.spent.Seconds() }

// report tells how long calls took.
func (m *measured) report(b *testing.B, name string) {
	slices.Sort(m.took)
	b.ReportMetric(float64(m.took[len(m.took)/2].Microseconds()), name+"-p50-µs")
	b.ReportMetric(float64(m.took[len(m.took)*99/100].Microseconds()), name+"-p99-µs")
}

// measure starts a node with such an audit queue, on loopback, to call one of its tools: get, which reads, or wipe, which destroys.
func measure(b *testing.B, audit session.Recorder, tool string) *measured {
	w, log, registry := gatetest.New(b), slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	w.Server("git", "get")
	w.Tool("git", "wipe", snapshotv1.Risk_RISK_DESTRUCTIVE)
	for _, item := range w.Items {
		if git := item.GetServer(); git != nil {
			git.Url, git.ProtocolVersion = serveBytes(b), mcp.Version20260728
		}
	}
	w.Role("dev", "git/*")
	w.User("ana", "dev")
	key, index := w.Key("ana", "ide", time.Time{}), w.Index(1)
	current := func() *gate.Index { return index }
	pool := upstream.New(upstream.Config{Version: "1", Log: log})
	b.Cleanup(func() { pool.Close(context.Background()) })
	board := notice.New(notice.Config{Upstream: pool, Current: current, Log: log, Registerer: registry})
	s := session.New(session.Config{
		Upstream: pool, Board: board, Audit: audit, Current: current, Version: "1", Log: log, Registerer: registry,
	})
	server := httptest.NewUnstartedServer(nil)
	server.Config = httpserver.New(New(Config{
		Current: current, Session: s, Refusals: s.Refusals(), Hosts: []string{"127.0.0.1"}, Loopback: true, Log: log, Registerer: registry,
	}), log)
	server.Listener = Socket(server.Config, server.Listener)
	server.Start()
	b.Cleanup(server.Close)
	m := &measured{address: server.Listener.Addr().String(), key: key}
	return m.calling(tool)
}

// calling returns the same node, to call a tool.
func (m *measured) calling(tool string) *measured {
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"git__` + tool + `","arguments":{"text":"` + strings.Repeat("x", 200) +
		`"},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	message := fmt.Appendf(nil, "POST /mcp HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"+
		"Accept: application/json, text/event-stream\r\nMcp-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: git__%s\r\n"+
		"Content-Length: %d\r\n\r\n%s", m.address, m.key.String(), tool, len(body), body)
	return &measured{address: m.address, key: m.key, message: message}
}

// call has so many callers call one after the other for a while.
func (m *measured) call(b *testing.B, callers int, lasting time.Duration) {
	for len(m.lines) < callers {
		c, err := net.Dial("tcp", m.address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		m.lines = append(m.lines, &line{Conn: c})
	}
	began := time.Now()
	var running sync.WaitGroup
	for _, line := range m.lines {
		running.Go(func() {
			for last := began; last.Sub(began) < lasting; {
				if err := line.exchange(m.message); err != nil {
					b.Error(err)
					return
				}
				now := time.Now()
				line.took, last = append(line.took, now.Sub(last)), now
			}
		})
	}
	running.Wait()
	if b.Failed() {
		b.FailNow()
	}
	m.spent += time.Since(began)
	for _, line := range m.lines {
		m.calls += len(line.took)
		m.took = append(m.took, line.took...)
		line.took = line.took[:0]
	}
}

// line is a client's connection.
type line struct {
	net.Conn
	in   [4096]byte
	took []time.Duration
}

// exchange sends a message and reads its answer, which has a length and is small.
func (l *line) exchange(message []byte) error {
	if _, err := l.Write(message); err != nil {
		return err
	}
	for n := 0; ; {
		got, err := l.Read(l.in[n:])
		if err != nil {
			return err
		}
		n += got
		head, body, _ := bytes.Cut(l.in[:n], []byte("\r\n\r\n"))
		_, length, _ := bytes.Cut(head, []byte("Content-Length: "))
		length, _, _ = bytes.Cut(length, []byte("\r"))
		size, err := strconv.Atoi(string(length))
		if err != nil || len(body) < size {
			continue
		}
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) || !bytes.Contains(body, []byte(`"result"`)) {
			return fmt.Errorf("answer: %s", l.in[:n])
		}
		return nil
	}
}

// recorded is a real audit queue. Calls that destroy wait for it to be on the disk.
type recorded struct{ *spool.Queue }

func (r recorded) Intent(event *auditv1.Event) (session.Ticket, error) {
	ticket, err := r.Queue.Intent(event)
	return ticket, err
}

func (r recorded) Sync(ctx context.Context, category snapshotv1.Risk) error {
	if category != snapshotv1.Risk_RISK_DESTRUCTIVE {
		return nil
	}
	return r.Queue.Sync(ctx)
}

// record returns a queue on disk, whose records somebody takes over gRPC on loopback.
func record(b *testing.B) session.Recorder {
	queue, err := spool.Open(spool.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := grpc.NewServer()
	auditv1.RegisterAuditServiceServer(server, taker{})
	go server.Serve(socket) //nolint:errcheck // It ends with Stop.
	conn, err := grpc.NewClient(socket.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- queue.Push(ctx, auditv1.NewAuditServiceClient(conn)) }()
	b.Cleanup(func() {
		stop()
		if err := <-ended; ctx.Err() == nil {
			b.Error(err)
		}
		conn.Close()
		server.Stop()
		if err := queue.Close(); err != nil {
			b.Error(err)
		}
	})
	return recorded{queue}
}

// taker acknowledges all records.
type taker struct {
	auditv1.UnimplementedAuditServiceServer
}

func (taker) Push(stream auditv1.AuditService_PushServer) error {
	for {
		batch, err := stream.Recv()
		if err != nil {
			return err
		}
		ack := &auditv1.PushResponse{Epoch: batch.GetEpoch()}
		if records := batch.GetRecords(); len(records) > 0 {
			ack.AckedSequence = records[len(records)-1].GetSequence()
		}
		if err := stream.Send(ack); err != nil {
			return err
		}
	}
}
