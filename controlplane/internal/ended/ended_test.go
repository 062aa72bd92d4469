package ended

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/fault"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// begin is when the tests' clocks begin.
var begin = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// list returns a list at a time that the test moves.
func list(t *testing.T, s *store.Store, limit int) (*List, *time.Time) {
	t.Helper()
	now := begin
	l := New(Config{Store: s, Limit: limit})
	l.now = func() time.Time { return now }
	return l, &now
}

// session returns one that ends after d.
func session(id string, d time.Duration) *syncv1.EndedSession {
	return &syncv1.EndedSession{Id: fmt.Appendf(nil, "%-16s", id), ExpiresAt: timestamppb.New(begin.Add(d))}
}

func end(t *testing.T, l *List, sessions ...*syncv1.EndedSession) {
	t.Helper()
	if err := l.End(t.Context(), sessions); err != nil {
		t.Fatal(err)
	}
}

// read returns the ids behind a position, and how far they go.
func read(t *testing.T, l *List, position uint64) (ids []string, next uint64) {
	t.Helper()
	for {
		sessions, next, err := l.After(t.Context(), position)
		if err != nil {
			t.Fatal(err)
		}
		if next == position {
			return ids, position
		}
		position = next
		for _, s := range sessions {
			ids = append(ids, string(s.GetId()))
		}
	}
}

func wantIDs(t *testing.T, got []string, want ...string) {
	t.Helper()
	for i := range want {
		want[i] = fmt.Sprintf("%-16s", want[i])
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReplicasHearOfSessionsThatEndedAtAnother(t *testing.T) {
	s := storetest.New(t)
	one, other := New(Config{Store: s}), New(Config{Store: s})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { other.Run(ctx) })
	defer running.Wait()
	defer cancel()
	now := time.Now()
	for _, l := range []*List{one, other} {
		l.now = func() time.Time { return now }
	}
	told := func(id string) *syncv1.EndedSession {
		return &syncv1.EndedSession{Id: fmt.Appendf(nil, "%-16s", id), ExpiresAt: timestamppb.New(now.Add(time.Hour))}
	}
	end(t, one, told("a"), told("b"))
	seen, err := other.Wait(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	got, position := read(t, other, 0)
	wantIDs(t, got, "a", "b")
	end(t, one, told("c"))
	if _, err := other.Wait(ctx, seen); err != nil {
		t.Fatal(err)
	}
	got, _ = read(t, other, position)
	wantIDs(t, got, "c")
}

func TestASessionThatIsToldTwiceIsKeptOnce(t *testing.T) {
	l, _ := list(t, storetest.New(t), 0)
	end(t, l, session("a", time.Hour))
	end(t, l, session("a", time.Hour), session("a", 2*time.Hour), session("b", time.Hour))
	got, _ := read(t, l, 0)
	wantIDs(t, got, "a", "b")
}

func TestSessionsThatNoNodeCouldHaveSealedArePassedOver(t *testing.T) {
	l, _ := list(t, storetest.New(t), 0)
	short := session("x", time.Hour)
	short.Id = short.Id[:15]
	invalid := session("x", time.Hour)
	invalid.ExpiresAt = &timestamppb.Timestamp{Nanos: -1}
	end(t, l, short, invalid, session("expired", -time.Second), session("now", 0), session("absurd", 8*24*time.Hour+time.Second),
		&syncv1.EndedSession{}, session("longest", 8*24*time.Hour))
	got, _ := read(t, l, 0)
	wantIDs(t, got, "longest")
}

func TestAFullListRefusesAndKeepsWhatItHas(t *testing.T) {
	l, now := list(t, storetest.New(t), 3)
	end(t, l, session("a", time.Hour), session("b", 2*time.Hour))
	if err := l.End(t.Context(), []*syncv1.EndedSession{session("c", time.Hour), session("d", time.Hour)}); !fault.Is(err, fault.Exhausted) {
		t.Errorf("beyond the limit: %v", err)
	}
	got, _ := read(t, l, 0)
	wantIDs(t, got, "a", "b")
	*now = begin.Add(90 * time.Minute)
	if err := l.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	end(t, l, session("e", 3*time.Hour), session("f", 3*time.Hour))
	got, _ = read(t, l, 0)
	wantIDs(t, got, "b", "e", "f")
}

func TestSessionsAreForgottenWhenTheyWouldHaveEnded(t *testing.T) {
	l, now := list(t, storetest.New(t), 0)
	end(t, l, session("a", time.Hour), session("b", 2*time.Hour))
	*now = begin.Add(time.Hour)
	got, position := read(t, l, 0) // Before it is swept.
	wantIDs(t, got, "b")
	if err := l.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, _ = read(t, l, 0)
	wantIDs(t, got, "b")

	// When the latest has gone, or the database was restored, what comes is told.
	*now = begin.Add(2 * time.Hour)
	if err := l.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, position = read(t, l, position+1000)
	if position != 0 {
		t.Errorf("goes on from %d", position)
	}
	end(t, l, session("c", 3*time.Hour))
	got, _ = read(t, l, position)
	wantIDs(t, got, "c")
}

// Who has read up to a position never misses one below it that commits late.
func TestNoSessionIsMissedByWhoReadsWhileOthersWrite(t *testing.T) {
	l, _ := list(t, storetest.New(t), 0)
	const writers, each = 6, 20
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				if err := l.End(t.Context(), []*syncv1.EndedSession{session(fmt.Sprint(w, ".", i), time.Hour)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { writing.Wait(); close(written) }()
	seen := make(map[string]bool)
	var position uint64
	for done := false; !done; {
		select {
		case <-written:
			done = true
		default:
		}
		var ids []string
		ids, position = read(t, l, position)
		for _, id := range ids {
			seen[id] = true
		}
	}
	if len(seen) != writers*each {
		t.Errorf("saw %d of %d", len(seen), writers*each)
	}
}

func TestALongListComesInChunks(t *testing.T) {
	l, _ := list(t, storetest.New(t), 0)
	var many []*syncv1.EndedSession
	for i := range 2*chunk + 1 {
		many = append(many, session(fmt.Sprint(i), time.Hour))
	}
	end(t, l, many...)
	first, next, err := l.After(t.Context(), 0)
	if err != nil || len(first) != chunk || next == 0 {
		t.Errorf("first chunk: %d, %d, %v", len(first), next, err)
	}
	if all, _ := read(t, l, 0); len(all) != len(many) {
		t.Errorf("%d of %d", len(all), len(many))
	}
}
