package bridge

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/agent/internal/process"
	"github.com/warder-gateway/warder/internal/tunnel"
)

// slow returns the Spec of a server that starts when the file is there.
func slow(file string) process.Spec {
	return process.Spec{Command: []string{os.Args[0], "serve", "slow", file}}
}

func touch(t *testing.T, file string) {
	t.Helper()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAFirstStartMayTakeLongAndIsShown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ shared, legacy bool }{{false, false}, {false, true}, {true, true}} {
		file := filepath.Join(t.TempDir(), "there")
		f := start(t, Config{Spec: slow(file), Shared: c.shared, StartTime: 5 * time.Second, WaitTime: 50 * time.Millisecond})
		for range 3 {
			if _, err := connect(t, f.url, nil, c.legacy); err == nil || !strings.Contains(err.Error(), "Service Unavailable") {
				t.Errorf("%+v: a session with a server that is not there: %v", c, err)
			}
		}
		eventually(t, "its last words", func() bool { return f.Status().LastLine == "fetching the program" })
		if status := f.Status(); status.Phase != Starting || !status.Ready || status.Restarts != 0 || status.LastError != "" {
			t.Errorf("%+v: the status is %+v", c, status)
		}
		if starts, err := os.ReadFile(file + ".starts"); err != nil || string(starts) != "x" {
			t.Errorf("%+v: it was started anew for each client: %q, %v", c, starts, err)
		}
		touch(t, file)
		eventually(t, "the verdict", func() bool { return f.known() != 0 })
		session, err := connect(t, f.url, nil, c.legacy)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := call(t, session, "echo", text{"hi"}); err != nil || !strings.Contains(got, "hi") {
			t.Errorf("%+v: got %q, %v", c, got, err)
		}
		if status := f.Status(); status.Phase != Running || status.LastError != "" || status.LastLine != "" {
			t.Errorf("%+v: the status is %+v", c, status)
		}
	}
}

func TestACallWaitsForAFirstStartWithinBounds(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "there")
	f := start(t, Config{Spec: slow(file), WaitTime: 20 * time.Second})
	connected := make(chan error, 1)
	go func() {
		_, err := connect(t, f.url, nil, false)
		connected <- err
	}()
	eventually(t, "the start", func() bool { return f.Status().LastLine == "fetching the program" })
	touch(t, file)
	if err := <-connected; err != nil {
		t.Errorf("a client that waited got %v", err)
	}
}

// TestWhoIsRefusedIsToldWhyNothingStarts: the first who asks and those after him, by the header that nodes keep to
// themselves, and without secrets.
func TestWhoIsRefusedIsToldWhyNothingStarts(t *testing.T) {
	t.Parallel()
	for want, spec := range map[string]process.Spec{
		`there is no program "no-such-program"`:            {Command: []string{"no-such-program"}},
		"its last line: cannot find the module [redacted]": {Command: []string{os.Args[0], "serve", "broken"}, Environment: map[string]string{"TOKEN": "CANARY"}},
	} {
		f := start(t, Config{Spec: spec})
		for range 2 {
			body := strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`)
			response, err := http.Post(f.url, "application/json", body)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			why := response.Header.Get(tunnel.HeaderFailure)
			if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" || !strings.Contains(why, want) || strings.Contains(why, "CANARY") {
				t.Errorf("HTTP %d, %q; want %q", response.StatusCode, why, want)
			}
		}
	}
}

func TestAFirstStartThatNeverEndsIsAFailure(t *testing.T) {
	t.Parallel()
	f := start(t, Config{Spec: slow(filepath.Join(t.TempDir(), "never")), FirstTime: 300 * time.Millisecond})
	if _, err := connect(t, f.url, nil, true); err == nil {
		t.Error("a session was opened")
	}
	eventually(t, "its being away", func() bool { return f.Status().Phase == Waiting })
	if status := f.Status(); status.Ready || !strings.Contains(status.LastError, "does not answer") {
		t.Errorf("the status is %+v", status)
	}
}
