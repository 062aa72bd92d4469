//go:build unix

package localsock

import (
	"errors"
	"os"
	"syscall"
)

// ownerOf returns the user that a directory belongs to.
func ownerOf(dir string) (int, error) {
	info, err := os.Lstat(dir)
	if err != nil {
		return -1, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1, errors.ErrUnsupported
	}
	return int(stat.Uid), nil
}
