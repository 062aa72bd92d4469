package notice_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// silence is a server that takes each request for one of a stream, and then says nothing. It holds next to nothing itself,
// as it shares the process whose memory is measured.
func silence(t *testing.T, opened *atomic.Int64) string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var all []net.Conn
	t.Cleanup(func() {
		socket.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range all {
			conn.Close()
		}
	})
	go func() {
		request := make([]byte, 4<<10)
		for {
			conn, err := socket.Accept()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
				return
			}
			mu.Lock()
			all = append(all, conn)
			mu.Unlock()
			if _, err := conn.Read(request); err != nil {
				return
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
			opened.Add(1)
		}
	}()
	return "http://" + socket.Addr().String() + "/mcp"
}

// nobody is a client to whom nothing is said.
type nobody struct{}

func (nobody) Send([]byte, string, time.Duration) error { return errors.New("something was said") }

// inUse returns the bytes of heap and stacks that are in use.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestIdleStreamHoldsLittle holds an idle legacy stream, with a stream of its own to one server, to its part of the 60 KiB
// that performance.md gives it: the connection of the client, which is not in here, takes the rest.
func TestIdleStreamHoldsLittle(t *testing.T) {
	const streams, most = 500, overhead * 32 << 10
	var opened atomic.Int64
	world := gatetest.New(t)
	world.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Server{Server: &snapshotv1.Server{
		Name: "github", Url: silence(t, &opened), Private: true, ProtocolVersion: mcp.Version20251125, Capabilities: []byte(`{"tools":{}}`),
	}}})
	world.Tool("github", "search", snapshotv1.Risk_RISK_READ)
	world.Role("all")
	world.User("ana", "all")
	id := world.Key("ana", "cursor", time.Time{}).ID
	index := world.Index(1)
	pool := upstream.New(upstream.Config{})
	board := notice.New(notice.Config{
		Upstream: pool, Current: func() *gate.Index { return index }, Registerer: prometheus.NewRegistry(), StreamsPerKey: streams,
	})

	before := inUse()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range streams {
		session := &handle.Session{
			ID: [16]byte{byte(i), byte(i >> 8)}, Expires: time.Now().Add(time.Hour),
			Servers: []handle.ServerSession{{Server: "github", ID: fmt.Sprint("session-", i), Version: mcp.Version20251125}},
		}
		all.Go(func() {
			if err := board.Open(ctx, &notice.Subscription{Caller: index.Credentials().Key(id), Era: mcp.Legacy, Session: session}, nobody{}); err != nil {
				t.Error(err)
			}
		})
	}
	for deadline := time.Now().Add(20 * time.Second); opened.Load() < streams; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d streams are open", opened.Load(), streams)
		}
	}
	each := (inUse() - before) / streams
	t.Logf("an idle stream holds %d bytes", each)
	if each > most {
		t.Errorf("an idle stream holds %d bytes, more than %d", each, most)
	}
	cancel()
	all.Wait()
}
