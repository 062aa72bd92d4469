package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

const (
	intent  = auditv1.EventKind_EVENT_KIND_INTENT
	result  = auditv1.EventKind_EVENT_KIND_RESULT
	refusal = auditv1.EventKind_EVENT_KIND_REFUSAL
)

func TestP04_AFullQueueRefusesNewCallsAndStillTakesTheResultsOfRunningOnes(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		want   int // intents that fit
	}{
		{"some", Config{Bytes: 10_000}, 8},
		{"more", Config{Bytes: 20_000}, 16},
		{"none", Config{Bytes: 1_000}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := begin(t, test.config)
			var tickets []*Ticket
			for {
				ticket, err := q.Intent(call(intent, len(tickets), 300))
				if errors.Is(err, ErrFull) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				tickets = append(tickets, ticket)
			}
			if len(tickets) != test.want {
				t.Errorf("%d intents fit, want %d", len(tickets), test.want)
			}
			for id, ticket := range tickets {
				ticket.Result(call(result, id, 300+resultRoom))
			}
			d := q.Depth()
			if d.Events != 2*len(tickets) || d.Reserved != 0 {
				t.Errorf("depth %+v, want %d events and nothing reserved", d, 2*len(tickets))
			}
			if config := test.config.withDefaults(); d.Bytes > config.Bytes {
				t.Errorf("depth %+v exceeds the bound %+v", d, config)
			}
			if d.Refused == 0 {
				t.Error("the refusal was not counted")
			}
		})
	}
}

func TestP04_AFullQueueTakesNoRefusalEither(t *testing.T) {
	q := begin(t, Config{Bytes: 100})
	if err := q.Refusal(call(refusal, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if err := q.Refusal(call(refusal, 1, 0)); !errors.Is(err, ErrFull) {
		t.Errorf("Refusal = %v, want ErrFull", err)
	}
}

func TestP04_RefusalsLeaveRoomForCalls(t *testing.T) {
	q := begin(t, Config{Bytes: 40_000})
	refusals := 0
	for ; q.Refusal(call(refusal, refusals, 1000)) == nil; refusals++ {
	}
	if refusals < 20 || refusals > 30 {
		t.Errorf("%d refusals fit; want about three quarters of the queue", refusals)
	}
	if _, err := q.Intent(call(intent, refusals, 1000)); err != nil {
		t.Errorf("a call after a flood of refusals: %v", err)
	}
}

func TestIntentRefusesAnEventThatCannotBeRecorded(t *testing.T) {
	q := begin(t, Config{})
	if _, err := q.Intent(&auditv1.Event{Tool: "\xff"}); err == nil {
		t.Error("an event with invalid UTF-8 was accepted")
	}
	if d := q.Depth(); d.Events != 0 || d.Reserved != 0 || d.Bytes != 0 {
		t.Errorf("refused events left something behind: %+v", d)
	}
}

// However much a token, a user, a policy or a client has to say, the call is recorded,
// and the record says what is missing of it.
func TestAnEventThatIsTooLargeIsCutAndSaysSo(t *testing.T) {
	many := make([]string, 300)
	for i := range many {
		many[i] = fmt.Sprintf("group-%03d-%s", i, strings.Repeat("g", 250))
	}
	long := strings.Repeat("ä", MaxEvent)
	for _, kind := range []auditv1.EventKind{intent, refusal} {
		event := call(kind, 7, 10)
		event.User, event.Reason, event.Groups, event.Roles, event.Tool = "ana", long, many, []string{"dev", long}, long
		want := proto.CloneOf(event)
		q := begin(t, Config{})
		var err error
		if kind == intent {
			_, err = q.Intent(event)
		} else {
			err = q.Refusal(event)
		}
		if err != nil {
			t.Fatalf("%v: %v", kind, err)
		}
		if !proto.Equal(want, event) {
			t.Error("the caller's event was changed")
		}
		got := new(auditv1.Event)
		taken := held(q)
		if len(taken) != 1 || len(taken[0]) > MaxEvent || proto.Unmarshal(taken[0], got) != nil {
			t.Fatalf("%v: %d events", kind, len(taken))
		}
		shown, mark := strings.CutSuffix(got.GetReason(), "…(+130048 bytes)")
		if !mark || !strings.HasPrefix(long, shown) || got.GetTool() != got.GetReason() || got.GetRoles()[1] != got.GetReason() {
			t.Errorf("%v: the reason is %q", kind, got.GetReason())
		}
		n := len(got.GetGroups()) - 1
		if n < 30 || !slices.Equal(got.GetGroups()[:n], many[:n]) || got.GetGroups()[n] != fmt.Sprintf("…(+%d more)", 300-n) {
			t.Errorf("%v: %d groups, the last is %q", kind, n, got.GetGroups()[n])
		}
		if got.GetUser() != "ana" || !bytes.Equal(got.GetCallId(), event.GetCallId()) {
			t.Errorf("%v: of %q, call %x", kind, got.GetUser(), got.GetCallId())
		}
	}
	// One that just fits is left as it is.
	q, event := begin(t, Config{}), call(intent, 0, 0)
	event.Reason = strings.Repeat("r", MaxEvent-200)
	if _, err := q.Intent(event); err != nil {
		t.Fatal(err)
	}
	if got := new(auditv1.Event); proto.Unmarshal(held(q)[0], got) != nil || got.GetReason() != event.GetReason() {
		t.Error("an event that fits was cut")
	}
}

func TestResultAlwaysFitsItsRoom(t *testing.T) {
	whole := func(change func(*auditv1.Event)) *auditv1.Event {
		event := call(result, 7, 100)
		event.At = timestamppb.New(time.Unix(1, 2))
		event.Outcome = auditv1.Outcome_OUTCOME_SERVER_FAILED
		event.Latency = durationpb.New(time.Second)
		change(event)
		return event
	}
	tests := map[string]*auditv1.Event{
		"as expected":     whole(func(e *auditv1.Event) { e.Error = "the server hung up" }),
		"long text":       whole(func(e *auditv1.Event) { e.Error = strings.Repeat("ä", 5000) }),
		"text not UTF-8":  whole(func(e *auditv1.Event) { e.Error = "a\xff" }),
		"other not UTF-8": whole(func(e *auditv1.Event) { e.Tool = "a\xff" }),
		"other long":      whole(func(e *auditv1.Event) { e.Reason = strings.Repeat("r", 5000) }),
		"both long":       whole(func(e *auditv1.Event) { e.Reason, e.Error = strings.Repeat("r", 5000), strings.Repeat("e", 5000) }),
	}
	for name, event := range tests {
		t.Run(name, func(t *testing.T) {
			const room = 800
			got := new(auditv1.Event)
			encoded := fit(nil, proto.CloneOf(event), room)
			if len(encoded) > room {
				t.Errorf("%d bytes, room is %d", len(encoded), room)
			}
			if err := proto.Unmarshal(encoded, got); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.CallId, event.CallId) || got.Kind != result || got.Outcome != event.Outcome ||
				!proto.Equal(got.At, event.At) || !proto.Equal(got.Latency, event.Latency) {
				t.Errorf("lost more than text: %v", got)
			}
		})
	}
}

func TestASecondResultChangesNothing(t *testing.T) {
	var log bytes.Buffer
	q := begin(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	ticket, err := q.Intent(call(intent, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	ticket.Result(call(result, 1, 0))
	before := q.Depth()
	ticket.Result(call(result, 1, 0))
	if after := q.Depth(); after.Events != before.Events || after.Bytes != before.Bytes || after.Reserved != 0 {
		t.Errorf("depth went from %+v to %+v", before, after)
	}
	if !strings.Contains(log.String(), "second result") {
		t.Errorf("log: %q", log.String())
	}
}

func TestP02_EventsOfManyCallersArriveExactlyOnceAndResultsAfterTheirIntents(t *testing.T) {
	const callers, calls = 16, 300
	l := &ledger{behave: func(batch int) behaviour { return behaviour{hangUp: batch == 3} }}
	q := begin(t, Config{Linger: time.Microsecond})
	keepPushing(t, q, serve(t, l))

	var wait sync.WaitGroup
	for caller := range callers {
		wait.Go(func() {
			for i := range calls {
				ticket, err := q.Intent(call(intent, caller*calls+i, 50))
				if err != nil {
					t.Error(err)
					return
				}
				ticket.Result(call(result, caller*calls+i, 50))
			}
		})
	}
	wait.Wait()
	flush(t, q)

	open := map[string]bool{}
	events := l.events(t)
	for i, event := range events {
		id := string(event.CallId)
		switch known, seen := open[id]; {
		case event.Kind == intent && !seen:
			open[id] = true
		case event.Kind == result && known:
			open[id] = false
		default:
			t.Fatalf("event %d: unexpected %v of call %s", i, event.Kind, id)
		}
	}
	if len(events) != 2*callers*calls {
		t.Errorf("%d events, want %d", len(events), 2*callers*calls)
	}
	l.with(func() {
		if l.streams < 2 {
			t.Errorf("the ledger hung up, but there was only %d stream", l.streams)
		}
	})
}

func TestPushRefusesAnAckItCannotBelieve(t *testing.T) {
	tests := map[string]behaviour{
		"beyond what was sent": {ack: 1000},
		"of another epoch":     {epoch: 42},
	}
	for name, lie := range tests {
		t.Run(name, func(t *testing.T) {
			l := &ledger{behave: func(int) behaviour { return lie }}
			q := begin(t, Config{Linger: time.Microsecond})
			if err := q.Refusal(call(refusal, 1, 10)); err != nil {
				t.Fatal(err)
			}
			client := serve(t, l)
			if err := q.Push(t.Context(), client); err == nil || !strings.Contains(err.Error(), "ack") {
				t.Errorf("Push = %v, want an error about the ack", err)
			}
			if d := q.Depth(); d.Events != 1 {
				t.Fatalf("the event is gone: %+v", d)
			}
			l.with(func() { l.behave = nil })
			keepPushing(t, q, client)
			flush(t, q)
			if len(l.events(t)) != 1 {
				t.Error("the event did not arrive")
			}
		})
	}
}

func TestPushKeepsToItsWindow(t *testing.T) {
	l := &ledger{behave: func(int) behaviour { return behaviour{withhold: true} }}
	q := begin(t, Config{BatchEvents: 10, Window: 3, Linger: time.Microsecond})
	for i := range 100 {
		if err := q.Refusal(call(refusal, i, 10)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	pushed := make(chan error)
	go func() { pushed <- q.Push(ctx, serve(t, l)) }()
	await(t, func() bool { return l.count() == 30 })
	cancel()
	if err := <-pushed; !errors.Is(err, context.Canceled) {
		t.Errorf("Push = %v, want that it was cancelled", err)
	}
	if n := l.count(); n != 30 {
		t.Errorf("%d records sent without an ack, the window is 30", n)
	}
}

func TestOnlyOnePushRuns(t *testing.T) {
	l := &ledger{}
	q := begin(t, Config{})
	client := serve(t, l)
	ctx, cancel := context.WithCancel(t.Context())
	pushed := make(chan error)
	go func() { pushed <- q.Push(ctx, client) }()
	defer func() { cancel(); <-pushed }()
	await(t, func() (opened bool) { l.with(func() { opened = l.streams == 1 }); return opened })
	if err := q.Push(t.Context(), client); err == nil || !strings.Contains(err.Error(), "another push") {
		t.Errorf("Push = %v", err)
	}
}

func TestFlushSaysHowManyEventsAreLost(t *testing.T) {
	var log bytes.Buffer
	q := begin(t, Config{Log: slog.New(slog.NewTextHandler(&log, nil))})
	for i := range 3 {
		if err := q.Refusal(call(refusal, i, 10)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := q.Intent(call(intent, 4, 10)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := q.Flush(ctx, time.Hour)
	if err == nil || !strings.Contains(err.Error(), "4 events and 1 results lost") {
		t.Errorf("Flush = %v", err)
	}
	if text := log.String(); !strings.Contains(text, "lost=4") || !strings.Contains(text, "calls_without_result=1") {
		t.Errorf("log: %s", text)
	}
}

func TestFlushOfAnEmptyQueueReturnsAtOnce(t *testing.T) {
	if err := begin(t, Config{}).Flush(t.Context(), time.Hour); err != nil {
		t.Error(err)
	}
}

func TestDepthTellsTheAgeOfTheOldestEvent(t *testing.T) {
	q := begin(t, Config{})
	if d := q.Depth(); d.Oldest != 0 {
		t.Errorf("an empty queue has an oldest event: %v", d.Oldest)
	}
	if err := q.Refusal(call(refusal, 0, 0)); err != nil {
		t.Fatal(err)
	}
	first := q.Depth().Oldest
	await(t, func() bool { return q.Depth().Oldest > first })
}

// held returns the events in the ring.
func held(q *Queue) (events [][]byte) {
	for p := (position{}); ; {
		found, ok := q.ring.next(p)
		if !ok {
			return events
		}
		events, p = append(events, found.event), found.end
	}
}

// await polls until ready, for at most a few seconds.
func await(t *testing.T, ready func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ready(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing happened for ten seconds")
		}
	}
}

// BenchmarkCall is what a call pays: intent and result, with a ledger that acks everything.
func BenchmarkCall(b *testing.B) {
	usual := Config{}.withDefaults().Linger
	b.Run("memory", func(b *testing.B) { benchmarkCall(b, Config{Linger: usual}) })
	b.Run("disk", func(b *testing.B) { benchmarkCall(b, Config{Dir: b.TempDir(), Linger: usual}) })
}

func benchmarkCall(b *testing.B, config Config) {
	q := begin(b, config)
	keepPushing(b, q, &sink{})
	intentEvent := func() *auditv1.Event {
		return &auditv1.Event{
			Kind: intent, CallId: []byte("0123456789abcdef"), At: timestamppb.Now(), User: "ana", Application: "cursor",
			KeyId: "abcdefghijkl", ClientName: "claude", ClientVersion: "1.2.3", RemoteAddress: "10.1.2.3:43210",
			ProtocolVersion: "2025-11-25", Method: "tools/call", Server: "github", Tool: "create_issue",
			DefinitionHash: make([]byte, 32), Rule: "role:operator", Revision: 12345, ArgumentsDigest: make([]byte, 32), RequestBytes: 400,
		}
	}
	b.ReportAllocs()
	b.SetParallelism(8) // 16 goroutines on two cores
	b.RunParallel(func(pb *testing.PB) {
		event := intentEvent()
		for pb.Next() {
			ticket, err := q.Intent(event)
			for ; err != nil; ticket, err = q.Intent(event) {
				time.Sleep(time.Millisecond) // The pusher is behind.
			}
			ticket.Result(event)
		}
	})
}

func TestAFullBatchIsNotHeldBackForCompany(t *testing.T) {
	q := begin(t, Config{BatchEvents: 4, Linger: time.Hour})
	keepPushing(t, q, &sink{})
	for i := range 4 {
		if err := q.Refusal(call(refusal, i, 0)); err != nil {
			t.Fatal(err)
		}
	}
	await(t, func() bool { return q.Depth().Events == 0 })
}

func TestARecordedCallCostsNoAllocation(t *testing.T) {
	q := begin(t, Config{})
	keepPushing(t, q, &sink{})
	before, after := call(intent, 1, 100), call(result, 1, 0)
	record := func() {
		ticket, err := q.Intent(before)
		if err != nil {
			t.Fatal(err)
		}
		ticket.Result(after)
	}
	// The places in the queue, the memory for the bytes and the pusher's batches are shared by many calls.
	if allocs := testing.AllocsPerRun(5000, record); allocs > slack {
		t.Errorf("%v allocations for a call", allocs)
	}
}

// TestWhatIsKeptOfAnEventIsItsOwn fills several pieces of memory, and more than once what events are encoded in.
func TestWhatIsKeptOfAnEventIsItsOwn(t *testing.T) {
	q := begin(t, Config{})
	var want [][]byte
	for i := range 300 {
		event := call(refusal, i, 10+37*(i%200))
		encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, encoded)
		if err := q.Refusal(event); err != nil {
			t.Fatal(err)
		}
	}
	taken := held(q)
	for i, encoded := range want {
		if !bytes.Equal(taken[i], encoded) {
			t.Fatalf("event %d has changed", i)
		}
	}
}
