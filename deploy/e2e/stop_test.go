package e2e_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestAStopRightAfterManyCallsKeepsTheirRecords ends 'warder up' with SIGTERM as
// soon as the last of many calls is answered, while their records wait in the
// node's memory: each is in the ledger afterwards, with its result.
func TestAStopRightAfterManyCallsKeepsTheirRecords(t *testing.T) {
	t.Parallel()
	const clients, calls = 16, 100
	g, up := startUp(t)
	w := &world{gateway: g}
	serverAdd(t, g, "old", startDelaying(t, false).url)
	serverAdd(t, g, "new", startDelaying(t, true).url)
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	key := w.key(t, "burst")
	w.settled(t, key)
	var all sync.WaitGroup
	var unrecorded atomic.Int64
	transport := &http.Transport{MaxIdleConnsPerHost: clients * collidingAtOnce}
	defer transport.CloseIdleConnections()
	for i := range clients {
		c := &collider{t: t, http: &http.Client{Transport: transport}, url: g.mcp, key: key, name: strconv.Itoa(i), modern: true, unrecorded: &unrecorded}
		all.Go(func() { c.run(calls) })
	}
	all.Wait()
	up.signal(syscall.SIGTERM)
	select {
	case <-up.done:
	case <-time.After(within):
		t.Fatal("it does not end")
	}
	if up.err != nil {
		t.Errorf("the end: %v", up.err)
	}

	again := start(t, g.dataDir, nil, binary, "up", "--data-dir", g.dataDir, "--listen", "127.0.0.1:0")
	again.waitFor(t, "  MCP ")
	list, _ := admin(t, g.dataDir, "audit", "list", "--application", "burst", "--limit", "10000")["calls"].([]any)
	made, outcomes := 0, map[string]int{}
	for _, c := range list {
		if call := c.(object); call["method"] == "tools/call" {
			made++
			outcomes[fmt.Sprint(call["outcome"])]++
		}
	}
	if made < clients*calls || outcomes["ok"] != clients*calls {
		t.Errorf("the ledger has %d calls with outcomes %v; want %d, all ok", made, outcomes, clients*calls)
	}
	if text := up.output.String(); strings.Contains(text, "never acknowledged") {
		t.Errorf("%s lost records:\n%s", filepath.Base(binary), text)
	}
}
