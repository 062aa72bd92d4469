package upstream

import (
	"io"
	"slices"
	"sync"
)

const (
	// smallBuffer is what a new buffer starts with, in bytes.
	smallBuffer = 2 << 10

	// keepBuffer is up to what size, in bytes, a buffer goes back to the pool: one large message must not be paid for
	// ever after.
	keepBuffer = 256 << 10
)

// buffers holds what JSON answers are read into.
var buffers = sync.Pool{New: func() any { return new(buffer) }}

// buffer is a pooled slice. Requests are not in one: HTTP may read a request's body after RoundTrip has returned.
type buffer struct {
	bytes []byte
}

// newBuffer returns an empty buffer, which is to be released.
func newBuffer() *buffer {
	b := buffers.Get().(*buffer)
	b.bytes = b.bytes[:0]
	return b
}

func (b *buffer) release() {
	if cap(b.bytes) <= keepBuffer {
		buffers.Put(b)
	}
}

// readAll appends what r has to the buffer, and reports false if that is more than limit bytes. The hold grows with the
// buffer; without room for that the error is errOverBudget.
func (b *buffer) readAll(r io.Reader, limit int, h *holding) (fits bool, err error) {
	for {
		if len(b.bytes) == cap(b.bytes) {
			more := min(max(len(b.bytes), smallBuffer), limit+1-len(b.bytes))
			if !h.resize(len(b.bytes) + more) {
				return true, errOverBudget
			}
			b.bytes = slices.Grow(b.bytes, more)
		}
		room := b.bytes[len(b.bytes):min(cap(b.bytes), limit+1)]
		n, err := r.Read(room)
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case len(b.bytes) > limit:
			return false, nil
		case err == io.EOF:
			return true, nil
		case err != nil:
			return true, err
		}
	}
}
