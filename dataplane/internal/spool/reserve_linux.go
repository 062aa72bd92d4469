package spool

import (
	"errors"
	"os"
	"syscall"
)

// reserve gives a new file its size, and the blocks for it: a mapped file that has none kills who writes to it.
func reserve(file *os.File, size int64) error {
	for {
		switch err := syscall.Fallocate(int(file.Fd()), 0, 0, size); {
		case errors.Is(err, syscall.EINTR): // by a signal to this process
		case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return fill(file, size)
		default:
			return err
		}
	}
}
