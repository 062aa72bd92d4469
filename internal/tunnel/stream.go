package tunnel

import (
	"context"
	"errors"
	"sync/atomic"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// stream is one exchange, at one end. All of it is guarded by the lock of the tunnel, but for what says otherwise.
type stream struct {
	t      *Tunnel
	own    bool   // this end opened it
	number uint64 // 0: it is waiting to be opened
	over   bool   // the tunnel knows it no more
	err    error  // why it failed; what it is for the caller is in failure
	out    outgoing
	in     incoming

	queue          *queue // in which it is; nil: none
	next, previous *stream

	// Of one that this end opened.
	whole    atomic.Bool // the whole answer is there, and the tunnel does not touch the stream any more
	failure  *Error
	released atomic.Bool
	response Response

	// Of one that the other end opened.
	cancel      context.CancelCauseFunc
	request     Incoming
	callerSpace [maxCaller]byte // of the request
	headed      bool            // the head was given
	returned    bool            // the handler has returned
}

// outgoing is what a stream has yet to send, in this order: head, copy, lent.
type outgoing struct {
	kind   kind    // of the head: Open or Head; 0: there is none, or it was sent
	head   *buffer // its other fields
	copy   *buffer // bytes of the body
	lent   []byte  // further bytes: those of whoever waits until they are sent
	end    bool    // nothing comes after these
	ended  bool    // the end was sent
	credit int64   // what may be sent
	unread int64   // what was sent, and no credit given back for
	reset  bool    // the stream is to be reset, and nothing else sent
	code   tunnelv1.ResetCode
	reason string
	room   chan struct{} // told when lent was sent, or the stream failed; nil: nobody waits
}

// due reports whether there is something of the exchange to send, given credit.
func (o *outgoing) due() bool {
	return o.kind != 0 || o.copy.len() > 0 || len(o.lent) > 0 || o.end && !o.ended
}

// dropOut forgets what has not been sent.
func (s *stream) dropOut() {
	out := &s.out
	s.t.copied -= out.copy.len()
	out.head.free()
	out.copy.free()
	out.kind, out.head, out.copy, out.lent, out.end = 0, nil, nil, nil, false
	tell(out.room)
}

// incoming is what came on a stream and was not read yet.
type incoming struct {
	headed  bool // the head came
	buf     *buffer
	end     bool  // nothing comes after buf
	allowed int64 // what the other end may still send
	owed    int64 // what was read, and no credit given for yet
	grant   int64 // credit to be sent
	some    chan struct{}
}

// drop forgets what was not read, and returns how much that was.
func (i *incoming) drop() int {
	n := i.buf.len()
	i.buf.free()
	i.buf = nil
	tell(i.some)
	return n
}

// tell wakes who waits for a channel of capacity 1.
func tell(c chan struct{}) {
	if c == nil {
		return
	}
	select {
	case c <- struct{}{}:
	default:
	}
}

// wireNumber is how frames of this end name the stream.
func (s *stream) wireNumber() uint64 {
	if s.own {
		return s.number << 1
	}
	return s.number<<1 | 1
}

// fail ends a stream before its time, at this end.
func (s *stream) fail(err error) {
	s.stop(err)
	s.leave()
}

// stop fails whoever waits for a stream, and forgets what it has of it. The tunnel still knows it.
func (s *stream) stop(err error) {
	if s.over || s.err != nil {
		return
	}
	s.err = err
	if s.own {
		s.failure = &Error{Sent: s.number != 0 && !errors.Is(err, ErrRefused), Err: err}
	} else {
		s.cancel(err)
	}
	s.t.writer.remove(s)
	s.dropOut()
	s.in.grant = 0
	s.t.letLocked(s.in.drop())
}

// reset is fail, and tells the other end if that knows of the stream. One that the other end opened is known here until that was sent,
// so that resets which cannot be sent are bounded by how many streams there may be.
func (s *stream) reset(code tunnelv1.ResetCode, reason string, err error) {
	if s.over || s.err != nil {
		return
	}
	s.stop(err)
	if s.own {
		s.leave()
		if s.number == 0 {
			return
		}
	}
	s.out.reset, s.out.code, s.out.reason = true, code, reason[:min(len(reason), maxReason)]
	s.t.push(s)
}

// leave has the tunnel forget a stream.
func (s *stream) leave() {
	if s.over {
		return
	}
	s.over = true
	s.t.busy.Add(-1)
	s.t.writer.remove(s)
	if s.own {
		delete(s.t.mine, s.number)
	} else {
		delete(s.t.theirs, s.number)
	}
}

// release has a stream no longer count among those that this end may open. That is when its answer is closed, and not when it is there:
// so what waits to be read is of no more streams than there can be.
func (s *stream) release() {
	if s.own && s.released.CompareAndSwap(false, true) {
		s.t.calls.Add(-1)
	}
}
