package publisher

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// pipe is a stream whose other end the test holds.
type pipe struct {
	grpc.ServerStream
	ctx      context.Context
	requests chan *syncv1.SyncRequest
	updates  chan *syncv1.SyncResponse
}

func (p *pipe) Context() context.Context { return p.ctx }

func (p *pipe) Send(r *syncv1.SyncResponse) error {
	select {
	case p.updates <- r:
		return nil
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

func (p *pipe) Recv() (*syncv1.SyncRequest, error) {
	select {
	case r, open := <-p.requests:
		if !open {
			return nil, io.EOF
		}
		return r, nil
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	}
}

// connect opens a stream of a node. Like gRPC, it ends the stream's context when
// the handler returns.
func connect(t *testing.T, p *Publisher, node string) (*pipe, <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(identity.WithPeer(t.Context(), identity.Peer{Kind: identity.Node, Name: node}))
	s := &pipe{ctx: ctx, requests: make(chan *syncv1.SyncRequest), updates: make(chan *syncv1.SyncResponse)}
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- p.Sync(s)
	}()
	return s, done
}

func newPublisher(t *testing.T, book Book) *Publisher {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Key: key, Book: book, Replica: "test"})
}

func publish(t *testing.T, p *Publisher, revision uint64) {
	t.Helper()
	if err := p.Publish(setAt(t, "e1", revision)); err != nil {
		t.Fatal(err)
	}
}

func hello() *syncv1.SyncRequest {
	return &syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Hello{Hello: &syncv1.Hello{Version: "1.0", Address: "n:1"}}}
}

func ack(nonce string) *syncv1.SyncRequest {
	return &syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Ack{Ack: &syncv1.Ack{Nonce: nonce}}}
}

func nack(nonce, reason string) *syncv1.SyncRequest {
	return &syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Nack{Nack: &syncv1.Nack{Nonce: nonce, Reason: reason}}}
}

// wantEnd waits for the end of a stream and compares its code.
func wantEnd(t *testing.T, done <-chan error, code codes.Code) {
	t.Helper()
	if err := <-done; status.Code(err) != code {
		t.Errorf("stream ended with %v, want %v", err, code)
	}
}

func TestColdPublisherServesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, done := connect(t, newPublisher(t, nil), "n1")
		wantEnd(t, done, codes.Unavailable)
	})
}

func TestNodeThatDoesNotAnswerIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t, nil)
		publish(t, p, 1)
		s, done := connect(t, p, "n1")
		s.requests <- hello()
		<-s.updates
		start := time.Now()
		wantEnd(t, done, codes.ResourceExhausted)
		if waited := time.Since(start); waited != AckTimeout {
			t.Errorf("cut after %v, want %v", waited, AckTimeout)
		}
	})
}

// The consumer is never started, so that the send certainly blocks.
func TestNodeThatDoesNotReadIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t, nil)
		publish(t, p, 1)
		s, done := connect(t, p, "n1")
		s.requests <- hello()
		wantEnd(t, done, codes.ResourceExhausted)
	})
}

func TestAFloodOfStaleAnswersDoesNotKeepANodeAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t, nil)
		publish(t, p, 1)
		s, done := connect(t, p, "n1")
		s.requests <- hello()
		<-s.updates
		var flood sync.WaitGroup
		flood.Go(func() {
			for {
				select {
				case s.requests <- ack("no such nonce"):
					time.Sleep(time.Millisecond)
				case <-s.ctx.Done():
					return
				}
			}
		})
		wantEnd(t, done, codes.ResourceExhausted)
		flood.Wait()
	})
}

func TestNodeThatAnswersIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t, nil)
		publish(t, p, 1)
		s, done := connect(t, p, "n1")
		s.requests <- hello()
		s.requests <- ack((<-s.updates).GetUpdate().GetNonce())
		time.Sleep(10 * AckTimeout)
		publish(t, p, 2)
		s.requests <- ack((<-s.updates).GetUpdate().GetNonce())
		close(s.requests)
		wantEnd(t, done, codes.Unavailable)
		if p.Connected() != 0 {
			t.Error("a follower is left behind")
		}
	})
}

func TestStreamMustBeginWithHelloAndHaveOne(t *testing.T) {
	for name, first := range map[string][]*syncv1.SyncRequest{
		"ack first":  {ack("x")},
		"silence":    nil,
		"two hellos": {hello(), hello()},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPublisher(t, nil)
				publish(t, p, 1)
				s, done := connect(t, p, "n1")
				for _, r := range first {
					s.requests <- r
				}
				wantEnd(t, done, codes.FailedPrecondition)
			})
		})
	}
}

func TestMessageOfUnknownKindEndsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t, nil)
		publish(t, p, 1)
		s, done := connect(t, p, "n1")
		s.requests <- hello()
		s.requests <- new(syncv1.SyncRequest)
		wantEnd(t, done, codes.InvalidArgument)
	})
}

func TestASecondStreamOfANodeTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t, nil)
		publish(t, p, 1)
		first, ended := connect(t, p, "n1")
		first.requests <- hello()
		<-first.updates
		second, _ := connect(t, p, "n1")
		second.requests <- hello()
		wantEnd(t, ended, codes.Aborted)
		second.requests <- ack((<-second.updates).GetUpdate().GetNonce())
		synctest.Wait()
		if p.Connected() != 1 {
			t.Errorf("%d followers, want the second stream's", p.Connected())
		}
		p.Stop()
	})
}

func TestStopEndsEveryStreamAndLetsNoneBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPublisher(t, nil)
		publish(t, p, 1)
		s, done := connect(t, p, "n1")
		s.requests <- hello()
		p.Stop()
		wantEnd(t, done, codes.Unavailable)
		_, late := connect(t, p, "n2")
		wantEnd(t, late, codes.Unavailable)
	})
}

// book remembers what was written of nodes, and can be made to hang.
type book struct {
	mu      sync.Mutex
	log     []string
	current db.UpdateNodeParams
	hang    bool
}

func (b *book) write(ctx context.Context, what string) error {
	b.mu.Lock()
	hang := b.hang
	if !hang {
		b.log = append(b.log, what)
	}
	b.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (b *book) ConnectNode(ctx context.Context, arg db.ConnectNodeParams) error {
	return b.write(ctx, "connect "+arg.Name)
}

func (b *book) UpdateNode(ctx context.Context, arg db.UpdateNodeParams) (int64, error) {
	if err := b.write(ctx, "update"); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current = arg
	return 1, nil
}

func (b *book) AttachAgents(context.Context, string, string, *syncv1.Attached) error { return nil }

func (b *book) DisconnectNode(ctx context.Context, arg db.DisconnectNodeParams) error {
	return b.write(ctx, "disconnect "+arg.Name)
}

func TestNodeRowsFollowTheFollower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(book)
		p := newPublisher(t, b)
		publish(t, p, 1)
		s, done := connect(t, p, "n1")
		s.requests <- hello()
		s.requests <- ack((<-s.updates).GetUpdate().GetNonce())
		synctest.Wait()
		if b.current.Revision != 1 || b.current.Refusal != "" {
			t.Errorf("after ack: %+v", b.current)
		}
		publish(t, p, 2)
		s.requests <- nack((<-s.updates).GetUpdate().GetNonce(), "bad\x00rule")
		synctest.Wait()
		if b.current.Revision != 1 || b.current.Refusal != "bad rule" {
			t.Errorf("after nack: %+v", b.current)
		}
		close(s.requests)
		<-done
		if last := b.log[len(b.log)-1]; b.log[0] != "connect n1" || last != "disconnect n1" {
			t.Errorf("log: %q", b.log)
		}
	})
}

// The database is not in the way of the stream.
func TestAStreamOutlivesTheDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &book{hang: true}
		p := newPublisher(t, b)
		publish(t, p, 1)
		s, done := connect(t, p, "n1")
		s.requests <- hello()
		for revision := uint64(2); revision < 20; revision++ {
			s.requests <- ack((<-s.updates).GetUpdate().GetNonce())
			publish(t, p, revision)
		}
		<-s.updates
		close(s.requests)
		if err := <-done; errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("stream ended with %v", err)
		}
	})
}

// denying returns a set in which users are denied, and as many roles as its revision:
// each set changes more than denials.
func denying(t *testing.T, revision uint64, names ...string) *snapshot.Set {
	t.Helper()
	var items []*snapshotv1.Item
	for _, name := range names {
		items = append(items, &snapshotv1.Item{Kind: &snapshotv1.Item_Deny{Deny: &snapshotv1.Deny{Kind: snapshotv1.DenyKind_DENY_KIND_USER, Name: name}}})
	}
	for i := range revision {
		items = append(items, &snapshotv1.Item{Kind: &snapshotv1.Item_Role{Role: &snapshotv1.Role{Name: fmt.Sprint("r", i)}}})
	}
	set, err := snapshot.New("e1", revision, items)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// publishing returns what publishes a set that denies these users.
func publishing(t *testing.T, p *Publisher) func(revision uint64, names ...string) {
	return func(revision uint64, names ...string) {
		t.Helper()
		if err := p.Publish(denying(t, revision, names...)); err != nil {
			t.Fatal(err)
		}
	}
}

// A revocation that comes in one update with what takes a node long to index does not
// wait for that: it goes first, and with it only what the node has not yet.
func TestWhatAnUpdateDeniesGoesBeforeIt(t *testing.T) {
	p := newPublisher(t, nil)
	put := func(set *snapshot.Set) {
		t.Helper()
		if err := p.Publish(set); err != nil {
			t.Fatal(err)
		}
	}
	put(denying(t, 1, "old"))
	s, _ := connect(t, p, "edge")
	s.requests <- hello()
	first := (<-s.updates).GetUpdate()
	if first == nil {
		t.Fatal("a node that has nothing gets something else than all")
	}
	s.requests <- ack(first.GetNonce())
	put(denying(t, 2, "old", "ana"))
	// With old as well if the publisher has not heard the answer yet.
	if got := (<-s.updates).GetDenials().GetDenies(); len(got) == 0 || got[0].GetName() != "ana" {
		t.Fatalf("before the update comes %v", got)
	}
	next := (<-s.updates).GetUpdate()
	if next.GetRevision() != 2 || next.GetDelta() == nil {
		t.Errorf("behind them comes %v", next)
	}
	s.requests <- ack(next.GetNonce())
	put(denying(t, 3, "ana")) // One less is no news to go first.
	if next := (<-s.updates).GetUpdate(); next.GetRevision() != 3 {
		t.Errorf("an update that denies nothing new: %v", next)
	}
}

// What goes ahead takes the place of what went ahead before: a second revocation must
// not lift the first one while the node still indexes the update that has it.
func TestASecondRevocationKeepsTheFirstOneAhead(t *testing.T) {
	p := newPublisher(t, nil)
	put := publishing(t, p)
	put(1, "old")
	s, _ := connect(t, p, "edge")
	s.requests <- hello()
	s.requests <- ack((<-s.updates).GetUpdate().GetNonce())
	put(2, "old", "ana")
	<-s.updates // ana goes before
	if (<-s.updates).GetUpdate().GetRevision() != 2 {
		t.Fatal("the update does not follow")
	}
	put(3, "old", "ana", "bob")
	if got := (<-s.updates).GetDenials().GetDenies(); len(got) != 2 || got[0].GetName() != "ana" || got[1].GetName() != "bob" {
		t.Errorf("ahead comes %v; want ana, whom the node does not deny by a set of its own yet, and bob", got)
	}
}

// Who is let in again by the update under way and shut out by the one behind it is shut
// out all the while, although the set that the node serves denies him too.
func TestWhatIsDeniedAgainIsDeniedAllTheWhile(t *testing.T) {
	p := newPublisher(t, nil)
	put := publishing(t, p)
	put(1, "ana")
	s, _ := connect(t, p, "edge")
	s.requests <- hello()
	s.requests <- ack((<-s.updates).GetUpdate().GetNonce())
	put(2)
	if (<-s.updates).GetUpdate().GetRevision() != 2 {
		t.Fatal("what lifts a denial does not go as an update")
	}
	put(3, "ana")
	if got := (<-s.updates).GetDenials().GetDenies(); len(got) != 1 || got[0].GetName() != "ana" {
		t.Errorf("ahead comes %v; want ana, whom the update under way lets in", got)
	}
}

// A node indexes an update for as long as that takes; what is revoked meanwhile is
// told ahead of the next one (security.md P-08).
func TestWhatIsDeniedWhileANodeIsBusyGoesAhead(t *testing.T) {
	p := newPublisher(t, nil)
	put := publishing(t, p)
	put(1, "old")
	s, _ := connect(t, p, "edge")
	s.requests <- hello()
	first := (<-s.updates).GetUpdate()
	put(2, "old", "ana")
	if got := (<-s.updates).GetDenials().GetDenies(); len(got) != 2 || got[0].GetName() != "ana" {
		t.Fatalf("ahead of the next update comes %v; want all that a node without a set does not serve", got)
	}
	put(3, "old", "ana", "bob")
	if got := (<-s.updates).GetDenials().GetDenies(); len(got) != 3 {
		t.Fatalf("then comes %v; want all since the update under way", got)
	}
	s.requests <- ack(first.GetNonce())
	if next := (<-s.updates).GetUpdate(); next.GetRevision() != 3 {
		t.Errorf("after the answer comes %v", next)
	}
}

// A peer that joined anew while an update was under way, and is revoked again, is denied
// by the same key as before: that the time is another makes it news.
func TestAPeerThatIsRevokedAgainIsDeniedAhead(t *testing.T) {
	p := newPublisher(t, nil)
	put := func(revision uint64, before int64) {
		t.Helper()
		items := []*snapshotv1.Item{{Kind: &snapshotv1.Item_Deny{Deny: &snapshotv1.Deny{
			Kind: snapshotv1.DenyKind_DENY_KIND_AGENT, Name: "laptop", IssuedBefore: &timestamppb.Timestamp{Seconds: before}}}}}
		set, err := snapshot.New("e1", revision, items)
		if err == nil {
			err = p.Publish(set)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	put(1, 100)
	s, _ := connect(t, p, "edge")
	s.requests <- hello()
	if (<-s.updates).GetUpdate().GetRevision() != 1 {
		t.Fatal("a node that has nothing gets something else than all")
	}
	put(2, 200)
	if got := (<-s.updates).GetDenials().GetDenies(); len(got) != 1 || got[0].GetIssuedBefore().GetSeconds() != 200 {
		t.Errorf("ahead comes %v; want the later revocation", got)
	}
}
