//go:build !linux

package spool

import "github.com/warder-gateway/warder/dataplane/internal/turns"

// flusher brings the file of a ring to the disk.
type flusher struct{}

// flush returns when what was written to a mapping before is on the disk.
func (*flusher) flush(m *mapping) (err error) {
	turns.WaitOften(func() { err = m.sync() })
	return err
}

func (*flusher) close() {}
