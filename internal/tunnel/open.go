package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// Request is what Do sends. The tunnel only reads it, and not after Do has returned.
type Request struct {
	// Server is the slug of the server that is meant.
	Server string
	// Agent and Errand are for relays; see Open in proto/warder/tunnel/v1.
	Agent, Errand string
	// Caller is for whom it is; see Open. At most 32 bytes.
	Caller []byte
	// Method is POST, GET or DELETE.
	Method string
	// Header is sent as it is. It has at most 256 fields and, with what is above, 64 KiB; all of it is UTF-8.
	Header []Field
	Body   []byte
}

// Field is one field of a header.
type Field = struct{ Name, Value string }

// Response is an answer whose head came. Whoever got it must close its body.
type Response struct {
	Status int
	// Header is as the other end sent it; nothing is known of names and values but that they are UTF-8.
	Header []Field
	// ContentLength is that of the body in bytes, or -1 if its end is yet to come.
	ContentLength int64
	// Body is never nil. Its errors are io.EOF or of type *Error, and a body that was cut short never ends with io.EOF. Close never
	// fails, may be called more than once, and while another goroutine reads.
	Body io.ReadCloser

	body body
}

// Do opens a stream and returns the answer once its head is there. It waits for the tunnel to be ready. The deadline of ctx is told to
// the other end. ctx reaches to the end of the body: when it ends, the other end is told at once. All errors are of type *Error; an
// answer with any status is not an error.
func (t *Tunnel) Do(ctx context.Context, r *Request) (*Response, error) {
	s, err := t.open(ctx, r)
	if err != nil {
		return nil, &Error{Err: err}
	}
	return s.await(ctx)
}

// await waits for the head of the answer.
func (s *stream) await(ctx context.Context) (*Response, error) {
	select {
	case <-s.in.some:
	case <-ctx.Done():
		s.abandon(context.Cause(ctx))
		return nil, s.giveUp(ctx)
	}
	return s.respond(ctx)
}

// late puts the end of a caller's context before what it led to at the other end, of which this one may have heard first: of a
// deadline, before it has seen that itself.
func late(ctx context.Context, err error) error {
	cause := context.Cause(ctx)
	if deadline, ok := ctx.Deadline(); cause == nil && ok && time.Until(deadline) <= 0 {
		cause = context.DeadlineExceeded
	}
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", cause, err)
}

func (e *Error) late(ctx context.Context) *Error { return &Error{Sent: e.Sent, Err: late(ctx, e.Err)} }

// open has the writer open a stream. It fails if nothing of it will be sent.
func (t *Tunnel) open(ctx context.Context, r *Request) (*stream, error) {
	select {
	case <-t.ready:
	default:
		if err := t.awaitReady(ctx); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !validMethod(r.Method, r.Errand) {
		return nil, invalid("its method is none of POST, GET and DELETE")
	}
	var timeout time.Duration
	if deadline, ok := ctx.Deadline(); ok {
		timeout = max(time.Microsecond, time.Until(deadline))
	}
	head, err := openHead(r, timeout)
	if err != nil {
		return nil, err
	}
	s := &stream{t: t, own: true}
	s.in.some = make(chan struct{}, 1)
	s.in.allowed = int64(t.config.StreamCredit)
	s.out = outgoing{kind: kindOpen, head: head, lent: r.Body, end: true}
	if err := t.enqueue(s); err != nil {
		head.free()
		return nil, err
	}
	return s, nil
}

// validMethod reports whether a stream may be opened for a method. Errands need none.
func validMethod[T string | []byte](method, errand T) bool {
	switch string(method) {
	case "POST", "GET", "DELETE":
		return true
	case "":
		return len(errand) > 0
	}
	return false
}

func (t *Tunnel) awaitReady(ctx context.Context) error {
	select {
	case <-t.ready:
		return nil
	case <-t.done:
		return t.cause
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// enqueue has the writer open a stream, if there may be one more.
func (t *Tunnel) enqueue(s *stream) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.cause != nil:
		return t.cause
	case t.peer.drains:
		return ErrDraining
	case t.calls.Load() >= int64(t.peer.maxStreams):
		return ErrFull
	case s.out.head.len()+2*frameOverhead > t.peer.maxFrames:
		return errLarge
	}
	t.calls.Add(1)
	t.busy.Add(1)
	s.out.credit = t.peer.streamCredit
	t.push(s)
	return nil
}

// takeHead makes the response of the head of an answer.
func (s *stream) takeHead(f *frame) {
	s.response.Status = int(f.status)
	words := f.texts()
	s.response.Header = words.header(f.fields)
}

// respond hands the answer to the caller of Do, or says why there is none. One that is all there needs no more looking after; one of
// which only the head came may fail at any time.
func (s *stream) respond(ctx context.Context) (*Response, error) {
	r := &s.response
	b := &r.body
	b.s, b.ctx = s, ctx
	r.Body, r.ContentLength = b, -1
	if s.whole.Load() {
		b.taken, s.in.buf = s.in.buf, nil
		b.whole = true
		r.ContentLength = int64(b.taken.len())
		return r, nil
	}
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if s.failure != nil {
		s.release()
		return nil, s.failure.late(ctx)
	}
	s.out.lent = bytes.Clone(s.out.lent) // the caller's; the server answers before it has read all
	b.stop = context.AfterFunc(ctx, func() { s.abandon(context.Cause(ctx)) })
	return r, nil
}

// giveUp is the error for a caller whose context ended while he waited. The stream may have failed first.
func (s *stream) giveUp(ctx context.Context) *Error {
	s.t.mu.Lock()
	defer s.t.mu.Unlock()
	if s.failure != nil {
		return s.failure.late(ctx)
	}
	return &Error{Sent: true, Err: context.Cause(ctx)}
}
