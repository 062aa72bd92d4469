package ledger

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/audit"
	"github.com/warder-gateway/warder/internal/fault"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// queue is the queue of one node: it numbers and chains as a node does.
type queue struct {
	t     testing.TB
	epoch uint64
	last  []byte
	next  uint64
}

func newQueue(t testing.TB, epoch uint64) *queue { return &queue{t: t, epoch: epoch, next: 1} }

// batch chains encoded events.
func (q *queue) batch(events ...[]byte) *auditv1.PushRequest {
	b := &auditv1.PushRequest{Epoch: q.epoch}
	for _, event := range events {
		q.last = audit.Chain(q.last, q.epoch, q.next, event)
		b.Records = append(b.Records, &auditv1.Record{Sequence: q.next, Event: event, Hash: q.last})
		q.next++
	}
	return b
}

func encode(t testing.TB, e *auditv1.Event) []byte {
	t.Helper()
	raw, err := audit.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// callID makes an id from a letter.
func callID(c byte) []byte { return bytes.Repeat([]byte{c}, callIDSize) }

func intent(id []byte) *auditv1.Event {
	return &auditv1.Event{
		Kind: auditv1.EventKind_EVENT_KIND_INTENT, CallId: id, At: timestamppb.New(time.Unix(1_700_000_000, 0)),
		User: "ana", Application: "cursor", Method: "tools/call", Server: "github", Tool: "get_me",
		Risk: snapshotv1.Risk_RISK_READ, Decision: auditv1.Decision_DECISION_ALLOW, Rule: "role:viewer", Revision: 3,
		RequestBytes: 100,
	}
}

func result(id []byte) *auditv1.Event {
	return &auditv1.Event{
		Kind: auditv1.EventKind_EVENT_KIND_RESULT, CallId: id, At: timestamppb.Now(), Outcome: auditv1.Outcome_OUTCOME_OK,
		Latency: durationpb.New(1500 * time.Microsecond), ServerLatency: durationpb.New(time.Millisecond), ResponseBytes: 200,
	}
}

func refused(id []byte) *auditv1.Event {
	e := intent(id)
	e.Kind, e.Decision, e.Rule = auditv1.EventKind_EVENT_KIND_REFUSAL, auditv1.Decision_DECISION_DENY, "no-deletes"
	return e
}

// push appends a batch that must be taken.
func push(t testing.TB, l *Ledger, node string, b *auditv1.PushRequest) uint64 {
	t.Helper()
	acked, err := l.Append(t.Context(), node, b)
	if err != nil {
		t.Fatalf("append: %v", err)
	}
	return acked
}

func calls(t testing.TB, l *Ledger, filter db.ListAuditCallsParams) []db.ListAuditCallsRow {
	t.Helper()
	filter.RowLimit = 1000
	all, err := l.store.ListAuditCalls(t.Context(), filter)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

const running = "running"

func outcomeOf(c db.ListAuditCallsRow) string {
	if c.Outcome == nil {
		return running
	}
	return *c.Outcome
}

func TestIntentMakesTheRowAndResultCompletesIt(t *testing.T) {
	for _, split := range []bool{false, true} {
		t.Run(fmt.Sprintf("split=%v", split), func(t *testing.T) {
			l := New(Config{Store: storetest.New(t)})
			q := newQueue(t, 1)
			first, second := encode(t, intent(callID('a'))), encode(t, result(callID('a')))
			if split {
				push(t, l, "n1", q.batch(first))
				if got := calls(t, l, db.ListAuditCallsParams{Outcome: running}); len(got) != 1 || got[0].Outcome != nil {
					t.Fatalf("while it runs: %+v", got)
				}
				push(t, l, "n1", q.batch(second))
			} else {
				push(t, l, "n1", q.batch(first, second))
			}
			got := calls(t, l, db.ListAuditCallsParams{})
			if len(got) != 1 {
				t.Fatalf("%d rows", len(got))
			}
			c := got[0]
			if c.UserName != "ana" || c.Tool != "get_me" || c.Risk != "read" || c.Decision != "allow" || c.Revision != 3 ||
				outcomeOf(c) != "ok" || *c.LatencyUs != 1500 || *c.ServerLatencyUs != 1000 || c.RequestBytes != 100 ||
				c.ResponseBytes != 200 || c.Node != "n1" || !c.At.Equal(time.Unix(1_700_000_000, 0)) {
				t.Errorf("row: %+v", c)
			}
		})
	}
}

// Whoever reads the ledger later must not have to guess what the caller had at the time: roles and groups change.
func TestTheRowHasWhatTheCallerHad(t *testing.T) {
	l := New(Config{Store: storetest.New(t)})
	with := func(id byte) *auditv1.Event {
		e := intent(callID(id))
		e.Roles, e.Groups, e.Issuer, e.TokenId = []string{"viewer", "dev"}, []string{"eng\x00", strings.Repeat("g", 600)}, "corp", "jti-1"
		return e
	}
	q := newQueue(t, 1)
	push(t, l, "n1", q.batch(encode(t, with('a')), encode(t, intent(callID('b')))))
	push(t, l, "n2", newQueue(t, 2).batch(encode(t, with('a')), encode(t, with('c')))) // one by one, for the id that is there
	got := calls(t, l, db.ListAuditCallsParams{})
	if len(got) != 3 {
		t.Fatalf("%d rows", len(got))
	}
	for _, c := range got {
		if c.ID[0] == 'b' {
			if len(c.Roles)+len(c.Groups) > 0 || c.Issuer+c.TokenID != "" {
				t.Errorf("of one who has nothing: %+v", c)
			}
			continue
		}
		if diff := cmp.Diff([]string{"viewer", "dev"}, c.Roles); diff != "" || c.Issuer != "corp" || c.TokenID != "jti-1" {
			t.Errorf("issuer %q, token %q: %s", c.Issuer, c.TokenID, diff)
		}
		if len(c.Groups) != 2 || c.Groups[0] != `eng\u0000` || len(c.Groups[1]) > maxName+len("…") {
			t.Errorf("groups %q", c.Groups)
		}
	}
}

func TestRefusalIsACallWithItsOutcome(t *testing.T) {
	l := New(Config{Store: storetest.New(t)})
	push(t, l, "n1", newQueue(t, 1).batch(encode(t, refused(callID('a')))))
	got := calls(t, l, db.ListAuditCallsParams{Decision: "deny"})
	if len(got) != 1 || outcomeOf(got[0]) != "refused" || got[0].Rule != "no-deletes" {
		t.Errorf("rows: %+v", got)
	}
}

// P-02: at least once from the node, exactly once in the ledger.
func TestWhatComesAgainIsTakenOnce(t *testing.T) {
	s := storetest.New(t)
	l := New(Config{Store: s})
	q := newQueue(t, 1<<63+5) // An epoch that does not fit a signed number.
	one := q.batch(encode(t, intent(callID('a'))), encode(t, result(callID('a'))))
	two := q.batch(encode(t, intent(callID('b'))))
	both := &auditv1.PushRequest{Epoch: q.epoch, Records: append(append([]*auditv1.Record(nil), one.Records...), two.Records...)}
	for n, step := range []struct {
		batch *auditv1.PushRequest
		acked uint64
	}{{one, 2}, {one, 2}, {both, 3}, {one, 3}, {two, 3}, {&auditv1.PushRequest{Epoch: q.epoch}, 3}} {
		if acked := push(t, l, "n1", step.batch); acked != step.acked {
			t.Errorf("step %d: acked %d, want %d", n, acked, step.acked)
		}
	}
	if got := calls(t, l, db.ListAuditCallsParams{}); len(got) != 2 {
		t.Errorf("%d calls, want 2", len(got))
	}
	records, err := s.ListAuditRecords(t.Context(), db.ListAuditRecordsParams{Node: "n1", Epoch: int64(q.epoch), RowLimit: 10})
	if err != nil || len(records) != 3 || !bytes.Equal(records[0].Event, one.Records[0].Event) {
		t.Errorf("records: %d, %v", len(records), err)
	}
}

func TestBatchesOfOneQueueThatRaceAreTakenOnce(t *testing.T) {
	l := New(Config{Store: storetest.New(t)})
	q := newQueue(t, 1)
	batch := q.batch(encode(t, intent(callID('a'))), encode(t, intent(callID('b'))))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if acked, err := l.Append(t.Context(), "n1", batch); err != nil || acked != 2 {
				t.Errorf("acked %d, %v", acked, err)
			}
		})
	}
	wg.Wait()
	if got := calls(t, l, db.ListAuditCallsParams{}); len(got) != 2 {
		t.Errorf("%d calls", len(got))
	}
}

// P-03: a batch that does not continue the chain is refused whole, and what was
// there stays.
func TestBrokenChainsAreRefused(t *testing.T) {
	for name, spoil := range map[string]func(b *auditv1.PushRequest){
		"an event was changed": func(b *auditv1.PushRequest) { b.Records[1].Event = append(b.Records[1].Event, 0) },
		"a hash was changed":   func(b *auditv1.PushRequest) { b.Records[0].Hash = bytes.Repeat([]byte{1}, 32) },
		"changed behind a gap": func(b *auditv1.PushRequest) {
			b.Records = b.Records[1:]
			b.Records[1].Event = append(b.Records[1].Event, 0)
		},
		"one in the middle was left out": func(b *auditv1.PushRequest) {
			b.Records = append(b.Records[:1:1], b.Records[2])
		},
		"two were swapped": func(b *auditv1.PushRequest) {
			b.Records[0], b.Records[1] = b.Records[1], b.Records[0]
		},
		"the epoch is another": func(b *auditv1.PushRequest) { b.Epoch++ },
		"a hash is short":      func(b *auditv1.PushRequest) { b.Records[2].Hash = []byte{1} },
		"a sequence is zero":   func(b *auditv1.PushRequest) { b.Records[0].Sequence = 0 },
		"forked below the head": func(b *auditv1.PushRequest) {
			b.Records = []*auditv1.Record{{Sequence: 1, Event: []byte("x"), Hash: bytes.Repeat([]byte{9}, 32)}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := New(Config{Store: storetest.New(t)})
			q := newQueue(t, 1)
			push(t, l, "n1", q.batch(encode(t, refused(callID('a')))))
			b := q.batch(encode(t, refused(callID('b'))), encode(t, refused(callID('c'))), encode(t, refused(callID('d'))))
			good := &auditv1.PushRequest{Epoch: b.Epoch}
			for _, r := range b.Records {
				good.Records = append(good.Records, &auditv1.Record{
					Sequence: r.Sequence, Event: bytes.Clone(r.Event), Hash: bytes.Clone(r.Hash),
				})
			}
			spoil(b)
			_, err := l.Append(t.Context(), "n1", b)
			if kind := fault.KindOf(err); err == nil || kind != fault.Precondition && kind != fault.Invalid {
				t.Fatalf("error: %v", err)
			}
			if got := calls(t, l, db.ListAuditCallsParams{}); len(got) != 1 {
				t.Errorf("%d calls: something of the batch was kept", len(got))
			}
			if acked := push(t, l, "n1", good); acked != 4 {
				t.Errorf("the true batch was acked to %d", acked)
			}
		})
	}
}

// A database that was restored from a backup lacks what its nodes have long
// forgotten: their queues go on, and the gap stands where nobody can remove it.
func TestAGapIsWrittenDownAndStopsNoQueue(t *testing.T) {
	for name, committed := range map[string]int{"the epoch is older than the backup": 1, "the epoch is newer than the backup": 0} {
		t.Run(name, func(t *testing.T) {
			s := storetest.New(t)
			l := New(Config{Store: s})
			q := newQueue(t, 1<<63)
			for n := range 3 {
				if b := q.batch(encode(t, intent(callID(byte('a'+n))))); n < committed {
					push(t, l, "n1", b) // The others went the way of the database.
				}
			}
			if acked := push(t, l, "n1", q.batch(encode(t, intent(callID('x'))), encode(t, refused(callID('y'))))); acked != 5 {
				t.Fatalf("acked %d", acked)
			}
			push(t, l, "n1", q.batch(encode(t, result(callID('x')))))
			want := map[string]string{"x": "ok", "y": "refused"}
			if committed > 0 {
				want["a"] = running
			}
			if diff := cmp.Diff(want, outcomesByLetter(t, l)); diff != "" {
				t.Error(diff)
			}
			wantOneGap(t, s, fmt.Sprintf(`{"next": 4, "epoch": "8000000000000000", "missing": %d, "committed": %d}`, 3-committed, committed))
		})
	}
}

func wantOneGap(t *testing.T, s *store.Store, detail string) {
	t.Helper()
	acts, err := s.ListAdminAudit(t.Context(), db.ListAdminAuditParams{RowLimit: 10})
	if err != nil || len(acts) != 1 {
		t.Fatalf("%d acts, %v", len(acts), err)
	}
	if a := acts[0]; a.Action != "audit.gap" || a.Target != "n1" || string(a.Detail) != detail {
		t.Errorf("%s %s %s", a.Action, a.Target, a.Detail)
	}
}

// Whatever a record holds, the queue behind it goes on (a predecessor lost all
// after a NUL byte).
func TestNoContentStopsAQueue(t *testing.T) {
	s := storetest.New(t)
	l := New(Config{Store: s})
	q := newQueue(t, 1)
	nasty := intent(callID('a'))
	nasty.Tool, nasty.User, nasty.Reason = "nul\x00esc\x1b[31m", strings.Repeat("é", 5000), "line\nbreak"
	nasty.RequestBytes, nasty.Revision = 1<<64-1, 1<<63
	long := intent(callID('e')) // Its escapes would not fit into an index entry.
	long.Server, long.Tool = controls(maxName, 1), controls(maxName, 2)
	unknownKind := intent(callID('b'))
	unknownKind.Kind = 99
	noTime := intent(callID('c'))
	noTime.At = nil
	badResult := result(callID('a'))
	badResult.Outcome = 99
	records := [][]byte{
		encode(t, nasty), []byte("\xff\xff\xff no event"), nil, {0x22, 0x02, 0xff, 0xfe}, // user = invalid UTF-8
		encode(t, intent([]byte("short"))), encode(t, unknownKind), encode(t, noTime), encode(t, badResult),
		encode(t, intent(callID('a'))), // the same id again
		encode(t, result(callID('z'))), // a result of nothing
		encode(t, long), encode(t, intent(callID('d'))),
	}
	if acked := push(t, l, "n1", q.batch(records...)); acked != uint64(len(records)) {
		t.Fatalf("acked %d of %d", acked, len(records))
	}
	got := make(map[byte]db.ListAuditCallsRow)
	for _, c := range calls(t, l, db.ListAuditCallsParams{}) {
		got[c.ID[0]] = c
	}
	if len(got) != 3 || got['d'].Tool != "get_me" || len(got['e'].Tool) > maxName+10 {
		t.Fatalf("calls: %+v", got)
	}
	a := got['a']
	if a.Tool != `nul\u0000esc\u001b[31m` || a.Reason != `line\u000abreak` || !strings.HasSuffix(a.UserName, "…") || len(a.UserName) > maxName+3 {
		t.Errorf("row: %q %q %d bytes", a.Tool, a.Reason, len(a.UserName))
	}
	kept, err := s.ListAuditRecords(t.Context(), db.ListAuditRecordsParams{Node: "n1", Epoch: 1, RowLimit: 100})
	if err != nil || len(kept) != len(records) || string(kept[1].Event) != string(records[1]) {
		t.Errorf("kept %d records, %v", len(kept), err)
	}
}

// controls returns n control characters that compress badly.
func controls(n int, seed uint64) string {
	random := rand.New(rand.NewPCG(seed, seed))
	text := make([]rune, 0, n)
	for range n {
		text = append(text, []rune{random.Int32N(32), 0x7f + random.Int32N(33)}[random.IntN(2)])
	}
	return string(text)
}

// A node that uses another's call id neither stops its own queue nor changes the
// other's row.
func TestCallIDsOfAnotherNodeAreNotOverwritten(t *testing.T) {
	l := New(Config{Store: storetest.New(t)})
	push(t, l, "n1", newQueue(t, 1).batch(encode(t, intent(callID('a')))))
	stolen := refused(callID('a'))
	stolen.User = "mallory"
	evil := newQueue(t, 2)
	push(t, l, "n2", evil.batch(encode(t, stolen), encode(t, refused(callID('b')))))
	push(t, l, "n2", evil.batch(encode(t, result(callID('a')))))
	for _, c := range calls(t, l, db.ListAuditCallsParams{}) {
		if c.ID[0] == 'a' && (c.UserName != "ana" || c.Outcome != nil) {
			t.Errorf("overwritten: %+v", c)
		}
	}
	if got := calls(t, l, db.ListAuditCallsParams{}); len(got) != 2 {
		t.Errorf("%d calls", len(got))
	}
}

func TestCallsOfAQueueThatEndedBecomeUnknown(t *testing.T) {
	l := New(Config{Store: storetest.New(t)})
	old := newQueue(t, 1)
	push(t, l, "n1", old.batch(encode(t, intent(callID('a'))), encode(t, intent(callID('b')))))
	push(t, l, "n2", newQueue(t, 1).batch(encode(t, intent(callID('x')))))
	l.sweep(t.Context(), 0)
	if got := calls(t, l, db.ListAuditCallsParams{Outcome: running}); len(got) != 3 {
		t.Fatalf("%d calls run before the queue ended", len(got))
	}
	push(t, l, "n1", newQueue(t, 2).batch(encode(t, intent(callID('c')))))
	l.sweep(t.Context(), time.Hour)
	if got := calls(t, l, db.ListAuditCallsParams{Outcome: "unknown"}); len(got) != 0 {
		t.Fatalf("given up within the grace: %+v", got)
	}
	l.sweep(t.Context(), 0)
	want := map[string]string{"a": "unknown", "b": "unknown", "c": running, "x": running}
	if diff := cmp.Diff(want, outcomesByLetter(t, l)); diff != "" {
		t.Error(diff)
	}
	// The node came back with what it still had: the truth replaces the guess.
	push(t, l, "n1", old.batch(encode(t, result(callID('a')))))
	want["a"] = "ok"
	if diff := cmp.Diff(want, outcomesByLetter(t, l)); diff != "" {
		t.Error(diff)
	}
}

func outcomesByLetter(t *testing.T, l *Ledger) map[string]string {
	t.Helper()
	got := make(map[string]string)
	for _, c := range calls(t, l, db.ListAuditCallsParams{}) {
		got[string(c.ID[:1])] = outcomeOf(c)
	}
	return got
}

// A transaction that took its number early and commits late holds the horizon
// back, so that a tail does not pass over its calls.
func TestALateCommitIsNotPassedOver(t *testing.T) {
	s := storetest.New(t)
	l := New(Config{Store: s})
	late, quick := newQueue(t, 1), newQueue(t, 2)
	err := s.InTx(t.Context(), func(tx *store.Tx) error {
		i := intake{node: "slow", epoch: int64(late.epoch)}
		if err := i.run(t.Context(), tx, late.batch(encode(t, refused(callID('l'))))); err != nil {
			return err
		}
		push(t, l, "n1", quick.batch(encode(t, refused(callID('q')))))
		if got := tail(t, s); len(got) != 0 {
			t.Errorf("passed over the one that commits late: %q", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// Tests beside this one run transactions of their own, and an older one holds
	// the horizon back, whichever database of the cluster it writes in.
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	got := tail(t, s)
	for deadline := time.Now().Add(30 * time.Second); len(got) < 2 && time.Now().Before(deadline); got = tail(t, s) {
		<-poll.C
	}
	if got != "lq" {
		t.Errorf("got %q, want both in the order of their transactions", got)
	}
}

// tail reads the letters of the calls before the horizon.
func tail(t *testing.T, s *store.Store) (letters string) {
	t.Helper()
	horizon, err := s.AuditHorizon(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	rows, err := s.TailAuditCalls(t.Context(), db.TailAuditCallsParams{AfterID: []byte{}, Horizon: horizon, RowLimit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		letters += string(row.ID[:1])
	}
	return letters
}
