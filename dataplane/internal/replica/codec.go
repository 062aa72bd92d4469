package replica

import (
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers what is wrapped here
	"google.golang.org/grpc/mem"
)

// largeMessage is from which size on decoding a message takes milliseconds.
const largeMessage = 1 << 20

// codec is that of gRPC, with large messages decoded aside.
type codec struct {
	encoding.CodecV2
	aside func(work func())
}

func newCodec(aside func(func())) codec { return codec{encoding.GetCodecV2("proto"), aside} }

// Unmarshal decodes a message.
func (c codec) Unmarshal(data mem.BufferSlice, v any) (err error) {
	if data.Len() < largeMessage {
		return c.CodecV2.Unmarshal(data, v)
	}
	c.aside(func() { err = c.CodecV2.Unmarshal(data, v) })
	return err
}
