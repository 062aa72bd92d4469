//go:build unix && !linux

package localpg

import (
	"os"
	"syscall"
)

// bindDeath gives the child a process group of its own. These systems have no
// signal for the death of a parent: a server that outlives us is ended by the
// next Start, see settle.
func bindDeath(a *syscall.SysProcAttr, _ death) { a.Setpgid = true }

// tie has nothing to add here.
func tie(*os.Process) (release func(), err error) { return func() {}, nil }
