package spool

import (
	"math/bits"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto" // and with it the codec for all else
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// message is a PushRequest in the wire format. Records go into it from the ring, and from it to the connection: objects of
// package proto in between would be three more copies of each event, and garbage.
type message struct{ bytes []byte }

// newMessage returns one of an epoch, without records, in memory that the codec gives back when gRPC has written it.
func newMessage(epoch uint64) *message {
	m := &message{(*messages.Get(0))[:0]}
	m.bytes = protowire.AppendTag(m.bytes, 1, protowire.VarintType)
	m.bytes = protowire.AppendVarint(m.bytes, epoch)
	return m
}

// add appends a record. It keeps nothing of event.
func (m *message) add(sequence uint64, event, hash []byte) {
	const tags = 3
	size := tags + varintLen(sequence) + varintLen(uint64(len(event))) + len(event) + varintLen(uint64(len(hash))) + len(hash)
	b := protowire.AppendTag(m.bytes, 2, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(size))
	b = protowire.AppendTag(b, 1, protowire.VarintType)
	b = protowire.AppendVarint(b, sequence)
	b = protowire.AppendTag(b, 2, protowire.BytesType)
	b = protowire.AppendBytes(b, event)
	b = protowire.AppendTag(b, 3, protowire.BytesType)
	m.bytes = protowire.AppendBytes(b, hash)
}

// varintLen is how many bytes AppendVarint appends.
func varintLen(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }

// giveBack is for a message that is not sent.
func (m *message) giveBack() { messages.Put(&m.bytes) }

// messages is the memory of messages that gRPC does not need any more.
var messages = &memory{sync.Pool{New: func() any { return new([]byte) }}}

// memory is a mem.BufferPool.
type memory struct{ pool sync.Pool }

var _ mem.BufferPool = (*memory)(nil)

// Get returns what there is: a message grows as it must.
func (p *memory) Get(int) *[]byte { return p.pool.Get().(*[]byte) }

// Put keeps the memory for the next message.
func (p *memory) Put(b *[]byte) { p.pool.Put(b) }

// codec takes messages as they are, and has package proto encode what else there is.
type codec struct{ encoding.CodecV2 }

// wire makes a stream take messages.
var wire = grpc.ForceCodecV2(codec{encoding.GetCodecV2(proto.Name)})

func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if m, ok := v.(*message); ok {
		return mem.BufferSlice{mem.NewBuffer(&m.bytes, messages)}, nil
	}
	return c.CodecV2.Marshal(v)
}
