// Package socket reads and writes TCP connections without waking the Go runtime for it.
//
// The runtime has a thread that watches the others: it takes the processor from whoever is in a system call for long,
// and preempts who computes for long. It sleeps while nothing runs, and the first system call after that wakes it. A
// node that waits by turns for a client and for a server so wakes it twice a call, and each time it finds nothing to do:
//
//	client ──▶ read, write ──▶ server ... nothing runs, the watcher goes to sleep ... server ──▶ read, write ──▶ client
//	             └─ wakes the watcher: a futex, two switches of threads, a sleep of 20 µs, and the same again
//
// With one caller that was a fifth of the node's CPU. A small read or write of a socket that does not block is not what
// the watcher is for: it copies, and returns. So on Linux it is made as a system call that the runtime is not told of.
// What is more than Quiet bytes is told, and so is all else that the process does, so that the watcher is awake
// where there is work: it sleeps until the next timer at most.
package socket

import (
	"net"
	"os"
)

// Quiet is up to what size, in bytes, a read or a write is made without the runtime's knowing. To copy as much takes
// some ten microseconds, in which the thread cannot be interrupted.
const Quiet = 64 << 10

// Conn is a TCP connection. As with any, one goroutine may read while another one writes; but two may not read at the
// same time, nor two write.
type Conn struct {
	*net.TCPConn
	lanes
}

// New returns a Conn that has the connection from then on.
func New(tcp *net.TCPConn) *Conn {
	c := &Conn{TCPConn: tcp}
	c.prepare(tcp)
	return c
}

// failed is an error of the system as package net would tell it.
func (c *Conn) failed(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: os.NewSyscallError(op, err)}
}

// renamed gives an error of the raw connection the name of what was done. Package net/http goes by that.
func renamed(op string, err error) error {
	if failed, ok := err.(*net.OpError); ok { //nolint:errorlint // It was made for this call, as it is.
		failed.Op = op
	}
	return err
}
