//go:build unix && (!linux || race)

package socket

import "syscall"

// Try reads once from a socket that does not block.
func Try(fd uintptr, p []byte) (int, error) { return syscall.Read(int(fd), p) }
