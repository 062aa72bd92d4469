package spool

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protowire"

	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// sink is a client without a wire: it acks each batch at once, so that a benchmark measures the queue alone.
type sink struct{}

func (*sink) Push(ctx context.Context, _ ...grpc.CallOption) (stream, error) {
	return &sinkStream{ctx: ctx, acks: make(chan *auditv1.PushResponse, 64)}, nil
}

type sinkStream struct {
	stream
	ctx  context.Context
	acks chan *auditv1.PushResponse
}

func (s *sinkStream) SendMsg(sent any) error {
	m := sent.(*message)
	ack := acked(m.bytes)
	m.giveBack()
	select {
	case s.acks <- ack:
		return nil
	case <-s.ctx.Done():
		return io.EOF
	}
}

// acked is the answer to a request that was taken whole. It reads no more of it than that needs.
func acked(request []byte) *auditv1.PushResponse {
	ack := &auditv1.PushResponse{}
	for len(request) > 0 {
		field, kind, n := protowire.ConsumeTag(request)
		request = request[n:]
		if kind == protowire.VarintType {
			ack.Epoch, n = protowire.ConsumeVarint(request)
		} else if field == 2 { // A record, which begins with its sequence.
			var record []byte
			record, n = protowire.ConsumeBytes(request)
			ack.AckedSequence, _ = protowire.ConsumeVarint(record[1:])
		}
		request = request[n:]
	}
	return ack
}

func (s *sinkStream) Recv() (*auditv1.PushResponse, error) {
	select {
	case ack := <-s.acks:
		return ack, nil
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}
