//go:build unix && !linux

package spool

import (
	"os"

	"golang.org/x/sys/unix"
)

// sync brings what was written to the disk: from the memory to the file, and from there, on macOS by F_FULLFSYNC, to what
// stays without power.
func (m *mapping) sync() error {
	if err := unix.Msync(m.bytes, unix.MS_SYNC); err != nil {
		return os.NewSyscallError("msync", err)
	}
	return m.file.Sync()
}
