//go:build unix && !linux

package localpg

import (
	"os/exec"
	"strconv"
	"strings"
)

// stateOf says what process pid is to the data directory.
func stateOf(pid int, data string) state {
	if !exists(pid) {
		return stateGone
	}
	out, err := exec.Command("/bin/ps", "-ww", "-o", "stat=,command=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		return stateUnknown
	}
	stat, command, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	switch {
	case strings.HasPrefix(stat, "Z"), !strings.Contains(command, "postgres"), !strings.Contains(command, data):
		return stateStranger
	}
	return stateServing
}

// strays are found by postgres itself here, through its shared memory.
func strays(string) []int { return nil }
