//go:build unix

package stopsignal

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// TestMain runs the tests, or, as a child of theirs, a process that its readers and its terminal leave.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "left" {
		left()
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "all" {
		fmt.Println(slices.Contains(All(), os.Signal(syscall.SIGHUP)))
		return
	}
	os.Exit(m.Run())
}

// left says on stderr that it lives, after nobody read what it printed, and it was told that its terminal has gone; and how
// a program that it starts takes the same signals.
func left() {
	OutliveReaders()
	OutliveTerminal()
	if _, err := fmt.Println("nobody reads this"); err == nil {
		fmt.Fprint(os.Stderr, "somebody reads its output: this shows nothing")
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGHUP)
	fmt.Fprint(os.Stderr, "it lives")
	for _, signal := range []string{"PIPE", "HUP"} {
		if err := exec.Command("sh", "-c", "kill -"+signal+" $$").Run(); err == nil {
			fmt.Fprint(os.Stderr, "; its child ignores SIG", signal)
		}
	}
}

func TestAProcessOutlivesItsReadersAndItsTerminalAndNoProgramInheritsThat(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = read.Close()
	defer write.Close()
	var said strings.Builder
	cmd := exec.CommandContext(t.Context(), os.Args[0], "left")
	cmd.Stdout, cmd.Stderr = write, &said
	if err := cmd.Run(); err != nil || said.String() != "it lives" {
		t.Errorf("%v: %q", err, said.String())
	}
}

func TestATerminalThatClosesAsksToStopUnlessNohupSaidOtherwise(t *testing.T) {
	for before, want := range map[string]string{"": "true\n", "trap '' HUP; ": "false\n"} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", before+`exec "$0" all`, os.Args[0]).Output()
		if err != nil || string(out) != want {
			t.Errorf("after %q: %q, %v", before, out, err)
		}
	}
}
