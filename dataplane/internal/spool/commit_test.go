package spool

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// machine is what a queue's file stands on: it knows what of it is certainly on the disk.
type machine struct {
	file  string
	ended func() // unless nil, called when a sync has ended, before anybody hears of it
	safe  []byte // the file as it was when the last sync that ended began
}

// disk is Config.Disk.
func (m *machine) disk(t *testing.T) func(func() error) error {
	return func(sync func() error) error {
		before, err := os.ReadFile(m.file)
		if err != nil {
			t.Error(err)
		}
		err = sync()
		m.safe = before
		if m.ended != nil {
			m.ended()
		}
		return err
	}
}

// losePower returns what the disk may have then: of each page what is safe, or what was written since, as it happens.
func (m *machine) losePower(t *testing.T, chance *rand.Rand) []byte {
	now, err := os.ReadFile(m.file)
	if err != nil || len(now) != len(m.safe) {
		t.Errorf("%d bytes, %d of them safe: %v", len(now), len(m.safe), err)
		return m.safe
	}
	for at := 0; at < len(now); at += pageLen {
		if chance.IntN(2) == 0 {
			copy(now[at:min(at+pageLen, len(now))], m.safe[at:])
		}
	}
	return now
}

// restart returns a directory in which the machine finds its file like that.
func (m *machine) restart(t *testing.T, file []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, filepath.Base(m.file)), file, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestP01_NothingIsMissingInFrontOfWhatWasSynced has a machine lose power with much that was written since. A sync is of the whole
// file, so that the records up to it are one run, under their own epoch, without a hole.
func TestP01_NothingIsMissingInFrontOfWhatWasSynced(t *testing.T) {
	chance := rand.New(rand.NewPCG(1, 2))
	lost := 0
	for range 20 {
		m := &machine{}
		q := begin(t, Config{Dir: t.TempDir(), Bytes: 200_000, Disk: m.disk(t)})
		m.file = q.ring.memory.file.Name()
		for range 3 {
			refuse(t, q, 0, 1+chance.IntN(100))
			if err := q.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		synced := q.ring.head.sequence
		refuse(t, q, 0, 100)
		written := q.ring.head.sequence

		next := begin(t, Config{Dir: m.restart(t, m.losePower(t, chance))})
		own := next.tails[0]
		if own.epoch != q.Epoch() || own.acked.sequence != 0 || own.end.sequence < synced {
			t.Fatalf("the first run ends at %d, in front of %d", own.end.sequence, synced)
		}
		if own.end.sequence < written {
			lost++
		}
	}
	if lost == 0 {
		t.Error("nothing that was not synced was lost: this holds vacuously")
	}
}

// TestP01_WhatWasSyncedIsHandedOverWheneverPowerIsLost has callers record, results come and a ledger take them now and then, in a
// ring that goes round its end, until the machine loses power at the end of some sync.
func TestP01_WhatWasSyncedIsHandedOverWheneverPowerIsLost(t *testing.T) {
	promised := 0
	for seed := range uint64(12) {
		promised += recordUntilPowerIsLost(t, rand.New(rand.NewPCG(seed, 1)))
	}
	if promised < 300 {
		t.Errorf("only %d intents were promised: this holds vacuously", promised)
	}
}

// recordUntilPowerIsLost returns how many intents were promised until then.
func recordUntilPowerIsLost(t *testing.T, chance *rand.Rand) int {
	m, l := &machine{}, &ledger{}
	q := begin(t, Config{Dir: t.TempDir(), Bytes: 40_000, BatchEvents: 20, Linger: time.Microsecond, Disk: m.disk(t)})
	m.file = q.ring.memory.file.Name()
	var mu sync.Mutex
	promised, handed := map[string]bool{}, map[string]bool{}
	var over atomic.Bool
	var disk []byte
	var taken []*auditv1.Record
	left := 20 + chance.IntN(80) // syncs
	m.ended = func() {
		if left--; left != 0 {
			return
		}
		mu.Lock() // Nobody is promised anything more.
		defer mu.Unlock()
		disk = m.losePower(t, chance)
		l.with(func() { taken = slices.Clone(l.records[q.Epoch()]) })
		over.Store(true)
	}
	client := serve(t, l)
	var callers sync.WaitGroup
	callers.Go(func() {
		for !over.Load() {
			if q.Depth().Bytes < 30_000 { // A good part is only on the disk at most times.
				time.Sleep(100 * time.Microsecond)
				continue
			}
			ctx, end := context.WithTimeout(t.Context(), 5*time.Millisecond)
			q.Push(ctx, client)
			end()
		}
	})
	for caller := range 4 {
		callers.Go(func() {
			for i := 0; !over.Load(); i++ {
				event := call(intent, caller*1_000_000+i, i%700)
				ticket, err := q.Intent(event)
				if err != nil {
					time.Sleep(time.Millisecond) // It is full.
					continue
				}
				if i%3 == 0 {
					if err := q.Sync(t.Context()); err != nil {
						t.Error(err)
					}
					mu.Lock()
					if !over.Load() {
						promised[string(event.GetCallId())] = true
					}
					mu.Unlock()
				}
				ticket.Result(call(result, caller*1_000_000+i, 10))
			}
		})
	}
	callers.Wait()

	after := &ledger{gaps: true}
	handOver(t, Config{Dir: m.restart(t, disk)}, after)
	events := after.events(t)
	for _, record := range taken {
		events = append(events, decode(t, record))
	}
	for _, event := range events {
		if event.GetKind() == intent {
			handed[string(event.GetCallId())] = true
		}
	}
	for id := range promised {
		if !handed[id] {
			t.Errorf("the intent of call %s is lost, of %d that were promised", id, len(promised))
		}
	}
	return len(promised)
}

// TestWhoComesDuringASyncIsCoveredByTheNext: those may have been too late for it, and one more is enough for all of them.
func TestWhoComesDuringASyncIsCoveredByTheNext(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		begun, goOn := 0, make(chan struct{})
		q := begin(t, Config{Dir: dir, Disk: func(func() error) error { begun++; <-goOn; return nil }})
		var returned atomic.Int32
		wait := func() {
			if err := q.Sync(t.Context()); err != nil {
				t.Error(err)
			}
			returned.Add(1)
		}
		go wait()
		synctest.Wait()
		for range 50 {
			go wait()
		}
		for _, want := range []int32{0, 1, 51} {
			synctest.Wait()
			if got := returned.Load(); got != want {
				t.Errorf("%d callers go on, want %d", got, want)
			}
			if want < 51 {
				goOn <- struct{}{}
			}
		}
		if begun != 2 || q.Syncs() != 2 {
			t.Errorf("%d syncs began and %d ended, want 2", begun, q.Syncs())
		}
	})
}

// TestACallThatGivesUpDoesNotWaitForTheDisk: its client is gone, or the disk answers nobody. Who reads goes on meanwhile.
func TestACallThatGivesUpDoesNotWaitForTheDisk(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		goOn := make(chan struct{})
		var log strings.Builder
		q := begin(t, Config{
			Dir: dir, SyncTime: time.Minute, Disk: func(func() error) error { <-goOn; return nil }, Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		gone, began := errors.New("the client is gone"), time.Now()
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(gone) })
		if err := q.Sync(ctx); !errors.Is(err, gone) || time.Since(began) != time.Second {
			t.Errorf("Sync = %v after %v", err, time.Since(began))
		}
		if err := q.Sync(t.Context()); fault.KindOf(err) != fault.Unavailable || time.Since(began) != time.Minute+time.Second {
			t.Errorf("Sync = %v after %v", err, time.Since(began))
		}
		// It is known by now. Who comes next holds nothing for a minute more, and it is said that the disk hangs.
		if err := q.Sync(t.Context()); fault.KindOf(err) != fault.Unavailable || time.Since(began) != time.Minute+time.Second {
			t.Errorf("Sync = %v after %v", err, time.Since(began))
		}
		if err := q.Err(); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("Err = %v", err)
		}
		if said := strings.Count(log.String(), "the disk does not answer"); said != 1 {
			t.Errorf("of two calls the log says %d times: %s", said, log.String())
		}
		refuse(t, q, 0, 1)
		close(goOn) // What is late is no failure.
		synctest.Wait()
		if err := q.Sync(t.Context()); err != nil || q.Err() != nil {
			t.Errorf("Sync = %v, Err = %v", err, q.Err())
		}
	})
}

// TestP04_AfterASyncThatFailedCallsAreDenied, since the system would say of the next that it did not fail. Who runs has a
// result, and all of it is handed over: it is in memory.
func TestP04_AfterASyncThatFailedCallsAreDenied(t *testing.T) {
	l, tries, failure := &ledger{}, 0, errors.New("input/output error")
	q := begin(t, Config{Dir: t.TempDir(), Disk: func(func() error) error {
		if tries++; tries > 1 {
			return nil
		}
		return failure
	}})
	ticket, err := q.Intent(call(intent, 1, 10))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := q.Sync(t.Context()); !errors.Is(err, failure) || !strings.Contains(fault.Text(err), "cannot be brought to the disk") {
			t.Errorf("Sync = %v", err)
		}
	}
	if tries != 1 {
		t.Errorf("the disk was asked %d times", tries)
	}
	if _, err := q.Intent(call(intent, 2, 10)); !errors.Is(err, failure) {
		t.Errorf("an intent: %v", err)
	}
	if err := q.Refusal(call(refusal, 3, 10)); !errors.Is(err, failure) || !errors.Is(q.Err(), failure) {
		t.Errorf("a refusal: %v; Err = %v", err, q.Err())
	}
	ticket.Result(call(result, 1, 0))
	keepPushing(t, q, serve(t, l))
	flush(t, q)
	if n := len(l.events(t)); n != 2 {
		t.Errorf("%d events were handed over, want the intent and its result", n)
	}
}

// TestASyncIsOfTheFile has the system refuse it.
func TestASyncIsOfTheFile(t *testing.T) {
	q := begin(t, Config{Dir: t.TempDir()})
	refuse(t, q, 0, 1)
	if err := q.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	file := q.ring.memory.file
	closed, err := os.Open(file.Name())
	if err == nil {
		err = closed.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	q.ring.memory.file = closed
	defer func() { q.ring.memory.file = file }()
	if err := q.Sync(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Sync = %v", err)
	}
}

// TestAQueueInMemoryIsNeverSynced: it ends with the process anyway.
func TestAQueueInMemoryIsNeverSynced(t *testing.T) {
	q := begin(t, Config{Disk: func(func() error) error { return errors.New("there is none") }})
	refuse(t, q, 0, 1)
	if err := q.Sync(t.Context()); err != nil {
		t.Error(err)
	}
}
