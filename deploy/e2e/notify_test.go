package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAPolicyChangeIsToldOnlyToThoseWhoseViewChanged holds mcp.md 2.5: two users
// listen, as legacy and as modern clients; a policy that hides a tool from one is
// news for him alone, and one that hides it from both is news for the other as well.
func TestAPolicyChangeIsToldOnlyToThoseWhoseViewChanged(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	w := &world{gateway: g}
	server := startRaw(t, false, nil)
	serverAdd(t, g, "raw", server.url)
	listeners := map[string]*stream{}
	keys := map[string]string{}
	for _, user := range []string{"ana", "bob"} {
		admin(t, g.dataDir, "user", "create", user, "--role", "owner")
		keys[user] = admin(t, g.dataDir, "key", "create", "--user", user, "--application", "ide")["key"].(string)
		w.settled(t, keys[user])
	}
	for user, key := range keys {
		session := openVersion(t, g.mcp, key, "2025-11-25", "{}")
		listeners[user+", legacy"] = openStream(t, http.MethodGet, g.mcp, key, session, "")
		modern := openStream(t, http.MethodPost, g.mcp, key, "",
			`{"jsonrpc":"2.0","id":"l","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true,"promptsListChanged":true},`+modernMeta+`}}`,
			modernHeader("subscriptions/listen", "")...)
		if ack := modern.next(t); !strings.Contains(ack, "notifications/subscriptions/acknowledged") {
			t.Fatalf("a listener is first told %s", ack)
		}
		listeners[user+", modern"] = modern
	}
	hide := func(users string) {
		t.Helper()
		r := command(t, g.dataDir, fmt.Sprintf("rules:\n  - {name: hide, effect: deny, users: [%s], tools: [raw/wipe]}\n", users), "policy", "apply", "-f", "-")
		if r.code != 0 {
			t.Fatal(r.stderr)
		}
	}
	const news = "notifications/tools/list_changed"
	told := func(who string) {
		t.Helper()
		message := listeners[who].next(t)
		if !strings.Contains(message, news) || strings.HasSuffix(who, "modern") != strings.Contains(message, `"io.modelcontextprotocol/subscriptionId":"l"`) {
			t.Errorf("%s is told %s", who, message)
		}
	}
	hide("bob")
	told("bob, legacy")
	told("bob, modern")
	hide("ana, bob")
	told("ana, legacy") // Had the first change been news for her, it would come first, and this one after it.
	told("ana, modern")
	hide("ana")
	told("bob, legacy")
	told("bob, modern")
	for who, listener := range listeners {
		if more := listener.heard(); len(more) > 0 {
			t.Errorf("%s is also told %v", who, more)
		}
	}
}

// TestUpStopsWhileClientsListen holds that a stream without an end of its own does
// not hold up the end of 'warder up' until requests are cut off.
func TestUpStopsWhileClientsListen(t *testing.T) {
	t.Parallel()
	g, up := startUp(t)
	serverAdd(t, g, "raw", startRaw(t, false, nil).url)
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	key := admin(t, g.dataDir, "key", "create", "--user", "ana", "--application", "ide")["key"].(string)
	(&world{gateway: g}).settled(t, key)
	legacy := openStream(t, http.MethodGet, g.mcp, key, openVersion(t, g.mcp, key, "2025-11-25", "{}"), "")
	modern := openStream(t, http.MethodPost, g.mcp, key, "",
		`{"jsonrpc":"2.0","id":"l","method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},`+modernMeta+`}}`,
		modernHeader("subscriptions/listen", "")...)
	modern.next(t) // It is acknowledged.

	const soon = 10 * time.Second // Less than the 30 s after which requests are cut off.
	begun := time.Now()
	up.signal(syscall.SIGINT)
	select {
	case <-up.done:
	case <-time.After(soon):
		t.Fatalf("up still runs %v after it was asked to stop", time.Since(begun))
	}
	if up.err != nil {
		t.Errorf("up ends with %v", up.err)
	}
	if end := modern.next(t); !strings.Contains(end, `"result"`) {
		t.Errorf("the modern stream ends with %s", end)
	}
	for who, s := range map[string]*stream{"legacy": legacy, "modern": modern} {
		if more, open := <-s.messages; open {
			t.Errorf("the %s stream goes on with %s", who, more)
		}
	}
}
