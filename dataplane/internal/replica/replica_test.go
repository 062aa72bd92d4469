package replica

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

func TestAppliedIsToldOfWhatServesAlready(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	var served []uint64
	n.config.Applied = func(applied *index) {
		if applied != n.Current() {
			t.Errorf("told of revision %d while %d serves", applied.revision, n.Revision())
		}
		served = append(served, applied.revision)
	}
	first := set(t, 1, "ana")
	_, stop := n.follow(t, p)
	p.send(t, snapshot.FullUpdate(first))
	bad := snapshot.FullUpdate(set(t, 2, "unbuildable"))
	p.send(t, bad)
	stop()
	if !slices.Equal(served, []uint64{1}) {
		t.Errorf("told of revisions %v; want the one that serves", served)
	}
}

// many returns so many names of users, enough for a snapshot in parts.
func many(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%0600d", i)
	}
	return names
}

// TestALargeSnapshotComesAndIsKeptInParts has messages of other kinds come in between.
func TestALargeSnapshotComesAndIsKeptInParts(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	var told atomic.Int64
	n.config.SessionEnded = func([16]byte, time.Time) { told.Add(1) }
	n.config.Build = func(set *snapshot.Set, breathe func()) (*index, error) {
		if set.Revision() == 7 && told.Load() == 0 {
			t.Error("what came between the parts was not heard before the update was applied")
		}
		return build(set, breathe)
	}
	_, stop := n.follow(t, p)
	names := many(1000)
	large := set(t, 7, names...)
	p.between = []*syncv1.SyncResponse{
		{EndedSessions: &syncv1.EndedSessions{Sessions: []*syncv1.EndedSession{{Id: make([]byte, 16), ExpiresAt: timestamppb.New(time.Now().Add(time.Hour))}}}},
		{Part: &syncv1.Part{Nonce: "another", Items: []*snapshotv1.Item{{}}}},
	}
	if answer := p.send(t, snapshot.FullUpdate(large)); answer.GetAck() == nil {
		t.Fatalf("refused: %v", answer)
	}
	if n.Set().Digest() != large.Digest() || p.messages < 10 {
		t.Errorf("holds %d items out of %d messages; want %d out of many", n.Set().Len(), p.messages, len(names))
	}
	p.between = nil
	larger := set(t, 8, append(many(2000), "eve")...)
	if answer := p.send(t, snapshot.DeltaUpdate(large, larger)); answer.GetAck() == nil {
		t.Fatalf("a delta in parts is refused: %v", answer)
	}
	stop()
	again := newNode(t, n.dir)
	if err := again.Load(); err != nil {
		t.Fatal(err)
	}
	if again.Set() == nil || again.Set().Digest() != larger.Digest() {
		t.Error("what is read from disk is another set")
	}
}

// TestPartsThatAreNotTheUpdatesOwnAreNotApplied leaves out the first message, or takes it from elsewhere.
func TestPartsThatAreNotTheUpdatesOwnAreNotApplied(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	_, stop := n.follow(t, p)
	defer stop()
	for name, change := range map[string]func(messages []*syncv1.SyncResponse) []*syncv1.SyncResponse{
		"one is missing": func(messages []*syncv1.SyncResponse) []*syncv1.SyncResponse { return messages[1:] },
		"one is of another": func(messages []*syncv1.SyncResponse) []*syncv1.SyncResponse {
			messages[0].Part.Items[0] = &snapshotv1.Item{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: "eve"}}}
			return messages
		},
		"all are of another nonce": func(messages []*syncv1.SyncResponse) []*syncv1.SyncResponse {
			for _, message := range messages[:len(messages)-1] {
				message.Part.Nonce = "another"
			}
			return messages
		},
	} {
		p.change = change
		nack := p.send(t, snapshot.FullUpdate(set(t, 7, many(1000)...))).GetNack()
		if !strings.Contains(nack.GetReason(), "digest") || n.Current() != nil {
			t.Errorf("%s: nack %v, serving %v", name, nack, n.Current() != nil)
		}
	}
	p.change = nil
	if p.send(t, snapshot.FullUpdate(set(t, 7, many(1000)...))).GetAck() == nil {
		t.Error("the next good update is refused")
	}
}

func TestFollowAppliesASnapshotAndThenDeltas(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	if n.Current() != nil || n.Revision() != 0 || n.Set() != nil {
		t.Error("a new replica holds something")
	}
	hello, _ := n.follow(t, p)
	if hello.GetEpoch() != "" || hello.GetVersion() != "v1" || hello.GetAddress() != "127.0.0.1:1" {
		t.Errorf("hello = %v", hello)
	}
	one, two := set(t, 5, "ana", "bob"), set(t, 9, "bob", "eve")
	if ack := p.send(t, snapshot.FullUpdate(one)).GetAck(); ack.GetRevision() != 5 {
		t.Fatalf("ack = %v", ack)
	}
	wantServing(t, n, 5, "ana bob ")
	if ack := p.send(t, snapshot.DeltaUpdate(one, two)).GetAck(); ack.GetRevision() != 9 {
		t.Fatalf("ack = %v", ack)
	}
	wantServing(t, n, 9, "bob eve ")
}

func TestP09_ABadUpdateIsNackedAndTheLastGoodOneServesOn(t *testing.T) {
	stranger := newPublisher(t)
	tests := map[string]struct {
		update func(*testing.T, *publisher, *snapshot.Set) *syncv1.Update
		reason string
	}{
		"wrong digest": {func(t *testing.T, p *publisher, good *snapshot.Set) *syncv1.Update {
			u := snapshot.DeltaUpdate(good, set(t, 6, "eve"))
			u.Digest[0] ^= 1
			snapshot.Sign(u, p.key)
			return u
		}, "digest"},
		"changed after signing": {func(t *testing.T, p *publisher, good *snapshot.Set) *syncv1.Update {
			u := snapshot.FullUpdate(set(t, 6, "eve"))
			snapshot.Sign(u, p.key)
			u.Revision = 7
			return u
		}, "signature"},
		"signed with another key": {func(t *testing.T, _ *publisher, good *snapshot.Set) *syncv1.Update {
			u := snapshot.FullUpdate(set(t, 6, "eve"))
			snapshot.Sign(u, stranger.key)
			return u
		}, "another key"},
		"not signed": {func(t *testing.T, _ *publisher, good *snapshot.Set) *syncv1.Update {
			return snapshot.FullUpdate(set(t, 6, "eve"))
		}, "key"},
		"cannot be built": {func(t *testing.T, p *publisher, good *snapshot.Set) *syncv1.Update {
			u := snapshot.DeltaUpdate(good, set(t, 6, "unbuildable"))
			snapshot.Sign(u, p.key)
			return u
		}, "user unbuildable cannot be built"},
		"panics when built": {func(t *testing.T, p *publisher, good *snapshot.Set) *syncv1.Update {
			u := snapshot.DeltaUpdate(good, set(t, 6, "panics"))
			snapshot.Sign(u, p.key)
			return u
		}, "user panics"},
		"older": {func(t *testing.T, p *publisher, good *snapshot.Set) *syncv1.Update {
			u := snapshot.FullUpdate(set(t, 4, "eve"))
			snapshot.Sign(u, p.key)
			return u
		}, "never goes back"},
		"delta from elsewhere": {func(t *testing.T, p *publisher, good *snapshot.Set) *syncv1.Update {
			u := snapshot.DeltaUpdate(set(t, 3, "eve"), set(t, 6, "ana"))
			snapshot.Sign(u, p.key)
			return u
		}, "starts at revision 3"},
		"empty": {func(*testing.T, *publisher, *snapshot.Set) *syncv1.Update { return &syncv1.Update{} }, "key"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			p, n := newPublisher(t), newNode(t, t.TempDir())
			_, stop := n.follow(t, p)
			good := set(t, 5, "ana")
			if p.send(t, snapshot.FullUpdate(good)).GetAck() == nil {
				t.Fatal("the good snapshot was refused")
			}
			nack := p.sendRaw(t, test.update(t, p, good)).GetNack()
			if !strings.Contains(nack.GetReason(), test.reason) {
				t.Errorf("nack says %q, want %q in it", nack.GetReason(), test.reason)
			}
			wantServing(t, n, 5, "ana ")

			// The stream goes on, and the next good update is taken.
			if p.send(t, snapshot.DeltaUpdate(good, set(t, 10, "bob"))).GetAck() == nil {
				t.Error("the next good update was refused")
			}
			wantServing(t, n, 10, "bob ")
			stop()
			again := newNode(t, n.dir)
			if err := again.Load(); err != nil {
				t.Fatal(err)
			}
			wantServing(t, again, 10, "bob ")
		})
	}
}

func TestAnUpdateWithoutANonceIsNotApplied(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	n.follow(t, p)
	update := snapshot.FullUpdate(set(t, 1, "ana"))
	snapshot.Sign(update, p.key)
	p.updates <- update
	if p.answer(t).GetNack() == nil || n.Current() != nil {
		t.Error("it was applied")
	}
}

func TestCallsReadWhileUpdatesAreApplied(t *testing.T) {
	p, n := newPublisher(t), newNode(t, t.TempDir())
	n.follow(t, p)
	last := set(t, 1, "user-1")
	p.send(t, snapshot.FullUpdate(last))
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			seen := uint64(0)
			for {
				select {
				case <-stop:
					return
				default:
				}
				current := n.Current()
				if want := fmt.Sprintf("user-%d ", current.revision); current.users != want || current.revision < seen {
					t.Errorf("read %+v after revision %d", current, seen)
					return
				}
				seen = current.revision
			}
		})
	}
	for revision := uint64(2); revision < 50; revision++ {
		next := set(t, revision, fmt.Sprint("user-", revision))
		if p.send(t, snapshot.DeltaUpdate(last, next)).GetAck() == nil {
			t.Fatal("refused")
		}
		last = next
	}
	close(stop)
	readers.Wait()
}
