package ledger

import (
	"context"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/identity"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// pipe is a stream whose other end the test holds.
type pipe struct {
	grpc.ServerStream
	ctx     context.Context
	batches chan *auditv1.PushRequest
	acks    chan *auditv1.PushResponse
}

func (p *pipe) Context() context.Context { return p.ctx }

func (p *pipe) Send(r *auditv1.PushResponse) error { p.acks <- r; return nil }

func (p *pipe) Recv() (*auditv1.PushRequest, error) {
	select {
	case b, open := <-p.batches:
		if !open {
			return nil, io.EOF
		}
		return b, nil
	case <-p.ctx.Done():
		return nil, p.ctx.Err()
	}
}

// open begins a stream of a node, with room for a few batches in flight.
func open(t *testing.T, l *Ledger) (*pipe, <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(identity.WithPeer(t.Context(), identity.Peer{Kind: identity.Node, Name: "n1"}))
	p := &pipe{ctx: ctx, batches: make(chan *auditv1.PushRequest, 8), acks: make(chan *auditv1.PushResponse, 8)}
	done := make(chan error, 1)
	go func() {
		defer cancel()
		done <- l.Push(p)
	}()
	return p, done
}

// What was sent before the node closed its side is taken all the same.
func TestSeveralBatchesInFlightAreAckedInOrder(t *testing.T) {
	l := New(Config{Store: storetest.New(t)})
	p, done := open(t, l)
	q := newQueue(t, 9)
	for _, c := range "abc" {
		p.batches <- q.batch(encode(t, refused(callID(byte(c)))), encode(t, refused(callID(byte(c)-32))))
	}
	close(p.batches)
	for _, want := range []uint64{2, 4, 6} {
		if ack := <-p.acks; ack.GetEpoch() != 9 || ack.GetAckedSequence() != want {
			t.Errorf("ack %v, want %d", ack, want)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestABatchThatIsRefusedEndsTheStream(t *testing.T) {
	l := New(Config{Store: storetest.New(t)})
	p, done := open(t, l)
	q := newQueue(t, 1)
	forged := q.batch(encode(t, refused(callID('a'))))
	forged.Records[0].Hash[0]++
	p.batches <- forged
	if err := <-done; status.Code(err) != codes.FailedPrecondition {
		t.Errorf("ended with %v", err)
	}
	if len(p.acks) != 0 {
		t.Error("a refused batch was acked")
	}
}

func TestStopEndsStreamsAndLetsNoneBegin(t *testing.T) {
	l := New(Config{Store: storetest.New(t)})
	p, done := open(t, l)
	p.batches <- newQueue(t, 1).batch(encode(t, refused(callID('a'))))
	<-p.acks
	l.Stop()
	if err := <-done; status.Code(err) != codes.Unavailable {
		t.Errorf("ended with %v", err)
	}
	if _, late := open(t, l); status.Code(<-late) != codes.Unavailable {
		t.Error("a stream began after the end")
	}
}

func TestNobodyWithoutIdentityPushes(t *testing.T) {
	l := New(Config{Store: storetest.New(t)})
	if err := l.Push(&pipe{ctx: t.Context()}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("ended with %v", err)
	}
}
