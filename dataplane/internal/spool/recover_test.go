package spool

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// TestAFileThatWasStillBeingMadeIsNoQueue leaves what a process leaves that is killed while it makes its ring: neither a loss
// is reported, nor does the disk fill.
func TestAFileThatWasStillBeingMadeIsNoQueue(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "1-1"+suffix+unfinished), make([]byte, 100_000), 0o600); err != nil {
		t.Fatal(err)
	}
	q := begin(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	if left := rings(t, dir); len(left) != 1 || left[0] != filepath.Base(q.ring.memory.file.Name()) || log.Len() > 0 {
		t.Errorf("there are %v; log: %s", left, log.String())
	}
}

// TestP03_AHoleRightBehindWhatIsAckedIsTheSameAtEveryStart has a ring that goes round its end, and loses what is in front of
// that. Each start cuts the file, and must not forget how far acks had come: what the records behind the hole are numbered by.
func TestP03_AHoleRightBehindWhatIsAckedIsTheSameAtEveryStart(t *testing.T) {
	dir, l := t.TempDir(), &ledger{gaps: true}
	config := Config{Dir: dir, Bytes: 50_000}
	q := begin(t, config)
	client := serve(t, l)
	stop := push(q, client)
	var want []*auditv1.Event
	for q.ring.head.offset < len(q.ring.records)-5_000 {
		event := call(refusal, len(want), 100)
		await(t, func() bool { return q.Refusal(event) == nil })
		want = append(want, event)
	}
	flush(t, q)
	stop()
	acked, before := q.ring.head, len(want)
	for q.ring.head.offset >= acked.offset {
		refuse(t, q, len(want), 1)
		want = append(want, nil)
	}
	first := len(want) // of those behind the end, but one
	want = append(want[:before], call(refusal, first-1, 100))
	want = append(want, refuse(t, q, first, 20)...)
	clear(q.ring.records[acked.offset:])
	die(q)

	config.BatchEvents = 2
	for range 3 {
		pushALittle(t, config, l)
	}
	handOver(t, config, l)
	sameIDs(t, l.events(t), want)
}

// TestP03_AHoleAtTheBeginningIsShown loses the first records of a process, of which nothing was acked yet.
func TestP03_AHoleAtTheBeginningIsShown(t *testing.T) {
	var log bytes.Buffer
	dir, l := t.TempDir(), &ledger{gaps: true}
	q := begin(t, Config{Dir: dir})
	refuse(t, q, 0, 5)
	end := q.ring.head.offset
	want := refuse(t, q, 5, 5)
	clear(q.ring.records[:end])
	die(q)

	// It is killed again when a part is acked.
	config := Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil)), BatchEvents: 2}
	pushALittle(t, config, l)
	handOver(t, config, l)
	sameIDs(t, l.events(t), want)
	l.with(func() {
		if len(l.epochs) != 2 {
			t.Errorf("epochs %x; want that behind the hole and a new one", l.epochs)
		}
	})
	if !strings.Contains(log.String(), "missing=5 found=5") {
		t.Errorf("log: %s", log.String())
	}
}

// pushALittle has a process hand over two batches and die.
func pushALittle(t *testing.T, config Config, l *ledger) {
	t.Helper()
	config.Window = 1
	q := begin(t, config)
	defer die(q)
	l.with(func() { l.behave = func(batch int) behaviour { return behaviour{hangUp: batch == 2} } })
	defer l.with(func() { l.behave = nil })
	if err := q.Push(t.Context(), serve(t, l)); err == nil || q.Depth().Events == 0 {
		t.Fatalf("Push = %v, and %+v", err, q.Depth())
	}
}

// TestWhatLooksLikeARecordInsideOfAnEventIsNone has somebody write records into an event, which his server could as an error
// text: by all that a ring has, and, where the event itself is half, by all but its secret.
func TestWhatLooksLikeARecordInsideOfAnEventIsNone(t *testing.T) {
	for name, half := range map[string]bool{"of a whole record": false, "of half a record": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			q := begin(t, Config{Dir: dir})
			refuse(t, q, 0, 3)
			forger := &ring{epoch: q.ring.epoch, secret: q.ring.secret, memory: inMemory(pageLen + 1000), head: position{sequence: 90}}
			if half {
				forger.secret++
			}
			forger.records = forger.memory.bytes[pageLen:]
			text := []byte("nobody did this")
			if err := forger.append(text, checksum(text), time.Now()); err != nil {
				t.Fatal(err)
			}
			offset := q.ring.head.offset
			if _, err := q.accept(forger.records, 0, q.config.Bytes); err != nil {
				t.Fatal(err)
			}
			if half {
				q.ring.records[offset]++
			}
			die(q)
			q = begin(t, Config{Dir: dir})
			if n := len(q.tails); n != 2 {
				t.Errorf("there are %d runs, not the one that was left and the new one", n)
			}
		})
	}
}

// TestP04_ARecordThatCannotBeReadAgainDeniesCalls: nothing behind it would leave this process.
func TestP04_ARecordThatCannotBeReadAgainDeniesCalls(t *testing.T) {
	dir, l := t.TempDir(), &ledger{gaps: true}
	q := begin(t, Config{Dir: dir})
	refuse(t, q, 0, 1)
	q.ring.records[headLen]++
	want := refuse(t, q, 1, 4)
	if err := q.Push(t.Context(), serve(t, l)); !errors.Is(err, errDamaged) {
		t.Fatalf("Push = %v", err)
	}
	if err := q.Refusal(call(refusal, 9, 0)); !errors.Is(err, errDamaged) || !errors.Is(q.Err(), errDamaged) {
		t.Errorf("Refusal = %v, Err = %v", err, q.Err())
	}
	die(q)
	handOver(t, Config{Dir: dir}, l)
	sameIDs(t, l.events(t), want)
}

// TestP04_ACheckpointThatCannotBeWrittenDeniesCalls: what is acked must not be overwritten while the disk says that it is
// needed.
func TestP04_ACheckpointThatCannotBeWrittenDeniesCalls(t *testing.T) {
	q := begin(t, Config{Dir: t.TempDir()})
	refuse(t, q, 0, 3)
	l := &ledger{behave: func(int) behaviour {
		if err := q.ring.memory.file.Truncate(0); err != nil {
			t.Error(err)
		}
		return behaviour{}
	}}
	if err := q.Push(t.Context(), serve(t, l)); !errors.Is(err, errDisk) {
		t.Fatalf("Push = %v", err)
	}
	if err := q.Err(); !errors.Is(err, errDisk) {
		t.Errorf("Err = %v", err)
	}
}

// TestAPanicLeavesTheQueueUsable: whoever serves a request recovers from one, and a lock that is held for ever would have
// every call hang.
func TestAPanicLeavesTheQueueUsable(t *testing.T) {
	q := begin(t, Config{})
	ticket, err := q.Intent(call(intent, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	sound := q.ring.memory
	panics := func(do func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Error("it does not panic: this holds vacuously")
			}
			if !q.mu.TryLock() {
				t.Fatal("the lock is held")
			}
			q.mu.Unlock()
		}()
		do()
	}
	q.ring.memory = nil
	panics(func() { _ = q.Refusal(call(refusal, 2, 0)) })
	panics(func() { ticket.Result(call(result, 1, 0)) })
	q.ring.memory = sound
	refuse(t, q, 3, 1)
}

// TestAnAckOfNothingIsNoProgress: each stream begins with one, so that a control plane that fails at every batch would have
// Flush wait for it.
func TestAnAckOfNothingIsNoProgress(t *testing.T) {
	q := begin(t, Config{})
	refuse(t, q, 0, 1)
	q.release(0, 0)
	if began := time.Now().Add(-time.Hour); !q.lastAck(began).Equal(began) {
		t.Error("an ack that covers no event counts as one that does")
	}
}
