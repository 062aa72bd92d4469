//go:build linux && !race

package socket

import (
	"io"
	"net"
	"syscall"
	"unsafe"
)

// lanes are the two directions of a connection, each with what a system call of it needs and has brought, so that none
// allocates.
type lanes struct {
	raw     syscall.RawConn // nil: the connection is read and written as any
	in, out lane
}

type lane struct {
	once func(fd uintptr) bool // one try; false: it has to wait
	p    []byte
	n    int
	err  syscall.Errno
}

func (l *lanes) prepare(tcp *net.TCPConn) {
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	l.raw = raw
	l.in.once, l.out.once = l.in.read, l.out.write
}

// Read implements io.Reader. Streams that say nothing wait in it, so it takes little of a stack.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 || len(p) > Quiet || c.raw == nil {
		return c.TCPConn.Read(p)
	}
	c.in.p = p
	err := c.raw.Read(c.in.once)
	c.in.p = nil
	if err != nil || c.in.n == 0 {
		return c.unread(err)
	}
	return c.in.n, nil
}

// unread says why nothing was read.
//
//go:noinline
func (c *Conn) unread(err error) (int, error) {
	switch {
	case err != nil:
		return 0, renamed("read", err)
	case c.in.err != 0:
		return 0, c.failed("read", c.in.err)
	}
	return 0, io.EOF
}

// Write implements io.Writer.
func (c *Conn) Write(p []byte) (int, error) {
	if len(p) == 0 || len(p) > Quiet || c.raw == nil {
		return c.TCPConn.Write(p)
	}
	out := &c.out
	out.p, out.n, out.err = p, 0, 0
	err := c.raw.Write(out.once)
	out.p = nil
	switch {
	case err != nil:
		return out.n, renamed("write", err)
	case out.err != 0:
		return out.n, c.failed("write", out.err)
	}
	return out.n, nil
}

func (l *lane) read(fd uintptr) bool {
	l.n, l.err = transfer(syscall.SYS_READ, fd, l.p)
	return l.err != syscall.EAGAIN
}

// write writes until all is written, or the network takes no more.
func (l *lane) write(fd uintptr) bool {
	for l.n < len(l.p) {
		n, err := transfer(syscall.SYS_WRITE, fd, l.p[l.n:])
		if err != 0 {
			l.err = err
			return err != syscall.EAGAIN
		}
		l.n += n
	}
	l.err = 0
	return true
}

// transfer reads or writes once. The buffer is not empty, and the socket does not block.
func transfer(call, fd uintptr, p []byte) (int, syscall.Errno) {
	for {
		n, _, err := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch err {
		case 0:
			return int(n), 0
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}

// Try reads once from a socket that does not block.
func Try(fd uintptr, p []byte) (int, error) {
	n, err := transfer(syscall.SYS_READ, fd, p)
	if err != 0 {
		return 0, err
	}
	return n, nil
}
