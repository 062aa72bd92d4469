//go:build unix

package httpserver

import (
	"net"

	"golang.org/x/sys/unix"
)

// waits reports whether somebody has connected whom nobody has accepted yet.
func waits(l *net.TCPListener) bool {
	raw, err := l.SyscallConn()
	if err != nil {
		return false
	}
	found := false
	err = raw.Control(func(fd uintptr) {
		looks := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(looks, 0)
		found = err == nil && n > 0 && looks[0].Revents&unix.POLLIN != 0
	})
	return err == nil && found
}
