package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pty is a pseudo-terminal, with a person at its other side who reads everything.
type pty struct {
	t               *testing.T
	master, replica *os.File
	before          *unix.Termios

	mu   sync.Mutex
	seen bytes.Buffer
	more chan struct{} // closed, and replaced, when more is seen
}

func newPTY(t *testing.T, columns, lines uint16) *pty {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	p := &pty{t: t, master: master, more: make(chan struct{})}
	if err := unix.IoctlSetPointerInt(p.fd(), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(p.fd(), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if p.replica, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.replica.Close() })
	p.resize(columns, lines)
	p.before = p.state()
	go p.read()
	return p
}

func (p *pty) fd() int { return int(p.master.Fd()) }

func (p *pty) resize(columns, lines uint16) {
	p.t.Helper()
	if err := unix.IoctlSetWinsize(p.fd(), unix.TIOCSWINSZ, &unix.Winsize{Row: lines, Col: columns}); err != nil {
		p.t.Fatal(err)
	}
}

// state is how the terminal works: whether it echoes, makes lines, and so on.
func (p *pty) state() *unix.Termios {
	p.t.Helper()
	state, err := unix.IoctlGetTermios(int(p.replica.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatal(err)
	}
	return state
}

func (p *pty) read() {
	piece := make([]byte, 4096)
	for {
		n, err := p.master.Read(piece)
		p.mu.Lock()
		p.seen.Write(piece[:n])
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// until waits until a text is seen from a place on, and returns the place after it.
func (p *pty) until(text string, from int) int {
	p.t.Helper()
	late := time.After(20 * time.Second)
	for {
		p.mu.Lock()
		seen, more := p.seen.String(), p.more
		p.mu.Unlock()
		if at := strings.Index(seen[from:], text); at >= 0 {
			return from + at + len(text)
		}
		select {
		case <-more:
		case <-late:
			p.t.Fatalf("%q was not seen, but %q", text, seen[from:])
		}
	}
}

// all is all that was seen so far.
func (p *pty) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

func (p *pty) press(keys string) {
	p.t.Helper()
	if _, err := p.master.WriteString(keys); err != nil {
		p.t.Fatal(err)
	}
}

// start runs this program before the terminal.
func (p *pty) start(args []string, environment ...string) *exec.Cmd {
	p.t.Helper()
	cmd := program(p.t, args, environment...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.replica, p.replica, p.replica
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	return cmd
}

// program is this program with a command line and an environment that is like that of a terminal.
func program(t *testing.T, args []string, environment ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], append([]string{"warder-agent"}, args...)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TERM=xterm-256color"}, environment...)
	return cmd
}
