package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// policy is that of the main job. Its users are viewers: their role grants what
// only reads.
const policy = `
rules:
  - name: no-deletes
    priority: 10
    effect: deny
    reason: Deleting items needs a person
    tools: ["*/delete_*"]
  - name: echo-and-add
    priority: 20
    effect: allow
    reason: They change nothing
    tools: ["everything/echo", "*/add"]
`

// world is a gateway with three servers behind it, governed and policed.
type world struct {
	gateway
	modern, legacy *sdkServer
}

// prepare adds the servers, approves some of their tools, and applies policy.
func prepare(t *testing.T, g gateway) *world {
	t.Helper()
	w := &world{g, startSDK(t, true), startSDK(t, false)}
	admin(t, g.dataDir, "server", "add", "everything", "--url", startEverything(t), "--private")
	admin(t, g.dataDir, "server", "add", "modern", "--url", w.modern.url, "--private")
	admin(t, g.dataDir, "server", "add", "legacy", "--url", w.legacy.url, "--private", "--approve")
	// Of everything, get-sum and the rest stay pending; of modern, read_notes does.
	admin(t, g.dataDir, "tool", "approve", "everything/echo", "modern/add", "modern/delete_item", "--reason", "reviewed")
	admin(t, g.dataDir, "tool", "disable", "legacy/read_notes", "--reason", "not needed")
	admin(t, g.dataDir, "user", "create", "ana", "--role", "viewer")
	r := command(t, g.dataDir, policy, "policy", "apply", "-f", "-")
	if r.code != 0 {
		t.Fatalf("policy apply: %s", r.stderr)
	}
	return w
}

// visibleTools is exactly what ana may see: approved, enabled, and allowed.
var visibleTools = []string{"everything__echo", "legacy__add", "modern__add"}

func (w *world) key(t *testing.T, application string, args ...string) string {
	t.Helper()
	m := admin(t, w.dataDir, append([]string{"key", "create", "--user", "ana", "--application", application}, args...)...)
	return m["key"].(string)
}

// drive lets one client list, make two allowed calls to servers of both eras,
// a denied one to each, one of a pending tool and one of a tool that is not.
func (w *world) drive(t *testing.T, c client, key string) {
	t.Helper()
	deleted := w.modern.deleted.Load() + w.legacy.deleted.Load()
	s := c.drive(t, w.gateway, key, []call{
		{"everything__echo", object{"message": "grüße"}},
		{"modern__add", object{"a": 2, "b": 3}},
		{"legacy__add", object{"a": 20, "b": 30}},
		{"modern__delete_item", object{"id": "7"}},
		{"legacy__delete_item", object{"id": "7"}},
		{"everything__get-sum", object{"a": 1, "b": 1}},
		{"everything__no-such-tool", object{}},
	})
	if !slices.Equal(s.tools, visibleTools) {
		t.Errorf("%s sees %v, not exactly %v", c.name, s.tools, visibleTools)
	}
	for i, want := range []string{"grüße", `"sum":5`, `"sum":50`} {
		if got := s.answers[i]; got.err != "" || !strings.Contains(strings.ReplaceAll(got.text, " ", ""), want) {
			t.Errorf("%s: allowed call %d answered %+v, not %s", c.name, i, got, want)
		}
	}
	for _, i := range []int{3, 4} {
		if got := s.answers[i]; !strings.Contains(got.err, "Deleting items needs a person") {
			t.Errorf("%s: denied call %d answered %+v, without the rule's reason", c.name, i, got)
		}
	}
	if now := w.modern.deleted.Load() + w.legacy.deleted.Load(); now != deleted {
		t.Errorf("%s: a denied call reached its server", c.name)
	}
	hidden := strings.ReplaceAll(s.answers[5].err, "get-sum", "X")
	if unknown := strings.ReplaceAll(s.answers[6].err, "no-such-tool", "X"); hidden == "" || hidden != unknown {
		t.Errorf("%s: a pending tool answers %q, an unknown one %q", c.name, hidden, unknown)
	}
}

// ledgerOf returns the calls of an application once there are n, and fails if
// there are ever more.
func (w *world) ledgerOf(t *testing.T, application string, n int) []object {
	t.Helper()
	var calls []object
	eventually(t, fmt.Sprintf("%d calls of %s in the ledger", n, application), func() bool {
		calls = calls[:0]
		done := true
		list, _ := admin(t, w.dataDir, "audit", "list", "--application", application, "--limit", "1000")["calls"].([]any)
		for _, c := range list {
			if m := c.(object)["method"]; m == "initialize" || m == "DELETE" {
				continue // Who has a session is not a call.
			}
			calls = append(calls, c.(object))
			done = done && c.(object)["outcome"] != "running"
		}
		if len(calls) > n {
			t.Fatalf("%d calls of %s in the ledger, not %d: %v", len(calls), application, n, calls)
		}
		return len(calls) == n && done
	})
	slices.Reverse(calls) // Oldest first.
	return calls
}

// checkLedger holds each call of drive, exactly once, with all that it promises.
func (w *world) checkLedger(t *testing.T, application string) {
	t.Helper()
	want := []struct{ server, tool, decision, rule, outcome string }{
		{"everything", "echo", "allow", "echo-and-add", "ok"},
		{"modern", "add", "allow", "echo-and-add", "ok"},
		{"legacy", "add", "allow", "echo-and-add", "ok"},
		{"modern", "delete_item", "deny", "no-deletes", "refused"},
		{"legacy", "delete_item", "deny", "no-deletes", "refused"},
		{"", "everything__get-sum", "deny", "unknown-tool", "refused"},
		{"", "everything__no-such-tool", "deny", "unknown-tool", "refused"},
	}
	calls := w.ledgerOf(t, application, len(want))
	for i, c := range calls {
		got := struct{ server, tool, decision, rule, outcome string }{
			c["server"].(string), c["tool"].(string), c["decision"].(string), c["rule"].(string), c["outcome"].(string)}
		if got != want[i] {
			t.Errorf("%s: call %d stands as %+v, not %+v", application, i, got, want[i])
		}
		if c["user"] != "ana" || c["application"] != application || c["method"] != "tools/call" || c["node"] == "" {
			t.Errorf("%s: call %d is of %v, %v, %v on %v", application, i, c["user"], c["application"], c["method"], c["node"])
		}
		if latency, _ := c["latency"].(string); latency == "" || latency == "0s" {
			t.Errorf("%s: call %d has no latency", application, i)
		}
		if reason := c["reason"]; want[i].rule == "no-deletes" && reason != "Deleting items needs a person" {
			t.Errorf("%s: call %d has the reason %q", application, i, reason)
		}
	}
}

// checkKeys holds that a key that is unknown, expired or revoked gets 401.
func (w *world) checkKeys(t *testing.T) {
	t.Helper()
	const list = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	status := func(key string) int {
		code, _, header := post(t, w.mcp, key, list)
		if code == http.StatusUnauthorized && !strings.HasPrefix(header.Get("WWW-Authenticate"), "Bearer") {
			t.Errorf("401 without a challenge: %q", header.Get("WWW-Authenticate"))
		}
		return code
	}
	usable := func(key string) {
		if code := status(key); code != http.StatusOK {
			t.Errorf("a new key gets %d at once", code)
		}
	}
	for name, key := range map[string]string{"none": "", "nonsense": "wdr_x", "unknown": "wdr_aaaaaaaaaaaa_bbbbbbbbbbbbbbbbbbbbbbbb_cccccc"} {
		if code := status(key); code != http.StatusUnauthorized {
			t.Errorf("a key that is %s gets %d", name, code)
		}
	}
	expiring := w.key(t, "expiring", "--expires", "3s")
	usable(expiring)
	eventually(t, "an expired key gets 401", func() bool { return status(expiring) == http.StatusUnauthorized })

	m := admin(t, w.dataDir, "key", "create", "--user", "ana", "--application", "leaver")
	usable(m["key"].(string))
	admin(t, w.dataDir, "key", "revoke", m["details"].(object)["id"].(string))
	answered := time.Now()
	for status(m["key"].(string)) != http.StatusUnauthorized {
		if time.Since(answered) > time.Second {
			t.Fatal("a revoked key still works a second after the API's answer")
		}
	}
}

// settled waits until every node serves the newest revision. Changes settle by
// themselves before they are answered, unless a node connects meanwhile.
func (w *world) settled(t *testing.T, key string) {
	t.Helper()
	eventually(t, "the node serves the newest revision", func() bool {
		for _, n := range admin(t, w.dataDir, "node", "list")["nodes"].([]any) {
			if node := n.(object); node["revision"] != node["desiredRevision"] || node["connected"] != true {
				return false
			}
		}
		code, _, _ := post(t, w.mcp, key, `{"jsonrpc":"2.0","id":1,"method":"ping"}`)
		return code == http.StatusOK
	})
}

func TestMainJobAllInOne(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	mainJob(t, prepare(t, g))
}

func TestMainJobWithPlanesApart(t *testing.T) {
	t.Parallel()
	mainJob(t, prepare(t, startApart(t).gateway))
}

func mainJob(t *testing.T, w *world) {
	keys := map[string]string{}
	for _, c := range clients {
		keys[c.name] = w.key(t, c.name)
	}
	for _, c := range clients {
		w.settled(t, keys[c.name])
		w.drive(t, c, keys[c.name])
		w.checkLedger(t, c.name)
	}
	w.checkKeys(t)
}

// TestMainJobWhileControlPlaneAndDatabaseAreAway holds P-05 and P-02: calls go
// on by the last snapshot, also through a restart of the node, and their audit
// arrives once when both are back.
func TestMainJobWhileControlPlaneAndDatabaseAreAway(t *testing.T) {
	t.Parallel()
	a := startApart(t)
	w := prepare(t, a.gateway)
	running, restarted := clients[0], clients[1]
	keys := []string{w.key(t, running.name), w.key(t, restarted.name)}
	w.settled(t, keys[1])

	a.takeAwayControlPlane(t)
	w.drive(t, running, keys[0])
	a.bringBackControlPlane(t)
	w.checkLedger(t, running.name)

	a.takeAwayControlPlane(t)
	w.drive(t, restarted, keys[1])
	a.node.kill() // What it recorded waits on its disk.
	a.startNode(t)
	a.bringBackControlPlane(t)
	w.checkLedger(t, restarted.name)
}

// TestWhatCannotBeRecordedIsNotDone holds P-04 with processes: while nobody takes
// the audit and the queue is full, calls are refused and do not reach their
// server; what was made is in the ledger when the control plane is back.
func TestWhatCannotBeRecordedIsNotDone(t *testing.T) {
	t.Parallel()
	a := startApart(t, "--audit-queue-bytes", "8192")
	server := startSDK(t, true)
	admin(t, a.dataDir, "server", "add", "modern", "--url", server.url, "--private", "--approve")
	admin(t, a.dataDir, "user", "create", "ana", "--role", "owner")
	w := &world{gateway: a.gateway}
	key := w.key(t, "unrecorded")
	w.settled(t, key)
	a.takeAwayControlPlane(t)

	const add = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"modern__add","arguments":{"a":1,"b":2}}}`
	made, refused := 0, 0
	for range 32 {
		switch status, body, _ := post(t, a.mcp, key, add); {
		case status == http.StatusOK && strings.Contains(body, `"sum":3`):
			made++
		case status == http.StatusOK && strings.Contains(body, `"code":1507`) && strings.Contains(body, "cannot be recorded"):
			refused++
		default:
			t.Fatalf("%d %s", status, body)
		}
	}
	if made == 0 || refused == 0 || made+refused != 32 || int64(made) != server.added.Load() {
		t.Errorf("%d calls were made and %d refused; %d reached the server", made, refused, server.added.Load())
	}
	if status, body, _ := post(t, a.mcp, key, `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`); status != http.StatusOK || !strings.Contains(body, "modern__add") {
		t.Errorf("a list meanwhile: %d %s", status, body)
	}
	a.bringBackControlPlane(t)
	for _, c := range w.ledgerOf(t, "unrecorded", made) {
		if c["decision"] != "allow" || c["outcome"] != "ok" {
			t.Errorf("the ledger has %v", c)
		}
	}
	eventually(t, "calls are made again", func() bool {
		_, body, _ := post(t, a.mcp, key, add)
		return strings.Contains(body, `"sum":3`)
	})
}
