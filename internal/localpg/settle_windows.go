package localpg

import (
	"os"
	"syscall"
)

// The job object leaves no server behind here, see tie; and a pid that was given
// out anew is for postgres to tell.
var leftoverSignals = []syscall.Signal{syscall.SIGKILL}

func signalPID(pid int, _ syscall.Signal) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return p.Kill()
}

func stateOf(int, string) state { return stateUnknown }
func strays(string) []int       { return nil }
