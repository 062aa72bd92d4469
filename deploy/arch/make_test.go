package arch_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMakeTestRunsAllAndSaysWhatFailed runs the recipe of 'make test' with stand-ins
// for Go and npm: one half that fails must not hide the other.
func TestMakeTestRunsAllAndSaysWhatFailed(t *testing.T) {
	for _, c := range []struct{ goTool, npm, last string }{
		{"true", "true", "make test: all passed (Go, dashboard)"},
		{"false", "true", "make test: FAILED: Go (what failed is above)"},
		{"true", "false", "make test: FAILED: dashboard (what failed is above)"},
		{"false", "false", "make test: FAILED: Go dashboard (what failed is above)"},
	} {
		// -o: what the tests stand on is taken for made.
		cmd := exec.Command("make", "-C", "../..", "test", "GO="+c.goTool, "NPM="+c.npm, "VERSION=x", "-o", "dashboard", "-o", "postgres", "-o", "fixtures")
		out, err := cmd.CombinedOutput()
		if passed := c.goTool == c.npm && c.npm == "true"; passed != (err == nil) || !strings.Contains(string(out), c.last) {
			t.Errorf("go is %s, npm is %s: %v\n%s", c.goTool, c.npm, err, out)
		}
	}
}

// TestCIBuildsTheAgentForEverySystem runs the recipe that CI runs, with a stand-in for Go that says what it is to build.
func TestCIBuildsTheAgentForEverySystem(t *testing.T) {
	ci, err := os.ReadFile("../../.ci/run")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(ci), "\nmake agents\n") {
		t.Error("CI does not build the agents")
	}
	compiler := filepath.Join(t.TempDir(), "go")
	if err := os.WriteFile(compiler, []byte("#!/bin/sh\n"+`echo "$GOOS/$GOARCH cgo=$CGO_ENABLED $*"`+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("make", "-C", "../..", "agents", "GO="+compiler, "VERSION=x").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	built := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		if system, rest, _ := strings.Cut(line, " "); strings.HasPrefix(rest, "cgo=0 build ") && strings.HasSuffix(rest, " ./agent/cmd/warder-agent\n") {
			built[system] = true
		}
	}
	for _, system := range []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64", "windows/arm64"} {
		if !built[system] {
			t.Errorf("no agent for %s is built:\n%s", system, out)
		}
	}
}
