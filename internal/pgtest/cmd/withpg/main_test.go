//go:build unix

package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warder-gateway/warder/internal/pgtest"
)

// TestMain makes this binary withpg itself when a test runs it as that.
func TestMain(m *testing.M) {
	if os.Getenv("WITHPG_CHILD") != "" {
		main()
	}
	os.Exit(m.Run())
}

// withpg returns withpg on a command, in an environment with or without a server.
func withpg(t *testing.T, url string, args ...string) (cmd *exec.Cmd, temp string) {
	t.Helper()
	temp, err := os.MkdirTemp("", "withpg-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	if err := os.Chmod(temp, 0o711); err != nil {
		t.Fatal(err)
	}
	cmd = exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), "WITHPG_CHILD=1", "TMPDIR="+temp, pgtest.EnvURL+"="+url)
	cmd.Stderr = t.Output()
	return cmd, temp
}

// someURL stands for a server that withpg is given and does not look at.
const someURL = "postgres://user:password@127.0.0.1:1/db"

func TestExitCodeIsTheCommands(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args []string
		want int
	}{
		"success":       {[]string{"--", "true"}, 0},
		"failure":       {[]string{"--", "sh", "-c", "exit 7"}, 7},
		"without --":    {[]string{"sh", "-c", "exit 8"}, 8},
		"killed":        {[]string{"--", "sh", "-c", "kill -TERM $$"}, 128 + 15},
		"no command":    {[]string{"--"}, exitUsage},
		"none like it":  {[]string{"--", "/nonexistent/command"}, exitNotStarted},
		"url unchanged": {[]string{"--", "sh", "-c", `[ "$` + pgtest.EnvURL + `" = "` + someURL + `" ]`}, 0},
	} {
		cmd, _ := withpg(t, someURL, tt.args...)
		if got := exitCode(t, cmd.Run()); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", name, got, tt.want)
		}
	}
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatal(err)
	}
	return exit.ExitCode()
}

// start runs a command that prints the server's URL and then waits.
func start(t *testing.T, script string) (cmd *exec.Cmd, url, temp string) {
	t.Helper()
	cmd, temp = withpg(t, "", "--", "sh", "-c", script)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the command did not start: %v", err)
	}
	return cmd, strings.TrimSpace(line), temp
}

const printURL = `echo "$` + pgtest.EnvURL + `"; `

func connect(t *testing.T, url string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return err
	}
	return conn.Close(context.Background())
}

func TestCommandHasAServerAndASignalReachesIt(t *testing.T) {
	t.Parallel()
	cmd, url, temp := start(t, `trap 'exit 9' TERM; `+printURL+`while :; do sleep 0.05; done`)
	if err := connect(t, url); err != nil {
		t.Fatalf("the server of the command: %v", err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := exitCode(t, cmd.Wait()); got != 9 {
		t.Errorf("exit code %d, want the command's own 9", got)
	}
	if left, _ := filepath.Glob(filepath.Join(temp, "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if connect(t, url) == nil {
		t.Error("the server outlived the command")
	}
}

func TestNothingOutlivesAKilledWithpg(t *testing.T) {
	t.Parallel()
	cmd, url, temp := start(t, printURL+`exec cat`)
	cmd.Process.Kill()
	cmd.Wait() // Killed, it says.
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for {
		left, _ := filepath.Glob(filepath.Join(temp, "*"))
		if len(left) == 0 && connect(t, url) != nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("left behind: %v", left)
		}
	}
}

func TestWithoutPostgresItSaysWhatToDo(t *testing.T) {
	t.Parallel()
	cmd, _ := withpg(t, "", "--", "true")
	cmd.Env = append(cmd.Env, "WARDER_POSTGRES_BIN=/nonexistent")
	var out strings.Builder
	cmd.Stderr = &out
	if got := exitCode(t, cmd.Run()); got != exitNoServer {
		t.Errorf("exit code %d, want %d", got, exitNoServer)
	}
	for _, want := range []string{"no PostgreSQL found", "/nonexistent", "make up"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
}
