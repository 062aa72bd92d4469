//go:build unix

package pgtest

import (
	"os/exec"
	"syscall"
)

// detach keeps what ends us, as Ctrl-C at a terminal, from ending cmd.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }
