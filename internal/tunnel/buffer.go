package tunnel

import (
	"math/bits"
	"sync"
)

const (
	smallestBuffer = 9  // 512 B, as a power of two
	largestBuffer  = 18 // larger ones are left to the garbage collector
)

// pools hold free buffers by size.
var pools [largestBuffer - smallestBuffer + 1]sync.Pool

// buffer has one owner at a time: a stream, under the lock of its tunnel, or the body or the call that took it from there. A nil buffer
// is an empty one.
type buffer struct {
	bytes []byte
	class int
}

// newBuffer returns an empty buffer with room for n bytes at least.
func newBuffer(n int) *buffer {
	class := max(bits.Len(uint(max(n, 1)-1)), smallestBuffer)
	if class <= largestBuffer {
		if b, ok := pools[class-smallestBuffer].Get().(*buffer); ok {
			return b
		}
	}
	return &buffer{bytes: make([]byte, 0, 1<<class), class: class}
}

// len returns how many bytes a buffer holds.
func (b *buffer) len() int {
	if b == nil {
		return 0
	}
	return len(b.bytes)
}

// with returns a buffer that holds p after what b holds. b itself is no longer the caller's.
func (b *buffer) with(p []byte) *buffer {
	switch {
	case b == nil:
		b = newBuffer(len(p))
	case cap(b.bytes)-len(b.bytes) < len(p):
		larger := newBuffer(len(b.bytes) + len(p))
		larger.bytes = append(larger.bytes, b.bytes...)
		b.free()
		b = larger
	}
	b.bytes = append(b.bytes, p...)
	return b
}

// free gives the buffer up.
func (b *buffer) free() {
	if b == nil || b.class > largestBuffer {
		return
	}
	b.bytes = b.bytes[:0]
	pools[b.class-smallestBuffer].Put(b)
}
