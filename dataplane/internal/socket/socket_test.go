package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// pair returns a Conn and its other end.
func pair(t *testing.T) (*Conn, *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	near, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c := New(near.(*net.TCPConn))
	t.Cleanup(func() { c.Close() })
	return c, far.(*net.TCPConn)
}

// pattern is n bytes of which none can be exchanged for another unnoticed.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return p
}

// TestBytesOfAllSizesArriveInBothDirections has the network take no more now and then: its buffer is small.

func TestBytesOfAllSizesArriveInBothDirections(t *testing.T) {
	for _, size := range []int{1, 4 << 10, Quiet - 1, Quiet, Quiet + 1, 8 * Quiet} {
		c, far := pair(t)
		if err := c.SetWriteBuffer(16 << 10); err != nil {
			t.Fatal(err)
		}
		want := pattern(size)
		echoed := make(chan error, 1)
		go func() {
			got := make([]byte, size)
			if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
				echoed <- errors.Join(err, errors.New("other bytes arrived"))
				return
			}
			_, err := far.Write(got)
			echoed <- err
		}()
		if n, err := c.Write(want); n != size || err != nil {
			t.Fatalf("%d bytes: wrote %d, %v", size, n, err)
		}
		got := make([]byte, size)
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: other bytes came back (%v)", size, err)
		}
		if err := <-echoed; err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}

// TestFailuresAreThoseOfAnyConnection holds what package net/http and our own go by.
func TestFailuresAreThoseOfAnyConnection(t *testing.T) {
	read := func(c *Conn) error { _, err := c.Read(make([]byte, 8)); return err }
	fill := func(c *Conn) error {
		for p := make([]byte, Quiet); ; {
			if _, err := c.Write(p); err != nil {
				return err
			}
		}
	}
	reset := func(c *Conn, far *net.TCPConn) error {
		err := errors.Join(far.SetLinger(0), far.Close())
		for err == nil && !errors.Is(read(c), syscall.ECONNRESET) { // It is on its way.
			err = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		}
		return err
	}
	for name, test := range map[string]struct {
		before func(*Conn, *net.TCPConn) error
		do     func(*Conn) error
		op     string
		want   error
	}{
		"a deadline of a read":  {func(c *Conn, _ *net.TCPConn) error { return c.SetReadDeadline(time.Unix(1, 0)) }, read, "read", os.ErrDeadlineExceeded},
		"a deadline of a write": {func(c *Conn, _ *net.TCPConn) error { return c.SetWriteDeadline(time.Now().Add(time.Millisecond)) }, fill, "write", os.ErrDeadlineExceeded},
		"closed before a read":  {func(c *Conn, _ *net.TCPConn) error { return c.Close() }, read, "read", net.ErrClosed},
		"closed before a write": {func(c *Conn, _ *net.TCPConn) error { return c.Close() }, fill, "write", net.ErrClosed},
		"reset before a write":  {reset, fill, "write", syscall.EPIPE},
		"the other end hung up": {func(_ *Conn, far *net.TCPConn) error { return far.Close() }, read, "", io.EOF},
	} {
		c, far := pair(t)
		if err := test.before(c, far); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err := test.do(c)
		failed, _ := errors.AsType[*net.OpError](err)
		if !errors.Is(err, test.want) || (failed != nil) != (test.op != "") || failed != nil && failed.Op != test.op {
			t.Errorf("%s: %v, want %v of a %q", name, err, test.want, test.op)
		}
	}
}

func TestAReaderThatWaitsIsToldThatItsConnectionIsClosed(t *testing.T) {
	c, _ := pair(t)
	told := make(chan error, 1)
	go func() { _, err := c.Read(make([]byte, 1)); told <- err }()
	c.Close()
	if err := <-told; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

func TestAnExchangeAllocatesNothing(t *testing.T) {
	c, far := pair(t)
	p := make([]byte, 512)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(far, p); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Write(p); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, p); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}
