package spool

import (
	"errors"
	"os"
	"syscall"
)

// sync brings what was written to the disk. Linux knows the pages of a file that were written through memory, so that there
// is no need of msync; and it leaves out the file's times, which would cost a commit of the file system's journal.
func (m *mapping) sync() error {
	raw, err := m.file.SyscallConn()
	if err != nil {
		return err
	}
	failed := raw.Control(func(fd uintptr) {
		for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
			err = syscall.Fdatasync(int(fd))
		}
	})
	return errors.Join(os.NewSyscallError("fdatasync", err), failed)
}
