//go:build unix

package localpg

import "syscall"

// askSmart, askFast and askNow ignore the error: the one there is says that it has
// ended.
func askSmart(c *child) { _ = c.cmd.Process.Signal(syscall.SIGTERM) }
func askFast(c *child)  { _ = c.cmd.Process.Signal(syscall.SIGINT) }
func askNow(c *child)   { _ = c.cmd.Process.Signal(syscall.SIGQUIT) }
