package transport

import (
	"bytes"
	"io"
	"sync"
)

const (
	// bufferSize holds most requests, and most answers, whole, in bytes: each then takes one system call.
	bufferSize = 8 << 10
	// quietSize is that of a stream which says little. It holds most heads, and more than minWindow after them.
	quietSize = 4 << 10
	// minWindow is the room for what comes after a head, in bytes; it bounds a line of the chunked coding.
	minWindow = 2 << 10
)

// buffer is a pooled slice. A connection has one while a call uses it.
type buffer struct{ bytes []byte }

var buffers = sync.Pool{New: func() any { return &buffer{bytes: make([]byte, bufferSize)} }}

// newBuffer returns one for an answer.
func newBuffer(quiet bool) *buffer {
	if quiet {
		return &buffer{bytes: make([]byte, quietSize)}
	}
	return buffers.Get().(*buffer)
}

// release gives the buffer back, unless it is of another size than most.
func (b *buffer) release() {
	if len(b.bytes) == bufferSize {
		buffers.Put(b)
	}
}

// source reads one answer through a buffer:
//
//	bytes: │ head of the answer │ read already │ to be read │ free │
//	       0                    base           r            w      len
//
// The head stays until the answer is closed.
type source struct {
	from       io.Reader
	buf        *buffer
	base, r, w int
}

func (s *source) buffered() int { return s.w - s.r }

// fill reads at least one byte more, or returns why there is none.
func (s *source) fill() error {
	s.makeRoom()
	n, err := s.from.Read(s.buf.bytes[s.w:])
	if n > 0 {
		s.w += n
		return nil // an error will come again
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// makeRoom moves what is to be read to the front, and grows the buffer if that does not make it roomy.
func (s *source) makeRoom() {
	if s.r > s.base && (s.r == s.w || s.w == len(s.buf.bytes)) {
		s.w = s.base + copy(s.buf.bytes[s.base:], s.buf.bytes[s.r:s.w])
		s.r = s.base
	}
	if s.w < len(s.buf.bytes) && len(s.buf.bytes)-s.base >= minWindow {
		return
	}
	grown := &buffer{bytes: make([]byte, 2*len(s.buf.bytes))}
	copy(grown.bytes, s.buf.bytes[:s.w])
	s.buf.release()
	s.buf = grown
}

// read is io.Reader for a body. What is not buffered goes to large slices directly.
func (s *source) read(p []byte) (int, error) {
	if s.buffered() == 0 {
		if len(p) >= bufferSize/2 {
			return s.from.Read(p)
		}
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.buf.bytes[s.r:s.w])
	s.r += n
	return n, nil
}

// line returns the next line without its CRLF, which is valid until the next call of any method. With more than limit
// bytes before the CRLF, or a bare line feed, it is an error. If reading fails, nothing is lost: the line can be asked
// for again.
func (s *source) line(limit int) ([]byte, error) {
	searched := 0
	for {
		unread := s.buf.bytes[s.r:s.w]
		if i := bytes.IndexByte(unread[searched:], '\n'); i >= 0 {
			end := searched + i
			line, err := cutLine(unread[:end], limit)
			s.r += end + 1
			return line, err
		}
		if searched = len(unread); searched > limit+1 {
			return nil, errLongLine
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

var (
	errLongLine = malformed("a line is too long")
	errBareLF   = malformed("a line does not end in CRLF")
)

// cutLine takes the CR off a line that a LF ended.
func cutLine(line []byte, limit int) ([]byte, error) {
	switch n := len(line); {
	case n == 0 || line[n-1] != '\r':
		return nil, errBareLF
	case n-1 > limit:
		return nil, errLongLine
	default:
		return line[:n-1], nil
	}
}
