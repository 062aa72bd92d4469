package e2e_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// addCounter are the arguments that have an agent run the counting server, which writes its
// process into a file.
func addCounter(agent, file string) []string {
	return []string{"server", "add", "counter", "--agent", agent, "--env", countingServer + "=" + file, "--approve", "--", os.Args[0]}
}

// TestAStdioServerIsAddedInOneLine has 'warder up' run a server over stdio, and end it with itself.
func TestAStdioServerIsAddedInOneLine(t *testing.T) {
	t.Parallel()
	g, up := startUp(t)
	file := filepath.Join(scratch(t), "processes")
	admin(t, g.dataDir, addCounter("local", file)...)
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	key := admin(t, g.dataDir, "key", "create", "--user", "ana", "--application", "ide")["key"].(string)
	c := &caller{url: g.mcp, key: key, session: openVersion(t, g.mcp, key, "2025-11-25", `{}`)}
	for _, want := range []string{"1", "2", "3"} {
		if p := c.call("counter", "count", `{}`); !strings.Contains(p.text, `"text":"`+want+`"`) {
			t.Fatalf("want %s: %v %s", want, p.err, p.text)
		}
	}
	modern := &caller{url: g.mcp, key: key}
	if p := modern.call("counter", "count", `{}`); !p.ok() {
		t.Errorf("a modern client: %v %s", p.err, p.text)
	}
	up.stop()
	text, err := os.ReadFile(file)
	if err != nil || len(strings.Fields(string(text))) < 2 {
		t.Fatalf("two sessions had no process each: %q, %v", text, err)
	}
	for _, word := range strings.Fields(string(text)) {
		pid, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		if !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
			t.Errorf("process %d of the server outlived the gateway", pid)
		}
	}
}

// TestWhoMayBeSomebodyElseRunsNothingUnasked: behind a proxy administrators need not be the
// user who started the gateway, so that his own file has to allow what they assign.
func TestWhoMayBeSomebodyElseRunsNothingUnasked(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t, "--behind-proxy")
	if r := command(t, g.dataDir, "", addCounter("local", "")...); r.code == 0 || !strings.Contains(r.stderr, "local") {
		t.Errorf("without a file: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	file := filepath.Join(scratch(t), "agent.yaml")
	if err := os.WriteFile(file, []byte("allow:\n  - command: true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	g, _ = startUp(t, "--behind-proxy", "--agent-config", file)
	r := command(t, g.dataDir, "", addCounter("local", "")...)
	if r.code == 0 || !strings.Contains(r.stderr, "allow") {
		t.Errorf("with a file that allows something else: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}
