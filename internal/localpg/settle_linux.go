package localpg

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// stateOf says what process pid is to the data directory.
func stateOf(pid int, data string) state {
	if !exists(pid) {
		return stateGone
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stateUnknown // It ended just now, or /proc is hidden.
	}
	// pid (comm) state …, where comm may hold anything.
	open, end := bytes.IndexByte(stat, '('), bytes.LastIndexByte(stat, ')')
	if open < 0 || end < open || len(stat) < end+3 {
		return stateUnknown
	}
	comm, letter := string(stat[open+1:end]), stat[end+2]
	if letter == 'Z' || letter == 'X' || comm != "postgres" {
		return stateStranger
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return stateUnknown
	}
	if !bytes.Contains(args, []byte(data)) && workDir(strconv.Itoa(pid)) != data {
		return stateStranger
	}
	return stateServing
}

// strays returns the processes that work in the data directory, as every
// process of a server does. It sees those that this user may look at.
func strays(data string) []int {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var pids []int
	for _, p := range procs {
		if pid, err := strconv.Atoi(p.Name()); err == nil && workDir(p.Name()) == data {
			pids = append(pids, pid)
		}
	}
	return pids
}

func workDir(pid string) string {
	dir, err := os.Readlink(filepath.Join("/proc", pid, "cwd"))
	if err != nil {
		return "" // Not ours to look at, a zombie, or gone.
	}
	return dir
}
