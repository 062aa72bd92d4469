package agent

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warder-gateway/warder/agent/internal/inventory"
	"github.com/warder-gateway/warder/agent/internal/manifest"
)

// lockedBuffer is written to by a logger and read by a test.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func TestAnEditOfTheFileIsAppliedAndABrokenOneKeepsWhatWas(t *testing.T) {
	config := write(t, "servers:\n  - {name: files, command: [ls]}\n")
	log := &lockedBuffer{}
	config.Log = slog.New(slog.NewTextHandler(log, nil))
	file, err := config.load()
	if err != nil {
		t.Fatal(err)
	}
	servers := inventory.New("test", config.Log)
	defer servers.Close()
	duties := &duties{file: file, wake: make(chan struct{}, 1)}
	duties.apply(servers)
	go manifest.Watch(t.Context(), config.File, time.Millisecond, config.reloaded(duties))
	go duties.run(t.Context(), servers)
	names := func() string {
		var names []string
		for _, report := range servers.Reports() {
			names = append(names, report.GetName()+"="+report.GetWhat())
		}
		return strings.Join(names, " ")
	}
	edit := func(text, want string) {
		t.Helper()
		if err := os.WriteFile(config.File, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); names() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the servers are %q; want %q", names(), want)
			}
		}
	}
	edit("servers:\n  - {name: files, command: [ls, -l]}\n  - {name: wiki, url: 'http://127.0.0.1:1/mcp'}\n", "files=ls -l wiki=http://127.0.0.1:1/mcp")
	edit("servers:\n  - {name: files, comand: [ls]}\n", "files=ls -l wiki=http://127.0.0.1:1/mcp")
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(log.String(), "line 2, column 19"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log does not say where it is wrong: %s", log)
		}
	}
	if got := names(); got != "files=ls -l wiki=http://127.0.0.1:1/mcp" {
		t.Errorf("after a broken edit the servers are %q", got)
	}
	edit("servers:\n  - {name: wiki, url: 'http://127.0.0.1:1/mcp'}\n", "wiki=http://127.0.0.1:1/mcp")
}

func TestT44_AServerWithoutAVersionIsLogged(t *testing.T) {
	log := &lockedBuffer{}
	servers := inventory.New("test", slog.New(slog.NewTextHandler(log, nil)))
	defer servers.Close()
	for command, want := range map[string]bool{"npx, -y, server": true, "npx, -y, server@1.2.3": false} {
		file, err := manifest.Parse([]byte("servers:\n  - {name: files, command: [" + command + "]}\n"))
		if err != nil {
			t.Fatal(err)
		}
		before := log.String()
		servers.Apply(file, nil)
		if got := strings.Contains(strings.TrimPrefix(log.String(), before), "in the version that is newest"); got != want {
			t.Errorf("%s: the log says %q", command, log)
		}
	}
}
