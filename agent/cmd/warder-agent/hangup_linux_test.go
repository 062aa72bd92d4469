package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// hangUp is what becomes of a terminal whose connection is lost: its other side is closed.
func (p *pty) hangUp() {
	p.t.Helper()
	if err := p.master.Close(); err != nil {
		p.t.Fatal(err)
	}
	gone := []unix.PollFd{{Fd: int32(p.replica.Fd())}}
	for deadline := time.Now().Add(20 * time.Second); ; {
		if _, err := unix.Poll(gone, 100); err != nil && !errors.Is(err, unix.EINTR) {
			p.t.Fatal(err)
		}
		if gone[0].Revents&unix.POLLHUP != 0 {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatal("the terminal is still there")
		}
	}
}

// watched starts an agent before the terminal, with its log in a file, by a shell that runs a command first, and waits until
// the view is there.
func watched(p *pty, first string, args []string) (agent *exec.Cmd, logged func() string) {
	p.t.Helper()
	file, err := os.Create(filepath.Join(p.t.TempDir(), "log"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer file.Close()
	agent = program(p.t, args)
	agent.Args = append([]string{"sh", "-c", first + ` exec "$@"`, "sh", agent.Path}, agent.Args[1:]...)
	if agent.Path, err = exec.LookPath("sh"); err != nil {
		p.t.Fatal(err)
	}
	agent.Stdin, agent.Stdout, agent.Stderr = p.replica, p.replica, file
	agent.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := agent.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.until("q stop the agent", p.until(alternate, 0))
	return agent, func() string {
		text, err := os.ReadFile(file.Name())
		if err != nil {
			p.t.Fatal(err)
		}
		return string(text)
	}
}

// A laptop whose lid is closed ends the connection of who looks at an agent elsewhere.
func TestAnAgentStopsInOrderWhenItsTerminalGoes(t *testing.T) {
	p := newPTY(t, 80, 24)
	agent, logged := watched(p, "", joined(t))
	p.hangUp()
	// The shell passes on what the kernel says, and the kernel says it again when the shell ends.
	if err := agent.Process.Signal(syscall.SIGHUP); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if text := logged(); !strings.Contains(text, `"agent is going down"`) {
		t.Errorf("it did not end in order: %s", text)
	}
}

// Who starts it with nohup wants it to go on, and it does so without a view, and without working at one.
func TestAnAgentGoesOnWithoutItsTerminalWhereItWasToldTo(t *testing.T) {
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer control.Close()
	tries := make(chan struct{})
	go func() {
		for {
			conn, err := control.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
			select {
			case tries <- struct{}{}:
			case <-t.Context().Done():
				return
			}
		}
	}()
	args := joined(t)
	for i := range args {
		if args[i] == "--control-plane" {
			args[i+1] = control.Addr().String()
		}
	}
	p := newPTY(t, 80, 24)
	go func() { // Until the view is there, nobody counts.
		for range 2 {
			<-tries
		}
	}()
	agent, logged := watched(p, "trap '' HUP;", args)
	p.hangUp()
	began, before := time.Now(), cpu(t, agent.Process.Pid)
	for range 4 {
		select {
		case <-tries:
		case <-time.After(30 * time.Second):
			t.Fatalf("it connects no more: %s", logged())
		}
	}
	if worked, passed := cpu(t, agent.Process.Pid)-before, time.Since(began); worked > passed/5 {
		t.Errorf("in %v it worked for %v, for nobody", passed, worked)
	}
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if text := logged(); !strings.Contains(text, `goes on without it","error":"the terminal has gone"`) || !strings.Contains(text, `"agent is going down"`) {
		t.Errorf("it does not say that the view ended, or did not end in order itself: %s", text)
	}
}

// cpu is how long a process has worked: fields 14 and 15 of its state, in hundredths of a second.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var hundredths int64
	for _, field := range fields[11:13] { // The pid and the name stand before.
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		hundredths += n
	}
	return time.Duration(hundredths) * 10 * time.Millisecond
}
