//go:build unix

package manifest

import (
	"io/fs"
	"os"
	"syscall"
)

// self is the user that the agent runs as.
func self() int { return os.Geteuid() }

// owner returns the user that a file belongs to, who may write to it or let himself. known is false where that says nothing.
func owner(info fs.FileInfo) (uid int, known bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(stat.Uid), true
}
