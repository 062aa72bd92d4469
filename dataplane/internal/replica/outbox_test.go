package replica

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/internal/snapshot"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// line is a stream whose other end the test holds.
type line struct {
	grpc.ClientStream
	ctx  context.Context
	said chan *syncv1.SyncRequest
	told chan *syncv1.SyncResponse
}

func (l *line) Send(r *syncv1.SyncRequest) error {
	select {
	case l.said <- r:
		return nil
	case <-l.ctx.Done():
		return io.EOF
	}
}

func (l *line) Recv() (*syncv1.SyncResponse, error) {
	select {
	case r, open := <-l.told:
		if !open {
			return nil, errors.New("the line is cut")
		}
		return r, nil
	case <-l.ctx.Done():
		return nil, l.ctx.Err()
	}
}

// dialer hands out one line.
type dialer struct{ line *line }

func (d dialer) Sync(ctx context.Context, _ ...grpc.CallOption) (grpc.BidiStreamingClient[syncv1.SyncRequest, syncv1.SyncResponse], error) {
	d.line.ctx = ctx
	return d.line, nil
}

// call connects a node and takes its hello. The function returned ends the stream and waits.
func call(t *testing.T, n *node) (*line, func()) {
	t.Helper()
	l := &line{said: make(chan *syncv1.SyncRequest), told: make(chan *syncv1.SyncResponse)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Follow(ctx, dialer{l}) }()
	if (<-l.said).GetHello() == nil {
		t.Fatal("hello is not first")
	}
	return l, func() { cancel(); <-done }
}

// quiet fails if the node says anything within d.
func (l *line) quiet(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case r := <-l.said:
		t.Errorf("the node says %v", r)
	case <-time.After(d):
	}
}

func tellEnded(id byte, expires time.Time) *syncv1.SyncResponse {
	return &syncv1.SyncResponse{EndedSessions: &syncv1.EndedSessions{Sessions: []*syncv1.EndedSession{
		{Id: append([]byte{id}, make([]byte, 15)...), ExpiresAt: timestamppb.New(expires)},
	}}}
}

func TestEndedSessionIsSaidUntilItIsConfirmed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n, expires := newNode(t, dir), time.Now().Add(time.Hour)
		n.EndSession([16]byte{7}, expires) // Before there is a stream.
		first, hangUp := call(t, n)
		for range 2 { // And again, because nobody confirms.
			said := (<-first.said).GetEndedSessions().GetSessions()
			if len(said) != 1 || said[0].GetId()[0] != 7 || !said[0].GetExpiresAt().AsTime().Equal(expires) {
				t.Fatalf("said %v", said)
			}
		}
		hangUp()

		second, hangUp := call(t, n)
		if said := (<-second.said).GetEndedSessions().GetSessions(); len(said) != 1 {
			t.Fatalf("on the next stream it said %v", said)
		}
		second.told <- tellEnded(7, expires)
		second.quiet(t, 10*repeatEnded+repeatEnded/2) // It ends between two rounds.
		n.EndSession([16]byte{8}, time.Now().Add(time.Second))
		<-second.said
		second.quiet(t, 10*repeatEnded) // It expired before it could be said again.
		hangUp()
	})
}

func TestEndedSessionsComeInMessagesOfABoundedSize(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, dir)
		for i := range maxEnded + 10 {
			n.EndSession([16]byte{byte(i), byte(i >> 8), byte(i >> 16)}, time.Now().Add(time.Hour))
		}
		l, hangUp := call(t, n)
		defer hangUp()
		seen := make(map[string]bool)
		for len(seen) < maxEnded {
			sessions := (<-l.said).GetEndedSessions().GetSessions()
			if len(sessions) == 0 || len(sessions) > endedChunk {
				t.Fatalf("a message of %d", len(sessions))
			}
			for _, s := range sessions {
				seen[string(s.GetId())] = true
			}
		}
		l.quiet(t, repeatEnded/2)
		if got := n.log.String(); !strings.Contains(got, "too many ended sessions") {
			t.Errorf("a session that does not fit is dropped in silence:\n%s", got)
		}
	})
}

func TestChangedServerIsAHintForAStreamThatIsThere(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, dir)
		n.ServerChanged("lost")
		l, hangUp := call(t, n)
		l.quiet(t, time.Minute)
		n.ServerChanged("github")
		if said := (<-l.said).GetServerChanged(); said.GetServer() != "github" {
			t.Errorf("said %v", said)
		}
		for i := range 10 * maxChanged { // Nobody reads meanwhile; the sender holds one.
			n.ServerChanged(fmt.Sprint("server-", i))
		}
		var hints int
		for more := true; more; {
			select {
			case <-l.said:
				hints++
			case <-time.After(time.Second):
				more = false
			}
		}
		if hints == 0 || hints > maxChanged+1 {
			t.Errorf("%d hints", hints)
		}
		hangUp()
		n.ServerChanged("lost")
		next, hangUp := call(t, n)
		next.quiet(t, time.Minute)
		hangUp()
	})
}

func TestEndedSessionsOfOtherNodesArePassedOn(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, dir)
		type told struct {
			id      [16]byte
			expires time.Time
		}
		heard := make(chan told, 1)
		n.config.SessionEnded = func(id [16]byte, expires time.Time) { heard <- told{id, expires} }
		l, hangUp := call(t, n)
		defer hangUp()
		expires := time.Now().Add(time.Hour)
		bad := tellEnded(1, expires)
		bad.EndedSessions.Sessions[0].Id = []byte("short")
		l.told <- bad
		l.told <- tellEnded(2, expires)
		if got := <-heard; got.id != [16]byte{2} || !got.expires.Equal(expires) {
			t.Errorf("heard %+v", got)
		}
		l.quiet(t, time.Minute) // There is nothing to answer.

		// A snapshot is answered as ever, also in the same message.
		p := newPublisher(t)
		update := snapshot.FullUpdate(set(t, 1, "ana"))
		update.Nonce = "x"
		snapshot.Sign(update, p.key)
		l.told <- &syncv1.SyncResponse{Update: update, EndedSessions: tellEnded(3, expires).EndedSessions}
		if answer := <-l.said; answer.GetAck().GetNonce() != "x" || (<-heard).id != [16]byte{3} {
			t.Errorf("answer %v", answer)
		}
	})
}

func TestAStreamThatBreaksWhileTheNodeSpeaksEndsTheFollow(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, dir)
		l := &line{said: make(chan *syncv1.SyncRequest), told: make(chan *syncv1.SyncResponse)}
		done := make(chan error, 1)
		go func() { done <- n.Follow(t.Context(), dialer{l}) }()
		<-l.said
		n.EndSession([16]byte{1}, time.Now().Add(time.Hour)) // The sender blocks on it.
		synctest.Wait()
		close(l.told)
		if err := <-done; err == nil || !strings.Contains(err.Error(), "the line is cut") {
			t.Errorf("follow ended with %v", err)
		}
	})
}

func TestANodeThatLeavesSaysSoInAnotherHello(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		n := newNode(t, dir)
		l := &line{said: make(chan *syncv1.SyncRequest), told: make(chan *syncv1.SyncResponse)}
		done := make(chan error, 1)
		follow := func() { done <- n.Follow(t.Context(), dialer{l}) }
		go follow()
		if (<-l.said).GetHello().GetDraining() {
			t.Error("it says that it leaves, and does not")
		}
		n.Drain()
		n.Drain()
		if err := <-done; !errors.Is(err, ErrDrains) {
			t.Fatalf("Follow = %v", err)
		}
		l = &line{said: make(chan *syncv1.SyncRequest), told: make(chan *syncv1.SyncResponse)}
		go follow()
		if !(<-l.said).GetHello().GetDraining() {
			t.Error("it does not say that it leaves")
		}
		l.quiet(t, repeatEnded) // It has said so, and stays.
		close(l.told)
		if err := <-done; errors.Is(err, ErrDrains) {
			t.Error("it leaves twice")
		}
	})
}
