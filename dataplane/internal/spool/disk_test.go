package spool

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// killed opens a queue, has it accept so many refusals, and leaves it as a process does that is killed.
func killed(t *testing.T, dir string, first, count int) (accepted []*auditv1.Event) {
	t.Helper()
	q := begin(t, Config{Dir: dir})
	accepted = refuse(t, q, first, count)
	die(q)
	return accepted
}

func refuse(t *testing.T, q *Queue, first, count int) (accepted []*auditv1.Event) {
	t.Helper()
	for i := range count {
		event := call(refusal, first+i, 100)
		if err := q.Refusal(event); err != nil {
			t.Fatal(err)
		}
		accepted = append(accepted, event)
	}
	return accepted
}

// rings returns the files of a directory that hold events, or did.
func rings(t *testing.T, dir string) []string {
	t.Helper()
	names, err := fs.Glob(os.DirFS(dir), "*.ring*")
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// handOver opens a queue, pushes all of it to a ledger and closes it in order.
func handOver(t *testing.T, config Config, l *ledger) {
	t.Helper()
	q := begin(t, config)
	stop := push(q, serve(t, l))
	flush(t, q)
	await(t, func() (ended bool) { l.with(func() { ended = slices.Contains(l.epochs, q.Epoch()) }); return ended })
	stop()
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestP01_WhatAKilledProcessAcceptedIsHandedOverByTheNext has a call end, a call run and a call refused when the process
// dies, several times in a row, with nobody there to take anything.
func TestP01_WhatAKilledProcessAcceptedIsHandedOverByTheNext(t *testing.T) {
	dir := t.TempDir()
	var want []*auditv1.Event
	var epochs []uint64
	for life := range 4 {
		q := begin(t, Config{Dir: dir})
		events := []*auditv1.Event{
			call(intent, 10*life, 50), call(intent, 10*life+1, 50), call(result, 10*life, 20), call(refusal, 10*life+2, 10),
		}
		ended, err := q.Intent(events[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Intent(events[1]); err != nil {
			t.Fatal(err)
		}
		ended.Result(events[2])
		if err := q.Refusal(events[3]); err != nil {
			t.Fatal(err)
		}
		if d := q.Depth(); d.Events != 4*(life+1) || d.Reserved != 1 || d.Oldest <= 0 {
			t.Errorf("life %d: depth %+v", life, d)
		}
		want, epochs = append(want, events...), append(epochs, q.Epoch())
		die(q)
	}

	l := &ledger{}
	handOver(t, Config{Dir: dir}, l)

	sameIDs(t, l.events(t), want)
	// The new epoch ends the last: who has no result gets none.
	l.with(func() {
		if len(l.epochs) != 5 || !slices.Equal(l.epochs[:4], epochs) {
			t.Errorf("the ledger saw epochs %x, want %x and a new one", l.epochs, epochs)
		}
	})
	if left := rings(t, dir); len(left) != 0 {
		t.Errorf("after everything is acked and the queue closed, there are %v", left)
	}
}

// TestWhatIsAckedIsNotSentAgainByTheNextProcess kills a process that has handed over a part.
func TestWhatIsAckedIsNotSentAgainByTheNextProcess(t *testing.T) {
	dir, l := t.TempDir(), &ledger{}
	client := serve(t, l)
	q := begin(t, Config{Dir: dir})
	want := refuse(t, q, 0, 700)
	stop := push(q, client)
	flush(t, q)
	stop()
	want = append(want, refuse(t, q, 700, 3)...)
	die(q)

	handOver(t, Config{Dir: dir}, l)
	sameIDs(t, l.events(t), want)
	l.with(func() {
		if l.duplicates != 0 {
			t.Errorf("%d records were sent again", l.duplicates)
		}
	})
}

// TestAnAckThatIsNotOnTheDiskOnlyCostsSendingAgain takes both checkpoints away: the ledger says what it has.
func TestAnAckThatIsNotOnTheDiskOnlyCostsSendingAgain(t *testing.T) {
	dir, l := t.TempDir(), &ledger{}
	q := begin(t, Config{Dir: dir})
	want := refuse(t, q, 0, 50)
	stop := push(q, serve(t, l))
	flush(t, q)
	stop()
	want = append(want, refuse(t, q, 50, 5)...)
	clear(q.ring.memory.bytes[slotAt : slotAt+2*slotLen])
	die(q)

	handOver(t, Config{Dir: dir}, l)
	sameIDs(t, l.events(t), want)
}

// TestHalfARecordIsNone ends a process while it writes: nobody was promised that record.
func TestHalfARecordIsNone(t *testing.T) {
	for cut := range int(recordLen(200)) {
		dir, l := t.TempDir(), &ledger{}
		q := begin(t, Config{Dir: dir, Bytes: 10_000})
		want := refuse(t, q, 0, 3)
		end := q.ring.head.offset
		refuse(t, q, 3, 1)
		clear(q.ring.records[end+cut : q.ring.head.offset])
		whole := cut >= q.ring.head.offset-end-align // The rest is padding, perhaps.
		die(q)
		handOver(t, Config{Dir: dir, Bytes: 10_000}, l)
		if got := l.events(t); !whole {
			sameIDs(t, got, want)
		}
		if end+cut+1 >= q.ring.head.offset {
			return
		}
	}
}

// TestP03_AHoleIsShownAndWhatIsBehindItIsHandedOver takes a page out of the middle, as a machine does that loses power.
func TestP03_AHoleIsShownAndWhatIsBehindItIsHandedOver(t *testing.T) {
	var log bytes.Buffer
	dir, l := t.TempDir(), &ledger{gaps: true}
	q := begin(t, Config{Dir: dir})
	want := refuse(t, q, 0, 100)
	var from, to position
	for p := (position{}); p.sequence < 60; {
		found, _ := q.ring.next(p)
		if p = found.end; p.sequence == 40 {
			from = p
		}
		to = p
	}
	clear(q.ring.records[from.offset:to.offset])
	die(q)

	config := Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))}
	handOver(t, config, l)
	handOver(t, config, l) // Nothing is left.
	sameIDs(t, l.events(t), append(want[:40:40], want[60:]...))
	l.with(func() {
		if len(l.epochs) != 4 || l.epochs[0] != q.Epoch() {
			t.Fatalf("epochs %x", l.epochs)
		}
		if behind := l.records[l.epochs[1]]; len(behind) != 60 || behind[19] != nil || behind[20] == nil {
			t.Errorf("behind the hole there are %d records, and the hole has not the 20 that are missing", len(behind))
		}
	})
	if !strings.Contains(log.String(), "missing=20 found=40") {
		t.Errorf("log: %s", log.String())
	}
}

// TestAFileThatIsNoQueueIsPutAside keeps it for people, and starts.
func TestAFileThatIsNoQueueIsPutAside(t *testing.T) {
	var log bytes.Buffer
	dir, l := t.TempDir(), &ledger{}
	want := killed(t, dir, 0, 3)
	for name, content := range map[string]string{"0.ring": "", "1.ring": strings.Repeat("no queue ", 1000)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	handOver(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))}, l)
	sameIDs(t, l.events(t), want)
	if left := rings(t, dir); len(left) != 2 || left[0] != "0.ring.damaged" || left[1] != "1.ring.damaged" {
		t.Errorf("left are %v", left)
	}
	if !strings.Contains(log.String(), "damaged") {
		t.Errorf("log: %s", log.String())
	}
}

// TestP04_WhatEarlierProcessesLeftCountsAgainstTheBound kills a process again and again with nobody there to take its
// events: the disk does not fill, and calls are refused in the end.
func TestP04_WhatEarlierProcessesLeftCountsAgainstTheBound(t *testing.T) {
	dir, l := t.TempDir(), &ledger{}
	config := Config{Dir: dir, Bytes: 200_000}
	var want []*auditv1.Event
	lives := 0
	for full := false; !full; lives++ {
		if lives > 100 {
			t.Fatal("it never becomes full")
		}
		q := begin(t, config)
		for i := 0; i < 50 && !full; i++ {
			event := call(refusal, len(want), 100)
			if full = q.Refusal(event) != nil; !full {
				want = append(want, event)
			}
		}
		die(q)
	}
	if lives < 5 {
		t.Fatalf("full after %d lives: this holds vacuously", lives)
	}
	size := int64(0)
	for _, name := range rings(t, dir) {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	// The last one, and what the others hold.
	if most := 2*config.Bytes + maxRecord + int64(lives+1)*pageLen; size > most {
		t.Errorf("the files of %d lives have %d bytes, more than %d", lives, size, most)
	}
	handOver(t, config, l)
	sameIDs(t, l.events(t), want)
}

func TestAQueueIsOfOneProcess(t *testing.T) {
	dir := t.TempDir()
	begin(t, Config{Dir: dir})
	_, err := Open(Config{Dir: dir})
	if fault.KindOf(err) != fault.Precondition || !strings.Contains(fault.Text(err), "another node runs with this data directory (pid ") {
		t.Errorf("a second queue in the directory: %v", err)
	}
}

func TestAnOrderlyEndKeepsWhatNobodyTook(t *testing.T) {
	var log bytes.Buffer
	dir, l := t.TempDir(), &ledger{}
	q := begin(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
	want := refuse(t, q, 0, 7)
	if err := q.Flush(t.Context(), time.Millisecond); err != nil {
		t.Errorf("Flush: %v", err)
	}
	if !strings.Contains(log.String(), "waits on the disk") || !strings.Contains(log.String(), "events=7") {
		t.Errorf("log: %s", log.String())
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if err := q.Refusal(call(refusal, 8, 0)); !errors.Is(err, errClosed) {
		t.Errorf("a closed queue took an event: %v", err)
	}
	handOver(t, Config{Dir: dir}, l)
	sameIDs(t, l.events(t), want)
}

// TestP04_ADiskWithoutRoomIsNoticedAtTheStart asks for more than there is anywhere.
func TestP04_ADiskWithoutRoomIsNoticedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(Config{Dir: dir, Bytes: 1 << 45})
	if fault.KindOf(err) != fault.Precondition || !strings.Contains(fault.Text(err), "--audit-queue-bytes") || !strings.Contains(fault.Text(err), dir) {
		t.Fatalf("an enormous queue: %v", err)
	}
	if left := rings(t, dir); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
	begin(t, Config{Dir: dir}) // The directory is free.
}

// TestP04_ADiskThatFailsDeniesCalls takes the file's pages away, as a disk does that cannot read them: a call is denied, and
// the process lives.
func TestP04_ADiskThatFailsDeniesCalls(t *testing.T) {
	var log bytes.Buffer
	q := begin(t, Config{Dir: t.TempDir(), Log: slog.New(slog.NewTextHandler(&log, nil))})
	ticket, err := q.Intent(call(intent, 1, 10))
	if err != nil {
		t.Fatal(err)
	}
	if err := q.ring.memory.file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Intent(call(intent, 2, 10)); fault.KindOf(err) != fault.Unavailable || !errors.Is(err, errDisk) || q.Err() == nil {
		t.Errorf("an intent: %v", err)
	}
	if err := q.Refusal(call(refusal, 3, 10)); !errors.Is(err, errDisk) {
		t.Errorf("a refusal: %v", err)
	}
	ticket.Result(call(result, 1, 0))
	if !strings.Contains(log.String(), "the result of a call is lost") {
		t.Errorf("log: %s", log.String())
	}
	if err := q.Flush(t.Context(), time.Millisecond); err == nil {
		t.Error("Flush does not say that events are lost")
	}
	if err := q.Push(t.Context(), serve(t, &ledger{})); !errors.Is(err, errDisk) {
		t.Errorf("Push = %v", err)
	}
}

// TestARingGoesRoundItsEnd has far more pass through a queue than its file has room for.
func TestARingGoesRoundItsEnd(t *testing.T) {
	dir, l := t.TempDir(), &ledger{}
	client := serve(t, l)
	config := Config{Dir: dir, Bytes: 50_000, Linger: time.Microsecond}
	q := begin(t, config)
	var want []*auditv1.Event
	stop := push(q, client)
	for i, rounds, last := 0, 0, 0; rounds < 5; i++ {
		event := call(refusal, i, i%3000)
		await(t, func() bool { return q.Refusal(event) == nil })
		want = append(want, event)
		if last > q.ring.head.offset {
			rounds++
		}
		last = q.ring.head.offset
	}
	stop()
	die(q)
	handOver(t, config, l)
	sameIDs(t, l.events(t), want)
}

// FuzzWhatADiskMayHold opens what somebody wrote over a ring: it neither crashes nor hands over what no process wrote.
func FuzzWhatADiskMayHold(f *testing.F) {
	f.Add(0, []byte("x"))
	f.Add(slotAt, make([]byte, 2*slotLen))
	f.Add(slotAt+8, []byte{255, 255, 255, 255})
	f.Add(pageLen, []byte{255, 255, 255, 255, 0, 0, 0, 0})
	f.Add(pageLen+500, make([]byte, 400))
	f.Fuzz(func(t *testing.T, at int, over []byte) {
		dir, l := t.TempDir(), &ledger{gaps: true}
		q, err := Open(Config{Dir: dir, Bytes: 30_000})
		if err != nil {
			t.Fatal(err)
		}
		want := refuse(t, q, 0, 40)
		if at < 0 || at > len(q.ring.memory.bytes) {
			at = 0
		}
		copy(q.ring.memory.bytes[at:], over)
		die(q)
		handOver(t, Config{Dir: dir, Bytes: 30_000}, l)
		for _, got := range l.events(t) {
			for len(want) > 0 && !bytes.Equal(want[0].CallId, got.CallId) {
				want = want[1:]
			}
			if len(want) == 0 {
				t.Fatalf("call %s was not accepted, or comes twice", got.CallId)
			}
			want = want[1:]
		}
	})
}
