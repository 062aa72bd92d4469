package socket

import (
	"io"
	"runtime"
	"syscall"

	"github.com/warder-gateway/warder/dataplane/internal/memfile"
)

// WriteLent writes before, and then p, which lies in a file at an offset: p is sent by reference, and before leaves in the
// packet in which p begins. Deadlines and errors are those of Write. What the system refuses to send so is copied.
func (c *Conn) WriteLent(before, p []byte, file *memfile.File, at int64) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	l := lent{before: before, file: file.Descriptor(), at: at, end: at + int64(len(p))}
	err = raw.Write(l.once)
	runtime.KeepAlive(file)
	if err != nil {
		return renamed("write", err)
	}
	if len(l.before) > 0 {
		if _, err := c.TCPConn.Write(l.before); err != nil {
			return err
		}
	}
	if rest := p[len(p)-int(l.end-l.at):]; len(rest) > 0 {
		_, err = c.TCPConn.Write(rest)
	}
	return err
}

// lent is what is still to be sent.
type lent struct {
	before  []byte
	file    int
	at, end int64 // in the file
	err     error // why not all was sent
}

// once sends until all is sent or something fails; false: it has to wait.
func (l *lent) once(fd uintptr) bool {
	for l.err = nil; l.err == nil && (len(l.before) > 0 || l.at < l.end); {
		if len(l.before) > 0 {
			var n int
			n, l.err = syscall.SendmsgN(int(fd), l.before, nil, nil, syscall.MSG_MORE)
			l.before = l.before[max(n, 0):]
		} else {
			l.err = l.send(fd)
		}
		if l.err == syscall.EINTR { //nolint:errorlint // It is as the system call has it.
			l.err = nil
		}
	}
	return l.err != syscall.EAGAIN //nolint:errorlint // Likewise.
}

// send sends as much of the file as the network takes. The kernel moves l.at.
func (l *lent) send(fd uintptr) error {
	n, err := syscall.Sendfile(int(fd), l.file, &l.at, int(l.end-l.at))
	if n == 0 && err == nil {
		return io.ErrUnexpectedEOF // It cannot be: the file is sealed. But it must not go on for ever.
	}
	return err
}
