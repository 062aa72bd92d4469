package tunnel

import (
	"context"
	"errors"
	"io"
	"sync"

	"github.com/warder-gateway/warder/internal/budget"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// body reads what comes on a stream. It owns what it took from there until that is read.
type body struct {
	s     *stream
	ctx   context.Context
	whole bool        // all that ever comes was taken; set before anybody reads
	stop  func() bool // ends watching ctx; nil: nobody does

	mu     sync.Mutex // held while somebody reads
	taken  *buffer
	offset int
	held   int // bytes of Config.Bodies
	closed bool
}

// Read returns bytes as they come. Its errors are io.EOF, or of type *Error.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	if err := b.fetch(); err != nil {
		return 0, err
	}
	n := copy(p, b.taken.bytes[b.offset:])
	b.offset += n
	return n, nil
}

// fetch waits until something is there to be read.
func (b *body) fetch() error {
	if b.closed {
		return &Error{Sent: true, Err: ErrClosed}
	}
	if b.offset < b.taken.len() {
		return nil
	}
	if b.whole {
		return io.EOF
	}
	read := b.giveBack()
	for {
		wait, err := b.take(read)
		if wait == nil {
			return err
		}
		read = 0
		select {
		case <-wait:
		case <-b.ctx.Done():
			b.s.abandon(context.Cause(b.ctx))
		}
	}
}

// giveBack lets go of what was taken, and returns how much that was.
func (b *body) giveBack() int {
	n := b.taken.len()
	b.taken.free()
	b.taken, b.offset = nil, 0
	b.s.t.let(n)
	return n
}

// take takes what came, or says on what to wait. read is how much was read since the last time.
func (b *body) take(read int) (wait chan struct{}, err error) {
	s := b.s
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	in := &s.in
	in.owed += int64(read)
	s.settle()
	switch {
	case s.returned:
		return nil, &Error{Sent: true, Err: ErrClosed}
	case in.buf.len() > 0:
		b.taken, in.buf = in.buf, nil
		return nil, nil
	case s.err != nil:
		return nil, &Error{Sent: true, Err: late(b.ctx, s.err)}
	case in.end:
		return nil, io.EOF
	}
	if in.some == nil {
		in.some = make(chan struct{}, 1)
	}
	return in.some, nil
}

// Close gives up what was not read. If more would come, the other end is told that nobody waits for it. It always returns nil.
func (b *body) Close() error {
	if b.stop != nil {
		b.stop()
	}
	if !b.whole {
		b.s.abandon(ErrClosed) // ends a Read that waits
	}
	b.close()
	return nil
}

func (b *body) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.s.t.config.Bodies.Give(b.held)
	b.held = 0
	b.giveBack()
	b.s.release()
}

// all reads the body to its end. If it came as one piece that is what is returned, else a copy.
func (b *body) all(limit int) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var whole []byte
	for {
		err := b.fetch()
		if errors.Is(err, io.EOF) {
			return whole, nil
		}
		if err != nil {
			return nil, err
		}
		piece := b.taken.bytes[b.offset:]
		if len(whole)+len(piece) > limit {
			return nil, &Error{Sent: true, Err: ErrTooLarge}
		}
		if !b.s.t.config.Bodies.Hold(len(piece)) {
			return nil, &Error{Sent: true, Err: budget.ErrFull}
		}
		b.held += len(piece)
		if whole == nil && b.last() {
			b.offset, b.whole = b.taken.len(), true
			return piece, nil
		}
		whole = append(whole, piece...)
		b.offset = b.taken.len()
	}
}

// last reports whether what was taken is the last of the body.
func (b *body) last() bool {
	b.s.t.mu.Lock()
	defer b.s.t.mu.Unlock()
	return b.s.in.end && b.s.in.buf.len() == 0
}

// abandon ends a stream in which nobody is interested any more, and forgets what came on it and was not read: who reads on gets why.
func (s *stream) abandon(why error) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if s.returned {
		return
	}
	s.reset(tunnelv1.ResetCode_RESET_CODE_CANCELLED, "", why)
	if s.err == nil {
		s.err = why
	}
	s.t.letLocked(s.in.drop())
	s.release()
}
