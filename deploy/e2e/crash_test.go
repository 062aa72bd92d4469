package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// TestACrashWithdrawsItsToolsEverywhere kills the one process of a server that all sessions share:
// each node has to hear of it from the agent, or from the control plane where it has no tunnel.
func TestACrashWithdrawsItsToolsEverywhere(t *testing.T) {
	t.Parallel()
	s := startSite(t)
	if r := command(t, s.dataDir, "", "server", "set", "counter", "--shared"); r.code != 0 {
		t.Fatalf("server set: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	s.whole(t, within)
	clients := make([]*mcp.ClientSession, len(s.nodes))
	for i, n := range s.nodes {
		cs, err := connectSDK(t.Context(), gateway{mcp: "http://" + n.mcp + "/mcp"}, s.key, "2025-11-25")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cs.Close() })
		if offered, err := offersCount(t, cs); err != nil || !offered {
			t.Fatalf("%s does not offer the counter: %v", n.name, err)
		}
		clients[i] = cs
	}
	pid := livingProcess(t, filepath.Join(s.root, "counters"))
	killed := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var watching sync.WaitGroup
	for i, n := range s.nodes {
		watching.Go(func() {
			gone, err := untilOffered(t, clients[i], false)
			if err != nil {
				t.Errorf("%s: %v", n.name, err)
				return
			}
			took := gone.Sub(killed)
			t.Logf("%s has withdrawn the tool %v after the kill", n.name, took)
			if took >= time.Second {
				t.Errorf("%s withdrew the tool %v after the kill", n.name, took)
			}
			if _, err := untilOffered(t, clients[i], true); err != nil {
				t.Errorf("%s, when it runs again: %v", n.name, err)
			}
		})
	}
	watching.Wait()
	s.whole(t, within)
}

// livingProcess returns the last process of the file that still runs.
func livingProcess(t *testing.T, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range slices.Backward(strings.Fields(string(text))) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			return pid
		}
	}
	t.Fatalf("no process of %q runs", text)
	return 0
}

func offersCount(t *testing.T, cs *mcp.ClientSession) (bool, error) {
	list, err := cs.ListTools(t.Context(), nil)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(list.Tools, func(tool *mcp.Tool) bool { return tool.Name == "counter__count" }), nil
}

// untilOffered lists until the counter's tool is there, or is not, and returns when that list was
// complete.
func untilOffered(t *testing.T, cs *mcp.ClientSession, want bool) (time.Time, error) {
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		offered, err := offersCount(t, cs)
		if err != nil {
			return time.Time{}, err
		}
		if offered == want {
			return time.Now(), nil
		}
	}
	return time.Time{}, fmt.Errorf("for %v it was never seen that the tool is offered: %t", within, want)
}
