package e2e_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/porttest"
)

// tourBlocks returns the shell blocks of the README's tour, in order.
func tourBlocks(t *testing.T) []string {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join(repo, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, tour, begins := strings.Cut(string(readme), "<!-- tour:begin")
	tour, _, ends := strings.Cut(tour, "<!-- tour:end -->")
	if !begins || !ends {
		t.Fatal("the README has no tour")
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(tour, -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// TestTour runs the commands of the README as they stand, save for the port, which may
// be taken, and for where npx looks for a package first: the gateway in a terminal of its
// own, the rest in one shell. It looks at what a reader would look at.
func TestTour(t *testing.T) {
	blocks := tourBlocks(t)
	if len(blocks) != 7 || strings.TrimSpace(blocks[0]) != "make up" {
		t.Fatalf("the tour has %d blocks and begins with %q; this test knows another tour", len(blocks), blocks[0])
	}
	listen := porttest.Free(t)
	here := strings.NewReplacer("7070", port(listen), "--agent local --", "--agent local --dir "+filepath.Join(repo, "deploy/e2e/fixtures")+" --")
	data := scratch(t)
	env := []string{"WARDER_DATA_DIR=" + data, "WARDER_LISTEN=" + listen}

	up := start(t, repo, env, "bash", "-ec", here.Replace(blocks[0]))
	up.waitLong(t, 5*time.Minute, "  MCP ") // It builds first.
	outputs := runInOneShell(t, env, blocks[1:6], here)
	// A node delivers its audit a moment after the call; a reader's eyes are slower.
	(&world{gateway: gateway{dataDir: data}}).ledgerOf(t, "cursor", 2)
	outputs = append(outputs, runInOneShell(t, env, []string{exportPath(t, blocks), blocks[6]}, here)[1])
	for i, want := range [][]string{
		{"Added everything", "everything/echo", "pending"},
		{"Approved everything/echo", "Approved everything/get-env"},
		{"Created ana", "2 rules"},
		{"Echo: hello"},
		{"The environment of a server holds its secrets"},
		{"everything/echo", "allow", "echo-for-all", "ok", "everything/get-env", "deny", "no-environment", "refused"},
	} {
		for _, text := range want {
			if !strings.Contains(outputs[i], text) {
				t.Errorf("step %d does not show %q:\n%s", i+2, text, outputs[i])
			}
		}
	}
}

// exportPath is the line of the tour that lets a shell find the command.
func exportPath(t *testing.T, blocks []string) string {
	t.Helper()
	line, _, _ := strings.Cut(blocks[1], "\n")
	if !strings.HasPrefix(line, "export PATH=") {
		t.Fatalf("the tour does not begin its second terminal with the path: %q", line)
	}
	return line
}

// runInOneShell runs blocks in one shell, as a reader's second terminal does, and
// returns what each printed.
func runInOneShell(t *testing.T, env, blocks []string, here *strings.Replacer) []string {
	t.Helper()
	const mark = "=== end of step ==="
	var script strings.Builder
	for _, block := range blocks {
		script.WriteString(here.Replace(block))
		script.WriteString("\necho '" + mark + "'\n")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*within)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-eu", "-o", "pipefail", "-c", script.String())
	cmd.Dir = repo
	cmd.Env = append(environment(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("the tour stopped: %v\n%s", err, out)
	}
	outputs := strings.Split(string(out), mark+"\n")
	if len(outputs) < len(blocks) {
		t.Fatalf("the tour printed:\n%s", out)
	}
	return outputs[:len(blocks)]
}
