package e2e_test

import "syscall"

// child makes a process a group of its own, which stop signals as a whole, and
// ends it with this one, however that ends: a test that runs into its time limit
// runs no cleanup.
func child() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
}
