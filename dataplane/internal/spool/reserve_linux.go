package spool

import (
	"errors"
	"os"
	"syscall"
)

// reserve gives a new file its size, and the blocks for it: a mapped file that has none kills who writes to it.
func reserve(file *os.File, size int64) error {
	err := syscall.Fallocate(int(file.Fd()), 0, 0, size)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		return fill(file, size)
	}
	return err
}
