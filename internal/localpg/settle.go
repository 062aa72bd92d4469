package localpg

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// state is what a process is to a data directory.
type state int

const (
	stateGone     state = iota // there is none of that pid
	stateServing               // a live postgres on this data
	stateStranger              // a zombie, or another program that got the pid
	stateUnknown               // there is one, and this system does not say what
)

// settle ends what an earlier life left on the data: a server that still shuts
// down, or never was told to, and the note of one that is gone.
//
// The caller holds the lock, so whatever runs there has lost its Warder.
// PostgreSQL keeps its own note, postmaster.pid, and refuses to start while the
// pid in it is in use, be it by a zombie that nobody reaps or by a stranger; that
// note is removed. But never while a process still works on the data: two
// servers on one directory destroy it.
func settle(ctx context.Context, data string) error {
	pid, ok := notedPID(data)
	if ok && stateOf(pid, data) == stateServing {
		if err := endLeftover(ctx, pid, data); err != nil {
			return err
		}
	}
	if err := waitStrays(ctx, data); err != nil {
		return err
	}
	// Read again: a server that shut down took its note along.
	if pid, ok = notedPID(data); !ok || stateOf(pid, data) != stateStranger {
		return nil
	}
	if err := os.Remove(filepath.Join(data, "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return unwritable(data, err)
	}
	return nil
}

// notedPID returns the pid in postmaster.pid.
func notedPID(data string) (int, bool) {
	text, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if err != nil {
		return 0, false
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	return pid, err == nil && pid > 0
}

// endLeftover shuts a server down that has no Warder any more.
func endLeftover(ctx context.Context, pid int, data string) error {
	for _, sig := range leftoverSignals {
		if err := signalPID(pid, sig); err != nil && stateOf(pid, data) == stateServing {
			return leftoverProblem(data, pid, err)
		}
		if waitUntil(ctx, stopGrace, func() bool { return stateOf(pid, data) != stateServing }) {
			return nil
		}
	}
	return leftoverProblem(data, pid, errors.New("it does not end"))
}

// waitStrays waits for the processes of a killed server, which notice one by one.
func waitStrays(ctx context.Context, data string) error {
	var pids []int
	if waitUntil(ctx, stopGrace, func() bool { pids = strays(data); return len(pids) == 0 }) {
		return nil
	}
	return leftoverProblem(data, pids[0], errors.New("it still works on the data"))
}

func leftoverProblem(data string, pid int, err error) error {
	return problem{
		what: fmt.Sprintf("a PostgreSQL that Warder did not start just now (pid %d) uses the data directory %s", pid, data),
		why:  err.Error(), cause: err,
		fix: []string{fmt.Sprintf("stop it: kill -INT %d", pid)},
	}.fault()
}

// waitUntil polls until ok, for as long as d and ctx allow.
func waitUntil(ctx context.Context, d time.Duration, ok func() bool) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ok()
		}
	}
	return true
}
