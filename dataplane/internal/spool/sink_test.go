package spool

import (
	"context"
	"io"

	"google.golang.org/grpc"

	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// sink is a client without a wire: it acks each batch at once, so that a benchmark measures the queue alone.
type sink struct{}

func (*sink) Push(ctx context.Context, _ ...grpc.CallOption) (stream, error) {
	return &sinkStream{ctx: ctx, acks: make(chan *auditv1.PushResponse, 64)}, nil
}

type sinkStream struct {
	grpc.ClientStream
	ctx  context.Context
	acks chan *auditv1.PushResponse
}

func (s *sinkStream) Send(request *auditv1.PushRequest) error {
	last := uint64(0)
	if n := len(request.Records); n > 0 {
		last = request.Records[n-1].Sequence
	}
	select {
	case s.acks <- &auditv1.PushResponse{Epoch: request.Epoch, AckedSequence: last}:
		return nil
	case <-s.ctx.Done():
		return io.EOF
	}
}

func (s *sinkStream) Recv() (*auditv1.PushResponse, error) {
	select {
	case ack := <-s.acks:
		return ack, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}
