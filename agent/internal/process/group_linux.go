package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// group is the process group of a program, and what left it.
type group struct{}

// prepare gives the program a group of its own, and has the kernel kill it when we are gone.
func (group) prepare(a *syscall.SysProcAttr) {
	a.Setpgid = true
	a.Pdeathsig = syscall.SIGKILL
}

// adoption makes this process the parent of orphans below it, once, and reaps them from then on.
var adoption = sync.OnceValue(func() error {
	err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	if err == nil {
		go reapOrphans(context.Background()) // It lasts as long as the process: there may be orphans at any time.
	}
	return err
})

// orphanTime is for how long a zombie must be seen to count as nobody's. Whoever started a program itself waits for it.
const orphanTime = 10 * time.Second

// reapOrphans reaps what has ended and is waited for by nobody: what servers started, and left alone, while they run.
func reapOrphans(ctx context.Context) {
	ticker := time.NewTicker(orphanTime)
	defer ticker.Stop()
	seen := map[int]bool{}
	for ctx.Err() == nil {
		<-ticker.C
		now := map[int]bool{}
		for _, pid := range zombies() {
			if seen[pid] {
				_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
			} else {
				now[pid] = true
			}
		}
		seen = now
	}
}

// zombies lists our children that have ended and were not reaped.
func zombies() (pids []int) {
	lists, _ := filepath.Glob("/proc/self/task/*/children") // The pattern is well-formed.
	for _, list := range lists {
		text, _ := os.ReadFile(list) // A thread may have ended.
		for _, field := range bytes.Fields(text) {
			pid, err := strconv.Atoi(string(field))
			if err != nil {
				continue
			}
			if state, _, _, ok := readStat(pid); ok && state == 'Z' {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// restrict takes from the calling thread, and from what it starts, the means to gain privileges.
func restrict() error {
	if err := adoption(); err != nil {
		return fmt.Errorf("become parent of orphans: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("renounce privileges: %w", err)
	}
	return nil
}

// isMainThread reports whether the calling goroutine is on the thread that the process began with.
func isMainThread() bool { return unix.Gettid() == os.Getpid() }

func (group) adopt(*os.Process) error { return nil }

// await waits for the program to end and leaves it unreaped, so that its id, which is the group's, is nobody else's yet. It
// returns the signal that killed it; 0 if none did.
func (group) await(cmd *exec.Cmd) (signal int) {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err == nil && (info.Code == cldKilled || info.Code == cldDumped):
			return int((*childInfo)(unsafe.Pointer(&info)).child.status)
		}
		return 0
	}
}

// How a child ended, as siginfo_t says it (sigaction(2)).
const (
	cldKilled = 2
	cldDumped = 3
)

// childInfo is siginfo_t of a child: its fields come after three numbers, where a pointer could stand.
type childInfo struct {
	_     [3]int32
	child struct {
		_      [0]uintptr
		_      int32 // its id
		_      uint32
		status int32
	}
}

// terminate and kill ignore the error: the one there is says that nothing is left.
func (group) terminate(cmd *exec.Cmd) { _ = unix.Kill(-cmd.Process.Pid, unix.SIGTERM) }
func (group) kill(cmd *exec.Cmd)      { _ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) }

const (
	// farewell is how long what a program left behind may take to end after SIGTERM.
	farewell = 500 * time.Millisecond
	// death is how long the kernel may take to end what was killed.
	death = 5 * time.Second
	// glance is the time between two looks.
	glance = 10 * time.Millisecond
)

// end ends and reaps what the program, which has ended and is not reaped, left behind.
func (group) end(cmd *exec.Cmd, tag string) {
	told := map[int]syscall.Signal{}
	if !sweep(cmd.Process.Pid, tag, told, unix.SIGTERM, farewell) {
		sweep(cmd.Process.Pid, tag, told, unix.SIGKILL, death)
	}
}

// sweep signals what is left until nothing is, or time is up, and reports whether nothing is. Whoever was signalled is
// noted in told.
func sweep(leader int, tag string, told map[int]syscall.Signal, signal syscall.Signal, patience time.Duration) bool {
	for deadline := time.Now().Add(patience); ; time.Sleep(glance) {
		left := remains(leader, tag, told)
		for _, r := range left {
			switch {
			case r.zombie:
				_, _ = unix.Wait4(r.pid, nil, unix.WNOHANG, nil)
			case told[r.pid] != signal:
				told[r.pid] = signal
				_ = unix.Kill(r.pid, signal) // It may have ended by itself.
			}
		}
		if len(left) == 0 {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// reap takes the program's id off the kernel's list.
func (group) reap(cmd *exec.Cmd) { _ = cmd.Wait() } // How it ended is in its ProcessState.

// remain is a process that a program left behind: alive, or a zombie that we have to reap.
type remain struct {
	pid    int
	zombie bool
}

// remains lists the processes of the leader's group, and all that have the tag in their environment, but for the leader.
// A zombie has no environment any more; it is known by having been told to end.
func remains(leader int, tag string, told map[int]syscall.Signal) (left []remain) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	marked := []byte(mark + "=" + tag + "\x00")
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == leader || pid == os.Getpid() {
			continue
		}
		state, parent, pgrp, ok := readStat(pid)
		zombie := state == 'Z'
		switch {
		case !ok, zombie && parent != os.Getpid():
		case pgrp == leader, zombie && told[pid] != 0, !zombie && hasTag(pid, marked):
			left = append(left, remain{pid, zombie})
		}
	}
	return left
}

func hasTag(pid int, marked []byte) bool {
	environment, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	return err == nil && bytes.Contains(environment, marked)
}

// readStat reads what proc(5) says of a process.
func readStat(pid int) (state byte, parent, pgrp int, ok bool) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0, 0, false
	}
	// The name, in brackets, may hold anything; what follows may not.
	at := bytes.LastIndexByte(text, ')')
	if at < 0 {
		return 0, 0, 0, false
	}
	fields := bytes.Fields(text[at+1:])
	if len(fields) < 3 {
		return 0, 0, 0, false
	}
	parent, err1 := strconv.Atoi(string(fields[1]))
	pgrp, err2 := strconv.Atoi(string(fields[2]))
	return fields[0][0], parent, pgrp, err1 == nil && err2 == nil
}
