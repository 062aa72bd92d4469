package e2e_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// 'warder up | tee log': Ctrl-C ends tee as well, and a terminal that closes takes
// its end of the output along. The gateway must still stop in order: what it logs
// on the way may go nowhere, but may not end it.
func TestStopIsInOrderWhenNobodyReadsTheOutput(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"Ctrl-C": syscall.SIGINT, "closed terminal": syscall.SIGHUP} {
		t.Run(name, func(t *testing.T) {
			dir := scratch(t)
			output, cmd := piped(t, "up", "--data-dir", dir, "--listen", "127.0.0.1:0", "--log-level", "debug")
			banner := make([]byte, 0, 1<<16)
			for !strings.Contains(string(banner), "Ctrl-C stops") {
				n, err := output.Read(banner[len(banner):cap(banner)])
				if err != nil {
					t.Fatalf("%v after:\n%s", err, banner)
				}
				banner = banner[:len(banner)+n]
			}
			_ = output.Close() // Of a pipe that is read no more.
			if err := cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("it ended with %v", err)
			}
			if _, err := os.Stat(filepath.Join(dir, "setup-token")); err == nil {
				t.Error("it did not end in order: its setup token is still there")
			}
		})
	}
}

// piped runs the command with its output, of both kinds, in a pipe.
func piped(t *testing.T, args ...string) (io.ReadCloser, *exec.Cmd) {
	t.Helper()
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = writer, writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return reader, cmd
}
