package bridge

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/agent/internal/process"
)

// Who opens a session and goes away, or crashes the process of his own session, must not keep
// others from theirs.
func TestWhatOneClientDoesKeepsNoOtherFromASession(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "there")
	touch(t, file)
	for what, c := range map[string]struct {
		config Config
		hurt   func(t *testing.T, f *fixture)
	}{
		"goes away": {Config{Spec: slow(file)}, func(t *testing.T, f *fixture) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url, strings.NewReader(
				`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			if response, err := http.DefaultClient.Do(request); err == nil {
				t.Errorf("a server that does not start answers %s", response.Status)
				response.Body.Close()
			}
			eventually(t, "the end of his process", func() bool { return f.Status().Processes == 1 })
			touch(t, file)
		}},
		"crashes": {Config{Spec: own("legacy")}, func(t *testing.T, f *fixture) {
			session, err := connect(t, f.url, nil, true)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = call(t, session, "crash", text{})
			eventually(t, "the end of his process", func() bool { return f.Status().Processes == 1 })
		}},
	} {
		t.Run(what, func(t *testing.T) {
			f := start(t, c.config)
			if _, err := connect(t, f.url, nil, true); err != nil {
				t.Fatal(err)
			}
			for range 3 {
				c.hurt(t, f)
			}
			began := time.Now()
			if _, err := connect(t, f.url, nil, true); err != nil {
				t.Errorf("the next one has no session %v later: %v", time.Since(began), err)
			}
			if status := f.Status(); !status.Ready {
				t.Errorf("the status is %+v", status)
			}
		})
	}
}

// A server that refuses initialize has no session, whatever code it gives: SDKs send 0 where a server's own function failed.
func TestAServerThatRefusesToInitializeLeavesNoSession(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"0", "-32603"} {
		f := start(t, Config{Spec: process.Spec{Command: []string{os.Args[0], "serve", "refuses", code}}})
		response, err := http.Post(f.url, "application/json", strings.NewReader(
			`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`))
		if err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if err != nil || !strings.Contains(string(said), `"code":`+code+`,"message":"not today"`) {
			t.Errorf("code %s: the client hears %q, %v", code, said, err)
		}
		if id := response.Header.Get("Mcp-Session-Id"); id != "" {
			t.Errorf("code %s: the client is given a session", code)
		}
		eventually(t, "the end of its process", func() bool { return f.Status().Processes == 0 })
	}
}
