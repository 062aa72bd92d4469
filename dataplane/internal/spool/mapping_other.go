//go:build !unix

package spool

import (
	"fmt"
	"io"
	"os"
)

// mapFile reads the first size bytes of a file, which it has. The mapping owns the file.
func mapFile(file *os.File, size int) (*mapping, error) {
	m := &mapping{file, make([]byte, size)}
	if _, err := io.ReadFull(io.NewSectionReader(file, 0, int64(size)), m.bytes); err != nil {
		return nil, fmt.Errorf("read %s: %w", file.Name(), err)
	}
	return m, nil
}

// written writes bytes that have changed to the file.
func (m *mapping) written(offset, n int) error {
	if m.file == nil {
		return nil
	}
	_, err := m.file.WriteAt(m.bytes[offset:offset+n], int64(offset))
	return err
}

// sync brings what was written to the disk.
func (m *mapping) sync() error { return m.file.Sync() }

// forget does nothing: this memory is all there is.
func (m *mapping) forget(int, int) {}

// close closes the file.
func (m *mapping) close() error {
	if m.file == nil {
		return nil
	}
	return m.file.Close()
}
