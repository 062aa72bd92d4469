package process

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"
)

// children lists those of this process, zombies included.
func children(t *testing.T) (pids []int) {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(lists) == 0 {
		t.Fatal(lists, err)
	}
	for _, list := range lists {
		text, _ := os.ReadFile(list) // A thread may have ended.
		for _, field := range bytes.Fields(text) {
			pid, err := strconv.Atoi(string(field))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestStopEndsDaemonsAndLeavesNoChild stops a server that has forked a daemon twice, so that it is in a session of its own,
// is nobody's child any more, and ignores SIGTERM; and one that, besides, ignores the end of its input and SIGTERM itself.
func TestStopEndsDaemonsAndLeavesNoChild(t *testing.T) {
	for _, flags := range [][]string{nil, {"stubborn"}} {
		before := children(t)
		p := run(t, Spec{}, flags...)
		session := ask(t, p, "daemonize", "{}").PID
		var daemon int
		for deadline := time.Now().Add(20 * time.Second); daemon == 0; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the daemon never became a child of the agent")
			}
			for _, pid := range children(t) {
				if _, _, group, ok := readStat(pid); ok && group == session {
					daemon = pid
				}
			}
		}
		if exists(session) {
			t.Errorf("%v: the daemon has a parent", flags)
		}
		p.Stop()
		for _, pid := range children(t) {
			if !slices.Contains(before, pid) {
				state, _, _, _ := readStat(pid)
				t.Errorf("%v: child %d is left, in state %c", flags, pid, state)
			}
		}
		if exists(daemon) || exists(p.PID()) {
			t.Errorf("%v: something is left of it", flags)
		}
	}
}
