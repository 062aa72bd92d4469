//go:build unix

package pgtest

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// childMode names the variable that makes this binary a process that starts a
// server of its own and then ends, or waits to be killed.
const childMode = "PGTEST_CHILD"

func TestMain(m *testing.M) {
	mode := os.Getenv(childMode)
	if mode == "" {
		os.Exit(m.Run())
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	srv, err := theServer(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(srv.url)
	if mode == "hang" {
		select {}
	}
	os.Exit(0) // Without a word to the server, as a test binary does.
}

// without returns the environment without the server of this run.
func without(set ...string) []string {
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, EnvURL+"=") {
			env = append(env, e)
		}
	}
	return append(env, set...)
}

func TestOwnServerGoesWithItsProcess(t *testing.T) {
	for _, mode := range []string{"exit", "hang"} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			temp := reachableTemp(t)
			cmd := exec.CommandContext(t.Context(), os.Args[0])
			cmd.Env = without(childMode+"="+mode, "TMPDIR="+temp)
			cmd.Stderr = t.Output()
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			url, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatalf("the child started no server: %v", err)
			}
			if mode == "hang" {
				if err := execute(t.Context(), strings.TrimSpace(url), `SELECT 1`); err != nil {
					t.Fatal(err)
				}
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			cmd.Wait() // Killed or not, it has ended.
			awaitEmpty(t, temp)
			if err := execute(t.Context(), strings.TrimSpace(url), `SELECT 1`); err == nil {
				t.Error("the server outlived its process")
			}
		})
	}
}

// reachableTemp is a directory for temporary files that postgres may enter, as
// whoever it runs.
func reachableTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgtest-temp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// awaitEmpty waits until nothing is left in dir.
func awaitEmpty(t *testing.T, dir string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		left, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("left behind: %v", left)
		}
	}
}

func TestStoppedClusterLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", reachableTemp(t))
	c, err := StartCluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	janitor := c.janitor.cmd.Process
	if err := execute(t.Context(), c.URL(), `CREATE TABLE t (n int)`); err != nil {
		t.Error(err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	awaitEmpty(t, os.Getenv("TMPDIR"))
	if err := janitor.Signal(syscall.Signal(0)); err == nil {
		t.Error("the janitor is still there")
	}
}

func TestWithoutPostgresATestFailsAndSaysWhatToDo(t *testing.T) {
	temp := reachableTemp(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestDatabaseIsDroppedWithItsTest$", "-test.v")
	cmd.Env = without("WARDER_POSTGRES_BIN=/nonexistent", "TMPDIR="+temp)
	out, err := cmd.CombinedOutput()
	if err == nil || strings.Contains(string(out), "SKIP") {
		t.Errorf("it did not fail: %v", err)
	}
	for _, want := range []string{"no PostgreSQL found", "/nonexistent", "make up"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the output does not say %q:\n%s", want, out)
		}
	}
	awaitEmpty(t, temp)
}

func TestServerURLMustNameAUser(t *testing.T) {
	for _, raw := range []string{"localhost", "postgres://localhost/db", "%"} {
		if _, err := newServer(t.Context(), raw); err == nil || !strings.Contains(err.Error(), EnvURL) {
			t.Errorf("%q: %v", raw, err)
		}
	}
}
