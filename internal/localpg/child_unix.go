//go:build unix

package localpg

import "syscall"

// askFast and askNow ignore the error: the one there is says that it has ended.
func askFast(c *child) { _ = c.cmd.Process.Signal(syscall.SIGINT) }
func askNow(c *child)  { _ = c.cmd.Process.Signal(syscall.SIGQUIT) }
