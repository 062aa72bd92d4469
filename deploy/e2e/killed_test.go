package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestP01_ANodeThatIsKilledAgainAndAgainLosesNoRecord kills a node under load in a loop, with the control plane and its database
// there, away, and just back. Then the ledger has each call that was answered once, as it went, and of no call more than one
// entry. Nothing is left in the node's directory that a person would have to look at.
func TestP01_ANodeThatIsKilledAgainAndAgainLosesNoRecord(t *testing.T) {
	t.Parallel()
	a := startApart(t)
	server := startSDK(t, true)
	admin(t, a.dataDir, "server", "add", "modern", "--url", server.url, "--private", "--approve")
	admin(t, a.dataDir, "user", "create", "ana", "--role", "owner")
	key := admin(t, a.dataDir, "key", "create", "--user", "ana", "--application", "site")["key"].(string)
	(&world{gateway: a.gateway}).settled(t, key)

	load := &traffic{stop: make(chan struct{})}
	t.Cleanup(load.end)
	for range 4 {
		load.all.Go(func() { load.adds(&caller{url: a.mcp, key: key}) })
	}
	for round := range numberFrom(t, "WARDER_KILLS", 6) {
		switch round % 6 {
		case 2:
			a.takeAwayControlPlane(t)
		case 5:
			a.bringBackControlPlane(t)
		}
		load.answered(t, time.Now(), 20)
		a.node.kill()
		a.startNode(t)
	}
	load.answered(t, time.Now(), 20)
	load.end()

	calls, ok := load.made(), 0
	var wrong []string
	defer func() {
		if len(wrong) > 0 {
			t.Errorf("of %d calls these are not in the ledger as they went: %s", len(calls), strings.Join(wrong, ", "))
		}
	}()
	eventually(t, "every call that was answered is in the ledger", func() bool {
		rows := (&site{apart: a}).ledger(t)
		wrong, ok = nil, 0
		for _, p := range calls {
			row := rows[p.trace]
			if p.ok() {
				ok++
			}
			if len(row) > 1 || p.ok() && !slices.Equal(row, []string{"ok"}) {
				wrong = append(wrong, fmt.Sprintf("%v %s as %v", p.err, p.text, row))
			}
		}
		return wrong == nil
	})
	t.Logf("%d calls were answered and are there, of %d", ok, len(calls))

	eventually(t, "only its lock and one queue are left", func() bool {
		files, err := os.ReadDir(filepath.Join(a.root, "node", "audit"))
		return err == nil && len(files) == 2
	})
	if r := command(t, a.dataDir, "", "audit", "changes"); r.code != 0 || strings.Contains(r.stdout, "audit.gap") {
		t.Errorf("gaps are reported: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}

// adds calls a tool without end.
func (l *traffic) adds(c *caller) {
	for {
		select {
		case <-l.stop:
			return
		case <-time.After(pace):
		}
		p := c.call("modern", "add", `{"a":1,"b":2}`)
		l.mu.Lock()
		l.calls = append(l.calls, p)
		l.mu.Unlock()
	}
}

// answered waits until so many calls were answered that began after a time.
func (l *traffic) answered(t *testing.T, since time.Time, count int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d answers", count), func() bool {
		n := 0
		for _, p := range l.made() {
			if p.ok() && p.began.After(since) {
				n++
			}
		}
		return n >= count
	})
}
