package tunnel

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/runtime/protoiface"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// Conn carries Frames: a stream of gRPC, or a pipe in tests. Send and Recv are called at the same time, each by one goroutine. What Send
// was given is not changed afterwards.
type Conn interface {
	Send(*tunnelv1.Frames) error
	Recv() (*tunnelv1.Frames, error)
}

// carrier sends and receives Frames in wire form. What receive returns is good until the next call.
type carrier interface {
	send(frames []byte) error
	receive() ([]byte, error)
}

// carrierOf finds the cheapest way to use a Conn: the streams of gRPC take any message of protobuf, and so ours.
func carrierOf(c Conn) carrier {
	if direct, ok := c.(messenger); ok {
		return &directCarrier{to: direct, out: newRaw(), in: newRaw()}
	}
	return &plainCarrier{conn: c}
}

type messenger interface {
	SendMsg(any) error
	RecvMsg(any) error
}

type directCarrier struct {
	to      messenger
	out, in *raw
}

func (d *directCarrier) send(frames []byte) error {
	d.out.bytes = frames
	return d.to.SendMsg(d.out)
}

func (d *directCarrier) receive() ([]byte, error) {
	err := d.to.RecvMsg(d.in)
	return d.in.bytes, err
}

type plainCarrier struct {
	conn Conn
	in   []byte
}

func (p *plainCarrier) send(frames []byte) error {
	message := new(tunnelv1.Frames)
	if err := proto.Unmarshal(frames, message); err != nil {
		return fmt.Errorf("read own frames: %w", err)
	}
	return p.conn.Send(message)
}

func (p *plainCarrier) receive() ([]byte, error) {
	message, err := p.conn.Recv()
	if err != nil {
		return nil, err
	}
	p.in, err = proto.MarshalOptions{}.MarshalAppend(p.in[:0], message)
	return p.in, err
}

// raw is a message of type Frames that stays in wire form, so that this package writes and reads it by hand. It is no more of a
// message than what proto.Marshal and proto.Unmarshal need.
type raw struct {
	protoreflect.Message // of an empty Frames; for what describes the type
	bytes                []byte
}

func newRaw() *raw { return &raw{Message: new(tunnelv1.Frames).ProtoReflect()} }

// Reset makes the message empty, and keeps its memory.
func (r *raw) Reset() { r.bytes = r.bytes[:0] }

// ProtoReflect makes raw a proto.Message.
func (r *raw) ProtoReflect() protoreflect.Message { return r }

// Interface returns the message itself.
func (r *raw) Interface() protoreflect.ProtoMessage { return r }

// ProtoMethods returns what package proto calls in place of reflection.
func (r *raw) ProtoMethods() *protoiface.Methods { return &rawMethods }

var rawMethods = protoiface.Methods{
	Flags: protoiface.SupportMarshalDeterministic | protoiface.SupportUnmarshalDiscardUnknown,
	Size: func(in protoiface.SizeInput) protoiface.SizeOutput {
		return protoiface.SizeOutput{Size: len(in.Message.(*raw).bytes)}
	},
	Marshal: func(in protoiface.MarshalInput) (protoiface.MarshalOutput, error) {
		return protoiface.MarshalOutput{Buf: append(in.Buf, in.Message.(*raw).bytes...)}, nil
	},
	Unmarshal: func(in protoiface.UnmarshalInput) (protoiface.UnmarshalOutput, error) {
		r := in.Message.(*raw)
		r.bytes = append(r.bytes, in.Buf...)
		return protoiface.UnmarshalOutput{Flags: protoiface.UnmarshalInitialized}, nil
	},
	CheckInitialized: func(protoiface.CheckInitializedInput) (protoiface.CheckInitializedOutput, error) {
		return protoiface.CheckInitializedOutput{}, nil
	},
}
