package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/build"
)

// TestMain runs the tests, or, as a child of theirs, the program.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "warder-agent" {
		os.Args = os.Args[1:]
		main()
		return
	}
	os.Exit(m.Run())
}

// command runs warder-agent in an empty environment, and returns what it said and its exit code.
func command(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"warder-agent"}, args...)...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}
	var out, complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &complaint
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), complaint.String(), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.String(), complaint.String(), 0
}

// file writes an agent's file.
func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestHelpAndVersionGoToStdout(t *testing.T) {
	for _, flag := range []string{"--help", "-h"} {
		if out, complaint, code := command(t, flag); code != 0 || complaint != "" || !strings.Contains(out, "warder-agent test NAME") || !strings.Contains(out, "--data-dir") {
			t.Errorf("%s: exit %d, %q, %q", flag, code, out, complaint)
		}
	}
	for _, word := range []string{"version", "--version"} {
		if out, complaint, code := command(t, word); code != 0 || complaint != "" || out != "warder-agent "+build.Version+"\n" {
			t.Errorf("%s: exit %d, %q, %q", word, code, out, complaint)
		}
	}
}

func TestWhatIsWrongIsSaidWithItsPlaceAndExitCode(t *testing.T) {
	unknown := file(t, "servers:\n  - name: files\n    command: [ls]\n    comand: [ls]\n")
	broken := file(t, "servers:\n  - name: files\n    command: [ls\n")
	open := file(t, "servers: []\n")
	if err := os.Chmod(open, 0o666); err != nil {
		t.Fatal(err)
	}
	running := []string{"--control-plane", "127.0.0.1:1", "--data-dir", t.TempDir(), "--join-token", "x"}
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"nothing":          {nil, 2, "usage: warder-agent run"},
		"another word":     {[]string{"serve"}, 2, "usage: warder-agent run"},
		"an unknown flag":  {[]string{"run", "--colour"}, 2, "unknown flag: --colour"},
		"no control plane": {[]string{"run", "--config", file(t, "servers: []\n")}, 2, "--control-plane HOST:PORT"},
		"an unknown key":   {append([]string{"run", "--config", unknown}, running...), 2, unknown + ": line 4, column 5: unknown field \"comand\""},
		"broken YAML":      {append([]string{"run", "--config", broken}, running...), 2, broken + ": line 3, column 14: "},
		"open to others":   {append([]string{"run", "--config", open}, running...), 2, "can be written to by others"},
		"no file":          {append([]string{"run", "--config", unknown + ".none"}, running...), 1, "cannot read the agent's file"},
		"no such server":   {[]string{"test", "wiki", "--config", file(t, "servers:\n  - {name: files, command: [ls]}\n")}, 1, "declares no server \"wiki\"; it has: files"},
		"a broken server":  {[]string{"test", "files", "--config", file(t, "servers:\n  - {name: files, command: [sh, -c, 'echo no disk >&2; exit 1']}\n")}, 1, "no disk"},
	} {
		if out, complaint, code := command(t, c.args...); code != c.code || out != "" || !strings.Contains(complaint, c.want) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q; want exit %d, %q", name, code, out, complaint, c.code, c.want)
		}
	}
}
