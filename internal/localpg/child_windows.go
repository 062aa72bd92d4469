package localpg

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// bindDeath keeps Ctrl-C at the console from reaching the child.
func bindDeath(a *syscall.SysProcAttr, _ death) { a.CreationFlags |= windows.CREATE_NEW_PROCESS_GROUP }

// tie puts the child into a job that ends with its last handle, which is ours:
// when this process is gone, so are the child and its children.
func tie(p *os.Process) (release func(), err error) {
	job, err := windows.CreateJobObject(nil, nil)
	if err != nil {
		return nil, fmt.Errorf("create job: %w", err)
	}
	release = func() { _ = windows.CloseHandle(job) }
	info := windows.JOBOBJECT_EXTENDED_LIMIT_INFORMATION{
		BasicLimitInformation: windows.JOBOBJECT_BASIC_LIMIT_INFORMATION{
			LimitFlags: windows.JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE,
		},
	}
	if _, err := windows.SetInformationJobObject(job, windows.JobObjectExtendedLimitInformation,
		uintptr(unsafe.Pointer(&info)), uint32(unsafe.Sizeof(info))); err != nil {
		release()
		return nil, fmt.Errorf("limit job: %w", err)
	}
	h, err := windows.OpenProcess(windows.PROCESS_SET_QUOTA|windows.PROCESS_TERMINATE, false, uint32(p.Pid))
	if err != nil {
		release()
		return nil, fmt.Errorf("open process %d: %w", p.Pid, err)
	}
	defer windows.CloseHandle(h)
	if err := windows.AssignProcessToJobObject(job, h); err != nil {
		release()
		return nil, fmt.Errorf("assign process %d to job: %w", p.Pid, err)
	}
	return release, nil
}

// askSmart asks through pg_ctl, because there are no signals here.
func askSmart(c *child) { askCtl(c, "smart") }
func askFast(c *child)  { askCtl(c, "fast") }
func askNow(c *child)   { askCtl(c, "immediate") }

func askCtl(c *child, mode string) {
	for i, arg := range c.cmd.Args {
		if arg == "-D" && i+1 < len(c.cmd.Args) {
			bin := filepath.Dir(c.cmd.Path)
			// If it fails, end asks more firmly.
			_ = exec.Command(executable(bin, "pg_ctl"), "stop", "-D", c.cmd.Args[i+1], "-m", mode, "-W").Run()
		}
	}
}
