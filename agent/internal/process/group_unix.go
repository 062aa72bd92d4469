//go:build unix && !linux

package process

import (
	"os"
	"os/exec"
	"syscall"
	"time"
)

// group is the process group of a program.
type group struct{}

// prepare gives the program a group of its own. These systems have no signal for the death of a parent: a program that
// outlives us sees its stdin end.
func (group) prepare(a *syscall.SysProcAttr) { a.Setpgid = true }

// restrict has nothing to take: these systems have no switch like Linux's no_new_privs.
func restrict() error { return nil }

func (group) adopt(*os.Process) error { return nil }
func (group) reap(*exec.Cmd)          {}

// isMainThread does not matter here: nothing is done to the thread.
func isMainThread() bool { return false }

// await waits for the program to end. It is reaped then; its group keeps its id for as long as somebody is in it.
// It returns the signal that killed it; 0 if none did.
func (group) await(cmd *exec.Cmd) (signal int) {
	_ = cmd.Wait() // What it ended with is in its state.
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return int(status.Signal())
	}
	return 0
}

// terminate and kill ignore the error: the one there is says that nothing is left.
func (group) terminate(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
func (group) kill(cmd *exec.Cmd)      { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

const (
	// farewell is how long what a program left behind may take to end after SIGTERM.
	farewell = 500 * time.Millisecond
	// glance is the time between two looks.
	glance = 10 * time.Millisecond
)

// end ends what the program left behind in its group. The system reaps it.
func (g group) end(cmd *exec.Cmd, _ string) {
	for deadline := time.Now().Add(farewell); time.Now().Before(deadline); time.Sleep(glance) {
		if syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) != nil {
			return // Nobody is in it.
		}
	}
	g.kill(cmd)
}
