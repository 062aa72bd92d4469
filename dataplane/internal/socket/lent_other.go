//go:build !linux

package socket

import "github.com/warder-gateway/warder/dataplane/internal/memfile"

// WriteLent writes before, and then p. There are no files of memory here.
func (c *Conn) WriteLent(before, p []byte, _ *memfile.File, _ int64) error {
	for _, part := range [][]byte{before, p} {
		if _, err := c.TCPConn.Write(part); err != nil {
			return err
		}
	}
	return nil
}
