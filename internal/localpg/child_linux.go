package localpg

import (
	"os"
	"syscall"
)

// bindDeath gives the child a process group of its own, so that Ctrl-C at a
// terminal reaches Warder alone, and has the kernel signal it when we are gone.
func bindDeath(a *syscall.SysProcAttr, d death) {
	a.Setpgid = true
	a.Pdeathsig = syscall.SIGINT
	if d == deathKill {
		a.Pdeathsig = syscall.SIGKILL
	}
}

// tie has nothing to add to bindDeath here.
func tie(*os.Process) (release func(), err error) { return func() {}, nil }
