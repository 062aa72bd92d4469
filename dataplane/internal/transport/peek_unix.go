//go:build unix

package transport

import (
	"io"
	"net"
	"syscall"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/socket"
)

// probeAge is how long a connection must have been idle to be probed before it is used. A probe costs about an eighth of
// what an exchange does, and each one has it: bytes after an answer mostly come at once.
const probeAge = time.Duration(0)

// peek reads from a connection what is there, without waiting, and without allocating.
type peek struct {
	raw  syscall.RawConn
	once func(fd uintptr) bool
	into []byte
	n    int
	err  error
}

func (p *peek) prepare(connection net.Conn) {
	if c, ok := connection.(syscall.Conn); ok {
		p.raw, _ = c.SyscallConn()
	}
	p.once = func(fd uintptr) bool {
		p.n, p.err = socket.Try(fd, p.into)
		return true
	}
}

// read returns errNotYet if there is nothing, and io.EOF if the other side has closed the connection.
func (p *peek) read(_ net.Conn, into []byte) (int, error) {
	if p.raw == nil {
		return 0, errOdd
	}
	p.into = into
	err := p.raw.Read(p.once)
	p.into = nil
	switch {
	case err != nil:
		return 0, err
	case p.err == syscall.EAGAIN || p.err == syscall.EINTR:
		return 0, errNotYet
	case p.err != nil:
		return 0, p.err
	case p.n == 0:
		return 0, io.EOF
	}
	return p.n, nil
}
