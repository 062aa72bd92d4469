//go:build unix

package terminal

import (
	"os"

	"golang.org/x/sys/unix"
)

// foreground reports whether this process is the one that the terminal's user is at: another one that changes how the terminal
// works is stopped.
func foreground(tty *os.File) bool {
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
