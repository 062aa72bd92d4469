package tunnel

import (
	"context"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// maxCopy is how much of an answer is kept for the writer, so that its handler need not wait for it. It is counted against the tunnel's
// credit, too.
const maxCopy = 32 << 10

var (
	errTwoHeads = invalid("an answer has one head")
	errNoHead   = invalid("an answer's head comes first")
)

// Head implements Answer.
func (s *stream) Head(status int, header []Field) error {
	_, err := s.head(status, header, nil)
	return err
}

// head gives the head of an answer to the writer, and a piece of the body, if there is room to keep that.
func (s *stream) head(status int, header []Field, piece []byte) (kept bool, err error) {
	head, err := answerHead(status, header)
	if err != nil {
		return false, err
	}
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if err := s.mayHead(head); err != nil {
		head.free()
		return false, err
	}
	s.headed = true
	s.out.kind, s.out.head = kindHead, head
	kept = s.keep(piece)
	s.t.push(s)
	return kept, nil
}

func (s *stream) mayHead(head *buffer) error {
	switch {
	case s.err != nil:
		return s.err
	case s.returned:
		return ErrClosed
	case s.headed:
		return errTwoHeads
	case head.len()+2*frameOverhead > s.t.peer.maxFrames:
		return errLarge
	}
	return nil
}

// keep copies a piece for the writer if there is room, and reports whether there was.
func (s *stream) keep(piece []byte) bool {
	out := &s.out
	if len(out.lent) > 0 || out.copy.len()+len(piece) > maxCopy || s.t.copied+len(piece) > s.t.config.TunnelCredit {
		return false
	}
	if len(piece) > 0 {
		out.copy = out.copy.with(piece)
		s.t.copied += len(piece)
	}
	return true
}

// Write implements Answer.
func (s *stream) Write(piece []byte) (int, error) {
	wait, err := s.lend(piece)
	for wait != nil {
		select {
		case <-wait:
		case <-s.request.body.ctx.Done():
			s.abandon(context.Cause(s.request.body.ctx))
		}
		wait, err = s.lentStill()
	}
	if err != nil {
		return 0, err
	}
	return len(piece), nil
}

// lend gives a piece to the writer. If it is not copied the caller waits until it is sent.
func (s *stream) lend(piece []byte) (wait chan struct{}, err error) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, s.err
	case s.returned, len(s.out.lent) > 0:
		return nil, ErrClosed
	case !s.headed:
		return nil, errNoHead
	}
	if !s.keep(piece) {
		s.out.lent = piece
		if s.out.room == nil {
			s.out.room = make(chan struct{}, 1)
		}
		wait = s.out.room
	}
	s.t.push(s)
	return wait, nil
}

func (s *stream) lentStill() (wait chan struct{}, err error) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if s.err == nil && len(s.out.lent) > 0 {
		return s.out.room, nil
	}
	return nil, s.err
}

// Reply implements Answer.
func (s *stream) Reply(status int, header []Field, body []byte) error {
	kept, err := s.head(status, header, body)
	if err != nil || kept {
		return err
	}
	_, err = s.Write(body)
	return err
}

// Reset implements Answer.
func (s *stream) Reset(code tunnelv1.ResetCode, reason string) {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if !s.returned {
		s.reset(code, reason, ErrClosed)
	}
}

// served notes that the handler has returned: the answer is whole.
func (s *stream) served() {
	s.t.mu.Lock()
	s.returned = true
	s.t.serving--
	s.t.letLocked(s.in.drop())
	switch {
	case s.err != nil:
	case !s.headed:
		s.reset(tunnelv1.ResetCode_RESET_CODE_FAILED, "no answer", ErrFailed)
	default:
		s.out.end = true
		s.t.push(s)
	}
	s.cancel(context.Canceled)
	s.t.mu.Unlock()
	s.request.body.close()
}
