package localsock

import (
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peerUID returns the user that the kernel recorded when the peer connected.
func peerUID(conn *net.UnixConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return -1, fmt.Errorf("reach socket: %w", err)
	}
	var credentials *unix.Ucred
	var failed error
	err = raw.Control(func(fd uintptr) {
		credentials, failed = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err != nil {
		return -1, fmt.Errorf("reach socket: %w", err)
	}
	if failed != nil {
		return -1, fmt.Errorf("read credentials of the peer: %w", failed)
	}
	return int(credentials.Uid), nil
}
