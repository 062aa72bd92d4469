package spool

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// doomed makes this test's own binary a process that records calls until it is killed. It has the directory of the queue,
// the ledger's address and the first call's number.
const doomed = "WARDER_SPOOL_DOOMED"

func TestMain(m *testing.M) {
	if what := os.Getenv(doomed); what != "" {
		if err := recordUntilKilled(what); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// small is a queue that goes round its end all the time.
func small(dir string, log *slog.Logger) Config {
	return Config{Dir: dir, Bytes: 30_000, BatchEvents: 20, Window: 3, Linger: time.Microsecond, Log: log}
}

// recordUntilKilled says on standard output what it has recorded, once that has returned.
func recordUntilKilled(what string) error {
	var dir, address string
	var first int
	if _, err := fmt.Sscan(what, &dir, &address, &first); err != nil {
		return err
	}
	q, err := Open(small(dir, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))))
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	push(q, auditv1.NewAuditServiceClient(conn))
	var last atomic.Int64
	record := func() {
		for {
			id := first + int(last.Add(1))
			ticket, err := q.Intent(call(intent, id, id%3000))
			if err != nil {
				time.Sleep(time.Millisecond) // It is full.
				continue
			}
			fmt.Println("intent", id)
			ticket.Result(call(result, id, id%50))
			fmt.Println("result", id)
		}
	}
	for range 3 {
		go record()
	}
	record()
	return nil
}

// TestP01_NoRecordIsLostOrDoubledWheneverAProcessIsKilled kills processes by a signal, at any moment from their start on, while
// they record and hand over to a ledger that fails now and then, and is away at times.
func TestP01_NoRecordIsLostOrDoubledWheneverAProcessIsKilled(t *testing.T) {
	const lives = 40
	var away atomic.Bool
	faults := rand.New(rand.NewPCG(1, 1))
	l := &ledger{behave: func(int) behaviour {
		return behaviour{withhold: away.Load() || faults.IntN(8) == 0, hangUp: away.Load() || faults.IntN(30) == 0}
	}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	auditv1.RegisterAuditServiceServer(server, l)
	go server.Serve(listener)
	t.Cleanup(server.Stop)

	dir, promised := t.TempDir(), map[string]bool{}
	for life := range lives {
		away.Store(life%8 >= 6)
		liveAndDie(t, fmt.Sprint(dir, " ", listener.Addr(), " ", life*1_000_000), promised)
	}
	away.Store(false)
	var log bytes.Buffer
	handOver(t, small(dir, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))), l)

	if left := rings(t, dir); len(left) > 0 || log.Len() > 0 {
		t.Errorf("left are %v; log: %s", left, log.String())
	}
	began, seen := map[string]bool{}, map[string]bool{}
	for _, event := range l.events(t) {
		id := strings.TrimLeft(string(event.CallId), "0")
		text := "intent " + id
		if event.Kind == result {
			text = "result " + id
			if !began[id] {
				t.Errorf("%s comes before its intent", text)
			}
		}
		if seen[text] {
			t.Errorf("%s is there twice", text)
		}
		began[id], seen[text] = true, true
		delete(promised, text)
	}
	if len(promised) > 0 {
		t.Errorf("%d records are lost, of %d: %v", len(promised), len(seen), promised)
	}
	if len(seen) < 1000 {
		t.Errorf("only %d records: this holds vacuously", len(seen))
	}
	t.Logf("%d records in %d epochs", len(seen), len(l.epochs))
}

// liveAndDie has a process record for a moment, kills it, and adds what it said.
func liveAndDie(t *testing.T, what string, promised map[string]bool) {
	t.Helper()
	ctx, kill := context.WithTimeout(t.Context(), time.Duration(rand.IntN(100_000))*time.Microsecond)
	defer kill()
	var said, failed bytes.Buffer
	child := exec.CommandContext(ctx, os.Args[0])
	child.Env = append(os.Environ(), doomed+"="+what)
	child.Stdout, child.Stderr = &said, &failed
	if err := child.Run(); ctx.Err() == nil || failed.Len() > 0 {
		t.Fatalf("the process ended before it was killed, or complains: %v: %s", err, failed.String())
	}
	for lines := bufio.NewScanner(&said); lines.Scan(); {
		if text := lines.Text(); text != "" {
			promised[text] = true
		}
	}
}
