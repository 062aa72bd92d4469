package feed_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/feed"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
)

// change takes a revision.
func change(t *testing.T, s *store.Store, name string) uint64 {
	t.Helper()
	revision, err := s.Change(t.Context(), "test", func(tx *store.Tx) error {
		tx.Record("application.create", name, nil)
		_, err := tx.InsertApplication(t.Context(), name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// start runs a feed until the test ends.
func start(t *testing.T, c feed.Config) *feed.Feed {
	t.Helper()
	f := feed.New(c)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return f
}

func await(t *testing.T, f *feed.Feed, after uint64) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	revision, err := f.Wait(ctx, after)
	if err != nil {
		t.Fatalf("wait for a revision above %d: %v", after, err)
	}
	return revision
}

// The poll is so slow that only the notification can have woken.
func TestNotificationWakes(t *testing.T) {
	s := storetest.New(t)
	f := start(t, feed.Config{Store: s, Poll: time.Hour})
	change(t, s, "a")
	// The first may still have been read at the start; the second was not there.
	await(t, f, 0)
	want := change(t, s, "b")
	if got := await(t, f, want-1); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}

// The database never notifies on the channel that is listened to.
func TestPollFindsWhatWasNotNotified(t *testing.T) {
	s := storetest.New(t)
	f := start(t, feed.Config{Store: s, Poll: 20 * time.Millisecond})
	var revision int64
	err := s.InTx(t.Context(), func(tx *store.Tx) (err error) {
		revision, err = tx.AdvanceRevision(t.Context())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := await(t, f, 0); got != uint64(revision) {
		t.Errorf("got %d, want %d", got, revision)
	}
}

func TestWaitGivesTheLatestAndNoQueue(t *testing.T) {
	s := storetest.New(t)
	f := start(t, feed.Config{Store: s, Poll: 20 * time.Millisecond})
	var last uint64
	for i := range 5 {
		last = change(t, s, fmt.Sprintf("a%d", i))
	}
	await(t, f, last-1)
	if got := await(t, f, 0); got != last {
		t.Errorf("a late reader got %d, want the latest, %d", got, last)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	f := feed.New(feed.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Wait(ctx, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
}

func TestListenerReconnectsAfterItsConnectionBreaks(t *testing.T) {
	c := storetest.Config(t)
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	// A poll of a second paces the reconnection; it would also find the revision,
	// so the proof is that a backend listens again.
	f := start(t, feed.Config{Store: s, Poll: 50 * time.Millisecond})
	await(t, f, change(t, s, "a")-1)
	first := listener(t, s, 0)
	if _, err := s.Pool().Exec(t.Context(), "SELECT pg_terminate_backend($1)", first); err != nil {
		t.Fatal(err)
	}
	if second := listener(t, s, first); second == first {
		t.Error("the same backend listens")
	}
	want := change(t, s, "b")
	if got := await(t, f, want-1); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
}

// listener waits for a backend other than not that listens, and returns its pid.
func listener(t *testing.T, s *store.Store, not int32) int32 {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		var pid int32
		err := s.Pool().QueryRow(t.Context(), `SELECT pid FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE 'LISTEN%' AND state = 'idle' AND pid <> $1`, not).Scan(&pid)
		if err == nil {
			return pid
		}
		select {
		case <-deadline:
			t.Fatalf("nobody listens: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func TestFollowAppliesEachRevisionAndTriesAgainAfterAnError(t *testing.T) {
	s := storetest.New(t)
	f := start(t, feed.Config{Store: s, Poll: 10 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	applied := make(chan uint64, 100)
	var failed bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Follow(ctx, 0, func(ctx context.Context) (uint64, error) {
			if !failed {
				failed = true
				return 0, errors.New("not now")
			}
			position, err := s.GetRevision(ctx)
			applied <- uint64(position.Revision)
			return uint64(position.Revision), err
		})
	}()
	want := change(t, s, "a")
	if got := receive(t, applied); got != want {
		t.Errorf("applied %d, want %d", got, want)
	}
	want = change(t, s, "b")
	if got := receive(t, applied); got != want {
		t.Errorf("applied %d, want %d", got, want)
	}
	cancel()
	<-done
}

func TestFollowReconcilesAlthoughNothingChanged(t *testing.T) {
	f := feed.New(feed.Config{Reconcile: 10 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	calls := make(chan uint64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Follow(ctx, 7, func(context.Context) (uint64, error) {
			select {
			case calls <- 7:
			case <-ctx.Done():
			}
			return 7, nil
		})
	}()
	receive(t, calls)
	receive(t, calls)
	cancel()
	<-done
}

func receive(t *testing.T, c <-chan uint64) uint64 {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		return 0
	}
}
