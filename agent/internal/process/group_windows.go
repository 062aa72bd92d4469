package process

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// group is the job that a program and all that it starts belong to. It ends with its last handle, which is ours: when
// this process is gone, so are they.
type group struct{ job windows.Handle }

// prepare keeps Ctrl-C at the console from reaching the program, and a window from opening.
func (group) prepare(a *syscall.SysProcAttr) {
	a.CreationFlags |= windows.CREATE_NEW_PROCESS_GROUP
	a.HideWindow = true
}

// restrict has nothing to take here.
func restrict() error { return nil }

// adopt puts the program, which has just been started, into a job.
func (g *group) adopt(p *os.Process) error {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return fmt.Errorf("create job: %w", err)
	}
	info := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE},
	}
	if _, err := windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info))); err != nil {
		_ = windows.CloseHandle(job)
		return fmt.Errorf("limit job: %w", err)
	}
	process, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(p.Pid))
	if err == nil {
		err = windows.AssignProcessToJobObject(job, process)
		_ = windows.CloseHandle(process)
	}
	if err != nil {
		_ = windows.CloseHandle(job)
		return fmt.Errorf("assign process %d to job: %w", p.Pid, err)
	}
	g.job = job
	return nil
}

func (g *group) reap(*exec.Cmd) { _ = windows.CloseHandle(g.job) }

// isMainThread does not matter here: nothing is done to the thread.
func isMainThread() bool { return false }

// await waits for the program to end. There are no signals that could have killed it.
func (*group) await(cmd *exec.Cmd) (signal int) {
	_ = cmd.Wait()
	return 0
}

// terminate ends the job at once: there is no signal to ask with, and the program has been asked by the end of its stdin.
func (g *group) terminate(*exec.Cmd) { _ = windows.TerminateJobObject(g.job, 1) }
func (g *group) kill(*exec.Cmd)      { _ = windows.TerminateJobObject(g.job, 1) }

// end ends what the program left behind.
func (g *group) end(cmd *exec.Cmd, _ string) { g.kill(cmd) }
