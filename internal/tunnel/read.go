package tunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// read takes what comes until the tunnel is lost.
func (t *Tunnel) read() {
	for {
		message, err := t.carrier.receive()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("the other end ended it")
			}
			t.lose(lost(fmt.Errorf("receive frames: %w", err)))
			return
		}
		servers, err := t.take(message)
		if errors.Is(err, ErrRevision) {
			t.awaitGreeting() // so that the other end can say the same
		}
		if err != nil {
			t.lose(lost(err))
			return
		}
		if servers != nil && t.config.Servers != nil {
			t.config.Servers(servers.GetServers())
		}
	}
}

func (t *Tunnel) awaitGreeting() {
	select {
	case <-t.greeted:
	case <-t.done:
	}
}

var errFrames = broken("Frames are no larger than this end takes")

// take does what Frames say, and returns the last servers that are announced in them, if any.
func (t *Tunnel) take(message []byte) (servers *tunnelv1.Servers, err error) {
	if len(message) > t.config.MaxFrames {
		return nil, errFrames
	}
	t.heard.Store(int64(time.Since(t.born)))
	t.mu.Lock()
	defer t.mu.Unlock()
	err = eachField(message, func(n protowire.Number, typ protowire.Type, _ uint64, bytes []byte) error {
		if n != 1 {
			return nil
		}
		if err := wrongType(typ, protowire.BytesType); err != nil {
			return err
		}
		if t.cause != nil {
			return t.cause
		}
		f := &t.scratch
		if err := f.parse(bytes); err != nil {
			return err
		}
		if f.kind == kindServers {
			servers = new(tunnelv1.Servers)
		}
		return t.takeFrame(f, servers)
	})
	return servers, err
}

var (
	errHello  = broken("each end says hello first, and once")
	errTunnel = broken("a frame is of a stream, or of the tunnel, as its kind demands")
)

func (t *Tunnel) takeFrame(f *frame, servers *tunnelv1.Servers) error {
	if (f.kind == kindHello) != (t.peer.maxFrames == 0) {
		return errHello
	}
	if f.stream != 0 {
		return t.takeStream(f)
	}
	switch f.kind {
	case kindHello:
		return t.takeHello(f.message)
	case kindCredit:
		return t.takeCredit(nil, f.number)
	case kindPing:
		// Of several that come before one can be answered, the last is.
		t.writer.pong, t.writer.pongDue = f.number, true
		t.kick()
		return nil
	case kindPong:
		return t.takePong(f.number)
	case kindDrain:
		if !t.peer.drains {
			t.peer.drains = true
			close(t.drains)
		}
		return nil
	case kindServers:
		return takeServers(f.message, servers)
	}
	return errTunnel
}

func takeServers(message []byte, servers *tunnelv1.Servers) error {
	if proto.Unmarshal(message, servers) != nil {
		return errEncoding
	}
	if len(servers.GetServers()) > maxServers {
		return broken("no more than 1,000 servers are announced")
	}
	return nil
}

func (t *Tunnel) takeHello(message []byte) error {
	hello := new(tunnelv1.Hello)
	if proto.Unmarshal(message, hello) != nil {
		return errEncoding
	}
	if hello.GetMinRevision() > maxRevision || hello.GetMaxRevision() < minRevision {
		return fmt.Errorf("%w: this end speaks %d to %d, the other %d to %d", ErrRevision, minRevision, maxRevision,
			hello.GetMinRevision(), hello.GetMaxRevision())
	}
	if hello.GetMaxFrames() < leastFrames || hello.GetMaxStreams() == 0 || hello.GetStreamCredit() == 0 || hello.GetTunnelCredit() == 0 {
		return broken("hello leaves room for 16 KiB, a stream, and a byte of credit")
	}
	if hello.GetStreamCredit() > maxCredit || hello.GetTunnelCredit() > maxCredit {
		return errCredit
	}
	if len(hello.GetVersion()) > maxVersion {
		return broken("the version in hello has 128 bytes at most")
	}
	t.peer = peer{
		version:   hello.GetVersion(),
		maxFrames: int(hello.GetMaxFrames()), maxStreams: int(hello.GetMaxStreams()),
		streamCredit: int64(hello.GetStreamCredit()), credit: int64(hello.GetTunnelCredit()), window: int64(hello.GetTunnelCredit()),
	}
	t.peer.reserve = max(1, t.peer.window/2/(int64(t.config.MaxStreams)+int64(t.peer.maxStreams)))
	t.ping.due, t.ping.since = true, time.Since(t.born)
	t.ping.number++
	t.kick()
	close(t.ready)
	return nil
}

// takeStream does what a frame of a stream says.
func (t *Tunnel) takeStream(f *frame) error {
	number, own := f.stream>>1, f.stream&1 == 1
	if f.kind == kindOpen {
		return t.takeOpen(f, number, own)
	}
	s, newest := t.theirs[number], t.newest
	if own {
		s, newest = t.mine[number], t.last
	}
	if number == 0 || number > newest {
		return broken("a stream is opened before anything else is sent on it")
	}
	switch f.kind {
	case kindHead, kindData:
		return t.takePiece(s, f, own)
	case kindReset:
		if s != nil {
			s.fail(resetError(f.resetCode(), string(f.reason[:min(len(f.reason), maxReason)])))
		}
		return nil
	case kindCredit:
		if s == nil || s.err != nil {
			return nil
		}
		return t.takeCredit(s, f.number)
	}
	return errTunnel
}

// takePiece takes a Head or a Data; s is nil if the stream is over.
func (t *Tunnel) takePiece(s *stream, f *frame, own bool) error {
	if f.kind == kindHead && !own {
		return broken("a head comes from who serves the stream")
	}
	if s == nil || s.err != nil {
		return t.discard(len(f.body))
	}
	if own && (f.kind == kindHead) == s.in.headed {
		return broken("an answer has one head, before all else")
	}
	if f.kind == kindHead {
		if f.status < 200 || f.status > 999 {
			return broken("the status of an answer is from 200 to 999")
		}
		if f.headSize() > maxHead {
			return errHeadSize
		}
		s.in.headed = true
		s.takeHead(f)
	}
	if err := s.takeBody(f.body, f.end); err != nil {
		return err
	}
	tell(s.in.some)
	return nil
}

var errHeadSize = broken("a head has no more than 64 KiB of text")

// takeBody takes a piece of the body.
func (s *stream) takeBody(piece []byte, end bool) error {
	if s.in.end {
		return broken("nothing follows the end")
	}
	if s.in.allowed -= int64(len(piece)); s.in.allowed < 0 {
		return broken("no more is sent than the stream has credit for")
	}
	switch {
	case s.returned:
		if err := s.t.discard(len(piece)); err != nil {
			return err
		}
		s.in.owed += int64(len(piece))
		s.settle()
	case len(piece) > 0:
		if err := s.t.receive(len(piece)); err != nil {
			return err
		}
		s.in.buf = s.in.buf.with(piece)
	}
	if s.in.end = end; end && s.own {
		// The answer is there: what is left of the request interests nobody.
		s.dropOut()
		s.leave()
		s.whole.Store(true)
	}
	return nil
}

// takeOpen begins a stream of the other end.
func (t *Tunnel) takeOpen(f *frame, number uint64, own bool) error {
	switch {
	case own || number != t.newest+1:
		return broken("streams are numbered from 1, without gaps")
	case len(t.theirs) >= t.config.MaxStreams:
		return broken("no more streams are open than are allowed")
	case f.headSize() > maxHead:
		return errHeadSize
	case len(f.caller) > maxCaller:
		return broken("a caller is named in no more bytes than are allowed")
	case !validMethod(f.method, f.errand):
		return broken("a method is POST, GET or DELETE")
	}
	t.newest = number
	s := &stream{t: t, number: number, cancel: func(error) {}} // Nothing runs for it yet, and the tunnel may be lost before.
	s.in.allowed = int64(t.config.StreamCredit)
	s.out.credit = t.peer.streamCredit
	t.theirs[number] = s
	t.busy.Add(1)
	if t.config.Handler == nil || t.drained || t.serving >= t.config.MaxStreams {
		s.reset(tunnelv1.ResetCode_RESET_CODE_REFUSED, t.refusal(), ErrRefused)
		return t.discard(len(f.body))
	}
	if err := s.takeBody(f.body, f.end); err != nil {
		return err
	}
	s.takeRequest(f)
	ctx := s.begin(f.timeout)
	t.serving++
	t.handlers.Add(1)
	go t.serve(ctx, s)
	return nil
}

func (t *Tunnel) refusal() string {
	switch {
	case t.config.Handler == nil:
		return "nothing is served here"
	case t.drained:
		return "draining"
	}
	return "too much to do"
}

// begin makes the context of a stream's handler.
func (s *stream) begin(timeout uint64) context.Context {
	ctx, cancel := context.WithCancelCause(s.t.base)
	s.cancel = cancel
	if timeout == 0 || timeout > math.MaxInt64/uint64(time.Microsecond) {
		return ctx
	}
	ctx, stop := context.WithTimeout(ctx, time.Duration(timeout)*time.Microsecond)
	s.cancel = func(cause error) {
		cancel(cause)
		stop()
	}
	return ctx
}
