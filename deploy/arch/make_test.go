package arch_test

import (
	"os/exec"
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
