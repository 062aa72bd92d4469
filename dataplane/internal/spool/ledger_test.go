package spool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
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
	epochs     []uint64                     // in the order in which they came
	records    map[uint64][]*auditv1.Record // of each: by sequence, from 1, without gaps
	duplicates int
	streams    int
	largest    int  // batch, in records
	gaps       bool // are taken at the beginning of an epoch

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
	epoch := request.GetEpoch()
	if l.records == nil {
		l.records = make(map[uint64][]*auditv1.Record)
	}
	if !slices.Contains(l.epochs, epoch) {
		l.epochs = append(l.epochs, epoch)
	}
	l.largest = max(l.largest, len(request.GetRecords()))
	for _, r := range request.GetRecords() {
		switch have := uint64(len(l.records[epoch])); {
		case l.gaps && have == 0 && r.GetSequence() > 1:
			// Sequences that are missing are nil.
			l.records[epoch] = append(make([]*auditv1.Record, r.GetSequence()-1), r)
		case r.GetSequence() == have+1:
			l.records[epoch] = append(l.records[epoch], r)
		case r.GetSequence() <= have && proto.Equal(r, l.records[epoch][r.GetSequence()-1]):
			l.duplicates++
		default:
			return nil, behaviour{}, fmt.Errorf("sequence %d after %d, or other bytes than before", r.GetSequence(), have)
		}
	}
	var do behaviour
	if l.behave != nil && len(request.GetRecords()) > 0 {
		do = l.behave(batch)
	}
	response := &auditv1.PushResponse{Epoch: epoch, AckedSequence: uint64(max(len(l.records[epoch])-do.partial, 0))}
	if do.ack != 0 {
		response.AckedSequence = do.ack
	}
	if do.epoch != 0 {
		response.Epoch = do.epoch
	}
	return response, do, nil
}

// count returns how many records there are.
func (l *ledger) count() (n int) {
	l.with(func() {
		for _, records := range l.records {
			n += len(records)
		}
	})
	return n
}

// events verifies the chain of each epoch and returns the events in order.
func (l *ledger) events(t *testing.T) (events []*auditv1.Event) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, epoch := range l.epochs {
		records, first := l.records[epoch], 0
		for first < len(records) && records[first] == nil {
			first++ // Missing.
		}
		var previous []byte
		if first > 0 {
			previous = records[first].GetHash()
			events = append(events, decode(t, records[first]))
			first++
		}
		if err := audit.VerifyChain(previous, epoch, records[first:]); err != nil {
			t.Fatalf("chain: %v", err)
		}
		for _, r := range records[first:] {
			events = append(events, decode(t, r))
		}
	}
	return events
}

func decode(t *testing.T, r *auditv1.Record) *auditv1.Event {
	t.Helper()
	event := new(auditv1.Event)
	if err := proto.Unmarshal(r.GetEvent(), event); err != nil {
		t.Fatalf("sequence %d: %v", r.GetSequence(), err)
	}
	return event
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

// begin opens a queue, which is closed when the test ends. Its pusher does not wait for company, unless the test says so.
func begin(t testing.TB, config Config) *Queue {
	t.Helper()
	config.Linger = cmp.Or(config.Linger, time.Microsecond)
	q, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

// die leaves everything as a process does that is killed: the kernel lets go of its lock, and keeps what it wrote.
func die(q *Queue) { q.letGo() }

// push calls Push again and again until it is told to stop. Each stream lives for a moment only, so that an ack that
// the ledger withheld comes on a later one.
func push(q *Queue, client auditv1.AuditServiceClient) (stop func()) {
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
	return func() { cancel(); <-done }
}

// keepPushing pushes until the test ends.
func keepPushing(t testing.TB, q *Queue, client auditv1.AuditServiceClient) {
	t.Helper()
	t.Cleanup(push(q, client))
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
//
// In every second run the process is killed now and then, and begins again with what its disk has.
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
			config := Config{Bytes: 100_000, BatchEvents: 1 + random.IntN(40), BatchBytes: 8_000, Window: 1 + random.IntN(4), Linger: time.Microsecond}
			if seed%2 == 1 {
				config.Dir = t.TempDir()
			}
			m := &model{config: config, random: random, client: serve(t, l)}
			m.start(t)
			defer func() { m.stop() }()
			want := m.drive(t)
			q := m.queue

			l.with(func() { l.behave = nil })
			flush(t, q)
			sameIDs(t, l.events(t), want)
			d := q.Depth()
			l.with(func() { resent += l.duplicates })
			full += d.Refused
			if d.Events != 0 || d.Bytes != 0 || d.Reserved != 0 || d.Oldest != 0 {
				t.Errorf("after everything is acked: %+v", d)
			}
			l.with(func() {
				if l.largest > config.BatchEvents {
					t.Errorf("a batch had %d records, the bound is %d", l.largest, config.BatchEvents)
				}
			})
		})
	}
}

// model is a queue that is driven at random, and what it accepted.
type model struct {
	config  Config
	random  *rand.Rand
	client  auditv1.AuditServiceClient
	queue   *Queue
	stop    func() // pushing
	want    []*auditv1.Event
	running []open
}

// open is a call without a result.
type open struct {
	ticket *Ticket
	id     int
}

func (m *model) start(t *testing.T) {
	t.Helper()
	m.queue = begin(t, m.config)
	m.stop = push(m.queue, m.client)
}

// drive makes random calls and returns the events that were accepted, in order.
func (m *model) drive(t *testing.T) []*auditv1.Event {
	t.Helper()
	for id := range 3000 {
		switch what := m.random.IntN(8); {
		case m.config.Dir != "" && m.random.IntN(300) == 0:
			m.stop()
			die(m.queue)
			m.running = nil
			m.start(t)
		case len(m.running) > 0 && what < 4:
			m.finish(m.random.IntN(len(m.running)))
		case what == 4:
			event := call(auditv1.EventKind_EVENT_KIND_REFUSAL, id, m.random.IntN(2000))
			m.accepted(t, event, m.queue.Refusal(event))
		default:
			event := call(auditv1.EventKind_EVENT_KIND_INTENT, id, m.random.IntN(2000))
			ticket, err := m.queue.Intent(event)
			if m.accepted(t, event, err) {
				m.running = append(m.running, open{ticket, id})
			}
		}
		// Each file that was left behind is counted, and was not asked.
		if d := m.queue.Depth(); d.Bytes > m.config.Bytes+int64(len(m.queue.tails)-1)*pageLen || d.Reserved != len(m.running) {
			t.Fatalf("bound broken: %+v with %d calls running", d, len(m.running))
		}
	}
	for len(m.running) > 0 {
		m.finish(0)
	}
	return m.want
}

func (m *model) accepted(t *testing.T, event *auditv1.Event, err error) bool {
	t.Helper()
	if err != nil && !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if err == nil {
		m.want = append(m.want, event)
	}
	return err == nil
}

func (m *model) finish(i int) {
	event := call(auditv1.EventKind_EVENT_KIND_RESULT, m.running[i].id, m.random.IntN(300))
	m.want = append(m.want, event)
	m.running[i].ticket.Result(proto.CloneOf(event))
	m.running = append(m.running[:i], m.running[i+1:]...)
}
