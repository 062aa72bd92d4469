package e2e_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// callers call a tool of each era at a pace until they are stopped, and keep
// what went wrong.
type callers struct {
	made    atomic.Int64
	stop    chan struct{}
	running sync.WaitGroup

	mu    sync.Mutex
	wrong []string
}

func (c *callers) run(t *testing.T, url, key, session, tool string) {
	c.running.Go(func() {
		for {
			select {
			case <-c.stop:
				return
			default:
			}
			body, header := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":{},`+modernMeta+`}}`, modernHeader("tools/call", tool)
			if session != "" {
				body, header = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`","arguments":{}}}`, []string{"Mcp-Session-Id", session}
			}
			time.Sleep(pace)
			status, answer, _ := send(t, url, key, body, header...)
			c.made.Add(1)
			if status != http.StatusOK || !strings.Contains(answer, `"result"`) {
				c.mu.Lock()
				c.wrong = append(c.wrong, fmt.Sprint(status, " ", answer))
				c.mu.Unlock()
				return
			}
		}
	})
}

// meanwhile does something, and expects that calls were made during it.
func (c *callers) meanwhile(t *testing.T, what string, do func()) {
	t.Helper()
	before := c.made.Load()
	do()
	eventually(t, "calls go on: "+what, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.wrong) > 0 {
			t.Fatalf("%s: %q", what, c.wrong)
		}
		return c.made.Load() >= before+20
	})
}

// TestP14KeyEncryptionKeysFollowOneAnotherUnderLoad goes the documented way from one
// key-encryption key to the next, restarts of the control plane included, while
// clients of both eras call servers with secret headers: no call fails, no server is
// called without its secret, and at the end the old key is not needed.
func TestP14KeyEncryptionKeysFollowOneAnotherUnderLoad(t *testing.T) {
	t.Parallel()
	a := startApart(t)
	servers := map[string]*raw{"modern": startRaw(t, true, nil), "legacy": startRaw(t, false, nil)}
	for name, server := range servers {
		admin(t, a.dataDir, "server", "add", name, "--url", server.url, "--private", "--approve", "--header", "X-Secret: first of "+name)
	}
	admin(t, a.dataDir, "user", "create", "ana", "--role", "owner")
	key := admin(t, a.dataDir, "key", "create", "--user", "ana", "--application", "ide")["key"].(string)
	eventually(t, "the node has it all", func() bool {
		status, body, _ := send(t, a.mcp, key, `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{`+modernMeta+`}}`, modernHeader("tools/list", "")...)
		return status == http.StatusOK && strings.Contains(body, "modern__read") && strings.Contains(body, "legacy__read")
	})
	c := &callers{stop: make(chan struct{})}
	t.Cleanup(c.running.Wait)
	stop := sync.OnceFunc(func() { close(c.stop) })
	t.Cleanup(stop)
	session := openVersion(t, a.mcp, key, "2025-11-25", `{}`)
	for name := range servers {
		c.run(t, a.mcp, key, "", name+"__read")
		c.run(t, a.mcp, key, session, name+"__read")
	}

	path := filepath.Join(a.dataDir, "kek")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	older, fresh := strings.TrimSpace(string(content)), make([]byte, 32)
	_, _ = rand.Read(fresh) // Never fails.
	newer := base64.StdEncoding.EncodeToString(fresh)
	for _, ring := range [][]string{{older, newer}, {newer, older}} {
		c.meanwhile(t, "a control plane with other keys", func() { a.restartWithKeys(t, path, ring...) })
	}
	c.meanwhile(t, "rotation and rewrapping", func() {
		admin(t, a.dataDir, "keys", "rotate", "--now")
		admin(t, a.dataDir, "server", "set", "modern", "--header", "X-Secret: second of modern")
		got := admin(t, a.dataDir, "secret", "rewrap")
		if held := got["keys"].([]any); fmt.Sprint(got["rewrapped"]) == "0" || fmt.Sprint(held[1].(object)["secrets"]) != "0" {
			t.Errorf("after it: %v", got)
		}
		admin(t, a.dataDir, "server", "refresh", "legacy")
	})
	c.meanwhile(t, "a control plane without the old key", func() { a.restartWithKeys(t, path, newer) })
	c.meanwhile(t, "secrets under the new key", func() {
		admin(t, a.dataDir, "server", "set", "legacy", "--header", "X-Other: third of legacy")
		admin(t, a.dataDir, "server", "refresh", "modern")
	})
	eventually(t, "the last header is in force", func() bool {
		return servers["legacy"].sawHeader("X-Other", "third of legacy") && servers["modern"].sawHeader("X-Secret", "second of modern")
	})
	stop()
	c.running.Wait()
	if len(c.wrong) > 0 {
		t.Errorf("calls failed: %q", c.wrong)
	}
	for name, server := range servers {
		for _, m := range server.take() {
			if got := m.header.Get("X-Secret"); m.Method == "tools/call" && got != "first of "+name && got != "second of "+name {
				t.Fatalf("%s was called with %q", name, got)
			}
		}
	}
}

// restartWithKeys starts the control plane again with other key-encryption keys.
func (a *apart) restartWithKeys(t *testing.T, path string, keys ...string) {
	t.Helper()
	a.control.stop()
	if err := os.WriteFile(path, []byte(strings.Join(keys, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.startControlPlane(t)
}

// sawHeader reports whether a call came with a header.
func (s *raw) sawHeader(name, value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.got {
		if m.Method == "tools/call" && m.header.Get(name) == value {
			return true
		}
	}
	return false
}
