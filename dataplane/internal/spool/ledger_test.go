package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/audit"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// ledger is the other end of Push: it keeps each record once, as the control plane does, and fails as told.
type ledger struct {
	auditv1.UnimplementedAuditServiceServer

	mu         sync.Mutex
	epoch      uint64
	records    []*auditv1.Record // by sequence, from 1, without gaps
	duplicates int
	streams    int
	largest    int // batch, in records

	// behave decides what happens to a batch once it is kept; nil acks it. It is called under mu.
	behave func(batch int) behaviour
}

// behaviour is what a ledger does after it kept a batch.
type behaviour struct {
	withhold bool   // send no ack for this batch
	hangUp   bool   // end the stream, after the ack if there is one
	partial  int    // ack that many records less than committed
	ack      uint64 // ack this instead, if not 0
	epoch    uint64 // and for this epoch, if not 0
}

func (l *ledger) Push(stream grpc.BidiStreamingServer[auditv1.PushRequest, auditv1.PushResponse]) error {
	l.mu.Lock()
	l.streams++
	l.mu.Unlock()
	for batch := 0; ; batch++ {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		response, do, err := l.keep(request, batch)
		if err != nil {
			return err
		}
		if !do.withhold {
			if err := stream.Send(response); err != nil {
				return err
			}
		}
		if do.hangUp {
			return errors.New("the ledger hangs up")
		}
	}
}

func (l *ledger) keep(request *auditv1.PushRequest, batch int) (*auditv1.PushResponse, behaviour, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epoch = request.GetEpoch()
	l.largest = max(l.largest, len(request.GetRecords()))
	for _, r := range request.GetRecords() {
		switch have := uint64(len(l.records)); {
		case r.GetSequence() == have+1:
			l.records = append(l.records, r)
		case r.GetSequence() <= have && proto.Equal(r, l.records[r.GetSequence()-1]):
			l.duplicates++
		default:
			return nil, behaviour{}, fmt.Errorf("sequence %d after %d, or other bytes than before", r.GetSequence(), have)
		}
	}
	var do behaviour
	if l.behave != nil {
		do = l.behave(batch)
	}
	response := &auditv1.PushResponse{Epoch: l.epoch, AckedSequence: uint64(max(len(l.records)-do.partial, 0))}
	if do.ack != 0 {
		response.AckedSequence = do.ack
	}
	if do.epoch != 0 {
		response.Epoch = do.epoch
	}
	return response, do, nil
}

// events verifies the chain and returns the events in order.
func (l *ledger) events(t *testing.T) []*auditv1.Event {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := audit.VerifyChain(nil, l.epoch, l.records); err != nil {
		t.Fatalf("chain: %v", err)
	}
	events := make([]*auditv1.Event, len(l.records))
	for i, r := range l.records {
		events[i] = new(auditv1.Event)
		if err := proto.Unmarshal(r.GetEvent(), events[i]); err != nil {
			t.Fatalf("sequence %d: %v", r.GetSequence(), err)
		}
	}
	return events
}

func (l *ledger) with(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

// serve runs l behind an in-memory connection and returns a client of it.
func serve(t testing.TB, l *ledger) auditv1.AuditServiceClient {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	auditv1.RegisterAuditServiceServer(server, l)
	done := make(chan struct{})
	go func() { defer close(done); server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:ledger",
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); server.Stop(); <-done })
	return auditv1.NewAuditServiceClient(conn)
}

// keepPushing calls Push again and again until the test ends. Each stream lives for a moment only, so that an ack that
// the ledger withheld comes on a later one.
func keepPushing(t testing.TB, q *Queue, client auditv1.AuditServiceClient) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			stream, end := context.WithTimeout(ctx, 50*time.Millisecond)
			q.Push(stream, client)
			end()
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// flush fails the test if the queue does not drain.
func flush(t testing.TB, q *Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := q.Flush(ctx, time.Hour); err != nil {
		t.Fatalf("Flush: %v; %+v", err, q.Depth())
	}
}

// sameIDs fails the test unless got are exactly the events with these call ids and kinds, in order.
func sameIDs(t *testing.T, got []*auditv1.Event, want []*auditv1.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("the ledger has %d events, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Kind != want[i].Kind || !bytes.Equal(got[i].CallId, want[i].CallId) {
			t.Fatalf("event %d is %v of call %x, want %v of call %x", i, got[i].Kind, got[i].CallId, want[i].Kind, want[i].CallId)
		}
	}
}

// call returns the event of a numbered call, with a payload of some bytes.
func call(kind auditv1.EventKind, id, size int) *auditv1.Event {
	return &auditv1.Event{
		Kind: kind, CallId: fmt.Appendf(nil, "%016d", id), Reason: string(bytes.Repeat([]byte("x"), size)),
	}
}

// TestModel runs random intents, results and refusals against a ledger that hangs up, withholds acks and acks parts, and
// wants every accepted event there exactly once and in order.
func TestModel(t *testing.T) {
	resent, full := 0, uint64(0)
	defer func() {
		if resent == 0 || full == 0 {
			t.Errorf("the model never ran into what it is about: %d sent again, %d refused", resent, full)
		}
	}()
	for seed := range uint64(25) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			faults := rand.New(rand.NewPCG(seed, 2))
			l := &ledger{behave: func(int) behaviour {
				return behaviour{
					withhold: faults.IntN(4) == 0,
					hangUp:   faults.IntN(6) == 0,
					partial:  faults.IntN(2) * faults.IntN(20),
				}
			}}
			config := Config{Events: 300, Bytes: 100_000, BatchEvents: 1 + random.IntN(40), BatchBytes: 8_000, Window: 1 + random.IntN(4), Linger: time.Microsecond}
			q := New(config)
			keepPushing(t, q, serve(t, l))

			want := drive(t, q, config, random)

			l.with(func() { l.behave = nil })
			flush(t, q)
			sameIDs(t, l.events(t), want)
			d := q.Depth()
			resent, full = resent+l.duplicates, full+d.Refused
			if d.Events != 0 || d.Bytes != 0 || d.Reserved != 0 || d.Oldest != 0 {
				t.Errorf("after everything is acked: %+v", d)
			}
			if l.largest > config.BatchEvents {
				t.Errorf("a batch had %d records, the bound is %d", l.largest, config.BatchEvents)
			}
		})
	}
}

// drive makes random calls and returns the events that were accepted, in order.
func drive(t *testing.T, q *Queue, config Config, random *rand.Rand) []*auditv1.Event {
	t.Helper()
	var want []*auditv1.Event
	type open struct {
		ticket *Ticket
		id     int
	}
	var running []open
	finish := func(i int) {
		event := call(auditv1.EventKind_EVENT_KIND_RESULT, running[i].id, random.IntN(300))
		want = append(want, event)
		running[i].ticket.Result(proto.CloneOf(event))
		running = append(running[:i], running[i+1:]...)
	}
	for id := range 3000 {
		switch {
		case len(running) > 0 && random.IntN(2) == 0:
			finish(random.IntN(len(running)))
		case random.IntN(4) == 0:
			event := call(auditv1.EventKind_EVENT_KIND_REFUSAL, id, random.IntN(2000))
			if err := q.Refusal(event); err == nil {
				want = append(want, event)
			} else if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
		default:
			event := call(auditv1.EventKind_EVENT_KIND_INTENT, id, random.IntN(2000))
			ticket, err := q.Intent(event)
			if err == nil {
				want = append(want, event)
				running = append(running, open{ticket, id})
			} else if !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
		}
		if d := q.Depth(); d.Events+d.Reserved > config.Events || d.Bytes > config.Bytes || d.Reserved != len(running) {
			t.Fatalf("bound broken: %+v with %d calls running", d, len(running))
		}
	}
	for len(running) > 0 {
		finish(0)
	}
	return want
}
