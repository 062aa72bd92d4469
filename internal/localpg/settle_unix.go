//go:build unix

package localpg

import "syscall"

// leftoverSignals are sent in turn: shut down in order, then at once.
var leftoverSignals = []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT}

func signalPID(pid int, sig syscall.Signal) error { return syscall.Kill(pid, sig) }

// exists reports whether there is a process of that pid, dead or alive.
func exists(pid int) bool { return syscall.Kill(pid, 0) != syscall.ESRCH }
