package transport

import (
	"context"
	"errors"
	"io"
)

// answer is what lies behind a Response of our own client: it has the connection until it is closed.
type answer struct {
	response Response
	conn     *conn // nil: closed
	ctx      context.Context
	err      error // of a body that cannot be read on
}

// Read is io.Reader for the body.
func (a *answer) Read(p []byte) (int, error) {
	c := a.conn
	switch {
	case c == nil:
		return 0, &Error{Sent: true, Err: ErrClosed}
	case a.err != nil:
		return 0, a.err
	}
	n, err := c.body.read(&c.src, p)
	if err == nil || errors.Is(err, io.EOF) && c.body.phase == ended {
		return n, err
	}
	a.fail(err)
	return n, a.err
}

// fail keeps why the body cannot be read on. It is by itself for the sake of the stacks of those who wait in Read.
//
//go:noinline
func (a *answer) fail(err error) { a.err = &Error{Sent: true, Err: causeOf(a.ctx, err)} }

// Close is io.Closer for the body.
func (a *answer) Close() error {
	a.release(false)
	return nil
}

// Finish implements Exchange.
func (a *answer) Finish() { a.release(true) }

func (a *answer) release(patient bool) {
	if c := a.conn; c != nil {
		a.conn = nil
		c.finish(patient)
	}
}

// Header implements Exchange.
func (a *answer) Header(name string) string {
	c := a.conn
	if c == nil {
		return ""
	}
	return text(find(c.src.buf.bytes[c.head.start:c.head.end], name))
}

// text makes a string of a value. The commonest values cost nothing.
func text(value []byte) string {
	switch string(value) {
	case "application/json":
		return "application/json"
	case "text/event-stream":
		return "text/event-stream"
	}
	return string(value)
}
