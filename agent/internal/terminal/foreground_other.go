//go:build !unix

package terminal

import "os"

// foreground reports whether this process is the one that the terminal's user is at: there is no other.
func foreground(*os.File) bool { return true }
