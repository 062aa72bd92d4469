//go:build unix && !linux

package e2e_test

import "syscall"

// child makes a process a group of its own, which stop signals as a whole.
func child() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
