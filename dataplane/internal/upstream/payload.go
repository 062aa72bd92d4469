package upstream

import (
	"bytes"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

// smallBuffer is what a new buffer starts with, in bytes.
const smallBuffer = 2 << 10

// keepBuffer is up to what size, in bytes, a buffer goes back to the pool: one large message must not be paid for ever
// after.
const keepBuffer = 256 << 10

// payloads holds buffers of requests and of JSON answers.
var payloads = sync.Pool{New: func() any { return new(payload) }}

// payload is a pooled buffer with a count of who reads it. HTTP goes on reading a request's body after RoundTrip has
// returned, so the buffer goes back when the last reader is closed.
type payload struct {
	bytes []byte
	refs  atomic.Int32
}

// newPayload returns an empty buffer that the caller holds.
func newPayload() *payload {
	p := payloads.Get().(*payload)
	p.bytes = p.bytes[:0]
	p.refs.Store(1)
	return p
}

// release gives up one hold. Nobody who has released may look at the bytes.
func (p *payload) release() {
	if p.refs.Add(-1) == 0 && cap(p.bytes) <= keepBuffer {
		payloads.Put(p)
	}
}

// open returns a reader of the bytes that holds the buffer until it is closed.
func (p *payload) open() io.ReadCloser {
	p.refs.Add(1)
	r := &payloadReader{payload: p}
	r.Reset(p.bytes)
	return r
}

// reopen is open in the form of http.Request.GetBody.
func (p *payload) reopen() (io.ReadCloser, error) { return p.open(), nil }

type payloadReader struct {
	bytes.Reader
	payload *payload
	closed  atomic.Bool
}

// Close gives the buffer up. HTTP may close a body twice.
func (r *payloadReader) Close() error {
	if !r.closed.Swap(true) {
		r.payload.release()
	}
	return nil
}

// readAll appends what r has to the buffer, and reports false if that is more than limit bytes.
func (p *payload) readAll(r io.Reader, limit int) (fits bool, err error) {
	for {
		if len(p.bytes) == cap(p.bytes) {
			p.bytes = slices.Grow(p.bytes, max(len(p.bytes), smallBuffer))
		}
		room := p.bytes[len(p.bytes):min(cap(p.bytes), limit+1)]
		n, err := r.Read(room)
		p.bytes = p.bytes[:len(p.bytes)+n]
		switch {
		case len(p.bytes) > limit:
			return false, nil
		case err == io.EOF:
			return true, nil
		case err != nil:
			return true, err
		}
	}
}
