//go:build unix

package agent

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestNothingRunsOnOfAServerThatWasTested(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	if _, err := Test(t.Context(), write(t, "servers:\n  - {name: own, command: ["+os.Args[0]+", serve], environment: {PIDS: "+pids+"}}\n"), "own"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(pids)
	if err != nil || len(text) == 0 {
		t.Fatalf("no process of it ran: %v", err)
	}
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d of it is left: %v", pid, err)
		}
	}
}
