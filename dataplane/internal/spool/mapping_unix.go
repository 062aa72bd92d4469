//go:build unix

package spool

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// mapFile maps the first size bytes of a file, which it has. The mapping owns the file.
func mapFile(file *os.File, size int) (*mapping, error) {
	bytes, err := syscall.Mmap(int(file.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", file.Name(), err)
	}
	return &mapping{file, bytes}, nil
}

// written tells that bytes have changed. The kernel knows.
func (m *mapping) written(int, int) error { return nil }

// forget tells that nobody looks at a range for a while, so that it does not count as memory of this process.
func (m *mapping) forget(from, to int) {
	page := os.Getpagesize()
	from, to = (from+page-1)/page*page, to/page*page
	if m.file != nil && from < to {
		_ = unix.Madvise(m.bytes[from:to], unix.MADV_DONTNEED) // Only advice.
	}
}

// close ends the mapping. Nobody may use its memory any more.
func (m *mapping) close() error {
	if m.file == nil {
		return nil
	}
	return errors.Join(syscall.Munmap(m.bytes), m.file.Close())
}
