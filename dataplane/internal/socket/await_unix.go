//go:build unix

package socket

import (
	"io"
	"syscall"
)

// CanAwait says whether there is an Await.
const CanAwait = true

// Await waits until there is something to read, and reads nothing. It is io.EOF where the other end has hung up, and
// fails as Read does.
func (c *Conn) Await() error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var n int
	var failed error
	var one [1]byte
	err = raw.Read(func(fd uintptr) bool {
		for failed = syscall.EINTR; failed == syscall.EINTR; { //nolint:errorlint // It is as the system call has it.
			n, _, failed = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
		}
		return failed != syscall.EAGAIN //nolint:errorlint // Likewise.
	})
	switch {
	case err != nil:
		return renamed("read", err)
	case failed != nil:
		return c.failed("read", failed)
	case n == 0:
		return io.EOF
	}
	return nil
}
