package publisher

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/warder-gateway/warder/internal/snapshot"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// table is a list of ended sessions in memory, in chunks of two, that can fail
// and hang.
type table struct {
	mu     sync.Mutex
	all    []*syncv1.EndedSession
	moved  chan struct{}
	hang   bool
	broken bool
}

func newTable() *table { return &table{moved: make(chan struct{})} }

func (b *table) End(ctx context.Context, sessions []*syncv1.EndedSession) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.hang {
		b.mu.Unlock()
		<-ctx.Done()
		b.mu.Lock()
		return ctx.Err()
	}
	b.all = append(b.all, sessions...)
	close(b.moved)
	b.moved = make(chan struct{})
	return nil
}

func (b *table) Wait(ctx context.Context, seen uint64) (uint64, error) {
	for {
		b.mu.Lock()
		n, moved := uint64(len(b.all)), b.moved
		b.mu.Unlock()
		if n > seen {
			return n, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (b *table) After(_ context.Context, position uint64) ([]*syncv1.EndedSession, uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.broken {
		return nil, position, errors.New("the database is away")
	}
	chunk := b.all[position:min(position+2, uint64(len(b.all)))]
	return slices.Clone(chunk), position + uint64(len(chunk)), nil
}

func (b *table) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

// session returns an ended session whose id begins with b.
func session(b byte) *syncv1.EndedSession {
	return &syncv1.EndedSession{Id: append([]byte{b}, make([]byte, 15)...)}
}

func says(sessions ...*syncv1.EndedSession) *syncv1.SyncRequest {
	return &syncv1.SyncRequest{Kind: &syncv1.SyncRequest_EndedSessions{EndedSessions: &syncv1.EndedSessions{Sessions: sessions}}}
}

// hears reads responses until n ended sessions were told, and returns how their
// ids begin. It acks updates.
func (p *pipe) hears(t *testing.T, n int) string {
	t.Helper()
	var told []byte
	for len(told) < n {
		response := <-p.updates
		for _, s := range response.GetEndedSessions().GetSessions() {
			told = append(told, s.GetId()[0])
		}
		if update := response.GetUpdate(); update != nil {
			p.requests <- ack(update.GetNonce())
		}
	}
	return string(told)
}

// withTable returns a publisher that has published, and its table.
func withTable(t *testing.T) (*Publisher, *table) {
	t.Helper()
	p, b := newPublisher(t, nil), newTable()
	p.config.Sessions = b
	publish(t, p, 1)
	return p, b
}

func TestEverySessionThatEndedReachesEveryNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := withTable(t)
		b.all = []*syncv1.EndedSession{session('a'), session('b'), session('c')}
		one, _ := connect(t, p, "n1")
		one.requests <- hello()
		two, _ := connect(t, p, "n2")
		two.requests <- hello()
		for _, s := range []*pipe{one, two} {
			if got := s.hears(t, 3); got != "abc" {
				t.Errorf("at first it hears %q", got)
			}
		}
		one.requests <- says(session('d'), session('e'))
		// The one that said it is told as well: that confirms it.
		for _, s := range []*pipe{one, two} {
			if got := s.hears(t, 2); got != "de" {
				t.Errorf("then it hears %q", got)
			}
		}
		if got := p.Connected(); got != 2 {
			t.Errorf("%d nodes are connected", got)
		}
		p.Stop()
	})
}

// A node hears of a session that ended while a large update is on its way, and the
// parts of the update make it whole.
func TestEndedSessionsDoNotWaitForALargeUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := withTable(t)
		var items []*snapshotv1.Item
		for i := range 1000 {
			items = append(items, &snapshotv1.Item{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: fmt.Sprintf("%0500d", i)}}})
		}
		large, err := snapshot.New("e1", 2, items)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(large); err != nil {
			t.Fatal(err)
		}
		node, _ := connect(t, p, "n1")
		node.requests <- hello()
		var parts snapshot.Parts
		var update *syncv1.Update
		messages, heard := 0, 0
		for update == nil {
			response := <-node.updates
			messages++
			if messages == 3 {
				if err := b.End(t.Context(), []*syncv1.EndedSession{session('a')}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			}
			if response.GetEndedSessions() != nil {
				heard = messages
			}
			if response.GetPart() != nil {
				parts.Add(response.GetPart())
			}
			update = response.GetUpdate()
		}
		if err := parts.Complete(update); err != nil {
			t.Fatal(err)
		}
		held, err := (*snapshot.Set)(nil).Apply(update)
		if err != nil || held.Digest() != large.Digest() || messages < 10 {
			t.Errorf("%d messages make %v", messages, err)
		}
		if heard == 0 {
			t.Error("the ended session waited for the whole update")
		}
		p.Stop()
	})
}

func TestEndedSessionsAreReadAgainWhenTheDatabaseIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := withTable(t)
		b.all, b.broken = []*syncv1.EndedSession{session('a')}, true
		s, _ := connect(t, p, "n1")
		s.requests <- hello()
		s.requests <- ack((<-s.updates).GetUpdate().GetNonce())
		time.Sleep(3 * endedRetry)
		b.set(func() { b.broken = false })
		if got := s.hears(t, 1); got != "a" {
			t.Errorf("hears %q", got)
		}
		p.Stop()
	})
}

func TestADatabaseThatHangsDoesNotHoldUpTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := withTable(t)
		b.hang = true
		s, _ := connect(t, p, "n1")
		s.requests <- hello()
		s.requests <- ack((<-s.updates).GetUpdate().GetNonce())
		for range 10 * endedBacklog { // What does not fit is dropped; the node says it again.
			s.requests <- says(session('x'))
		}
		publish(t, p, 2)
		s.requests <- ack((<-s.updates).GetUpdate().GetNonce())
		p.Stop() // Does not wait for the database either.
	})
}

func TestANodeThatDoesNotReadEndedSessionsIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := withTable(t)
		for range 1000 {
			b.all = append(b.all, session('x'))
		}
		s, done := connect(t, p, "n1")
		s.requests <- hello()
		wantEnd(t, done, codes.ResourceExhausted)
	})
}

func TestAMessageOfTooManyEndedSessionsEndsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := withTable(t)
		s, done := connect(t, p, "n1")
		s.requests <- hello()
		s.requests <- says(make([]*syncv1.EndedSession, maxEndedMessage+1)...)
		wantEnd(t, done, codes.InvalidArgument)
		if len(b.all) > 0 {
			t.Error("they were written down")
		}
	})
}

func TestChangedServersArePassedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := withTable(t)
		changed := make(chan string, 1)
		p.config.ServerChanged = func(server string) { changed <- server }
		s, _ := connect(t, p, "n1")
		s.requests <- hello()
		s.requests <- &syncv1.SyncRequest{Kind: &syncv1.SyncRequest_ServerChanged{ServerChanged: &syncv1.ServerChanged{Server: "git\nhub"}}}
		if got := <-changed; got != "git hub" {
			t.Errorf("told of %q", got)
		}
		s.requests <- ack((<-s.updates).GetUpdate().GetNonce()) // The stream goes on.
		synctest.Wait()
		p.Stop()
	})
}

func TestAnEndedSessionBeforeHelloEndsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b := withTable(t)
		s, done := connect(t, p, "n1")
		s.requests <- says(session('a'))
		wantEnd(t, done, codes.FailedPrecondition)
		if len(b.all) > 0 {
			t.Error("it was written down")
		}
	})
}
