package e2e_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// The limit of the tests below: so many calls a second, so many at once. The burst lets
// a busy machine stand still for a second without losing calls.
const (
	limitRate  = 40
	limitBurst = 40
	// limitWindow is what is measured at a time. What all nodes admit in it may be a
	// tenth more or less than the limit.
	limitWindow = 5 * time.Second
	limitCaller = "ana"
)

// limitPolicy lets each user have limitRate calls a second.
const limitPolicy = `rules: []
limits:
  - {name: per-user, per: user, calls: 2400, window: 1m, burst: 40, tools: ["raw/*"]}
`

// load is clients of one user that call at some nodes much more often than they may.
type load struct {
	t        *testing.T
	key      string
	admitted atomic.Int64
	refused  sync.Map // URL → *atomic.Int64

	called  int // nodes
	began   time.Time
	clients sync.WaitGroup
	stop    chan struct{}
}

// startLoad calls, at each of these nodes, one and a half times as often as the limit is
// for all of them.
func startLoad(t *testing.T, key string, nodes ...string) *load {
	l := &load{t: t, key: key, called: len(nodes), began: time.Now(), stop: make(chan struct{})}
	const clients = 3
	for _, node := range nodes {
		l.refused.Store(node, new(atomic.Int64))
		for range clients {
			l.clients.Go(func() { l.client(node, clients*time.Second*2/(3*limitRate)) })
		}
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.clients.Wait()
}

func (l *load) client(node string, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-ticker.C:
		}
		switch _, body, _ := callRead(l.t, node, l.key); {
		case strings.Contains(body, `"result"`):
			l.admitted.Add(1)
		case strings.Contains(body, `"code":1429`):
			l.refusals(node).Add(1)
		default:
			l.t.Errorf("a call was neither admitted nor limited: %s", body)
			return
		}
	}
}

func (l *load) refusals(node string) *atomic.Int64 {
	n, _ := l.refused.Load(node)
	return n.(*atomic.Int64)
}

// holds waits until the nodes that are called have their shares of a limit that is
// divided among so many, and nothing left of the burst. What all of them admit from then
// on is the limit.
func (l *load) holds(what string, nodes int) {
	l.t.Helper()
	share := 0.95/float64(l.called) + 0.05/float64(nodes) // A twentieth is always divided evenly.
	l.refused.Range(func(node, n any) bool {
		eventually(l.t, fmt.Sprintf("%s: %s has its share", what, node), func() bool {
			got := gauge(l.t, node.(string), `warder_limit_share{limit="per-user"}`)
			return got > share-0.05 && got < share+0.05
		})
		before := n.(*atomic.Int64).Load()
		eventually(l.t, fmt.Sprintf("%s: %s is at its limit", what, node), func() bool { return n.(*atomic.Int64).Load() > before })
		return true
	})
	from, admitted := time.Now(), l.admitted.Load()
	<-time.After(limitWindow)
	seconds, admitted := time.Since(from).Seconds(), l.admitted.Load()-admitted
	want := limitRate * seconds
	l.t.Logf("%s: %d calls in %.2f s, %.1f %% of the limit", what, admitted, seconds, 100*float64(admitted)/want)
	if float64(admitted) < want*0.9 || float64(admitted) > want*1.1 {
		l.t.Errorf("%s: %d calls in %.2f s; want %.0f, 10 %% more or less", what, admitted, seconds, want)
	}
}

// within holds all that was admitted since the load began, however shares moved
// meanwhile, to the limit and its burst.
func (l *load) within(what string) {
	l.t.Helper()
	l.end()
	if most := 1.1 * (limitRate*time.Since(l.began).Seconds() + limitBurst); float64(l.admitted.Load()) > most {
		l.t.Errorf("%s: %d calls; want at most %.0f", what, l.admitted.Load(), most)
	}
}

func callRead(t *testing.T, node, key string) (int, string, http.Header) {
	return send(t, node+"/mcp", key,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"raw__read","arguments":{},`+modernMeta+`}}`, modernHeader("tools/call", "raw__read")...)
}

// gauge returns a metric of a node; -1: it has none of that name.
func gauge(t *testing.T, node, name string) float64 {
	t.Helper()
	response, err := http.Get(node + "/metrics")
	if err != nil {
		return -1 // It is not up yet.
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	return -1
}

// among waits until these nodes know that limits are divided among so many.
func among(t *testing.T, count float64, nodes ...string) {
	t.Helper()
	for _, node := range nodes {
		eventually(t, fmt.Sprintf("%s divides by %v", node, count), func() bool { return gauge(t, node, "warder_limit_nodes") == count })
	}
}

// limited starts a control plane, two nodes and a server, applies the policy and returns
// the nodes' URLs and a key.
func limited(t *testing.T) (a *apart, nodes []string, key string) {
	t.Helper()
	a = startApart(t)
	nodes = []string{strings.TrimSuffix(a.mcp, "/mcp"), a.another(t, "edge-2")}
	serverAdd(t, a.gateway, "raw", startRaw(t, true, nil).url)
	admin(t, a.dataDir, "user", "create", limitCaller, "--role", "owner")
	key = admin(t, a.dataDir, "key", "create", "--user", limitCaller, "--application", "ci")["key"].(string)
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, []byte(limitPolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	revision, err := strconv.ParseFloat(fmt.Sprint(admin(t, a.dataDir, "policy", "apply", "-f", file, "--reason", "limits")["revision"]), 64)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range nodes {
		eventually(t, node+" lets ana call under the policy", func() bool {
			_, body, _ := callRead(t, node, key)
			return strings.Contains(body, `"result"`) && gauge(t, node, "warder_config_revision") >= revision
		})
	}
	among(t, 2, nodes...)
	return a, nodes, key
}

// TestALimitHoldsForAllNodesTogether measures what two nodes admit of a user's calls when
// both are called, when one is, and when a third joins and one leaves.
func TestALimitHoldsForAllNodesTogether(t *testing.T) {
	t.Parallel()
	a, nodes, key := limited(t)
	even := startLoad(t, key, nodes...)
	even.holds("two nodes", 2)
	even.within("two nodes")

	one := startLoad(t, key, nodes[1])
	one.holds("one of two nodes", 2)
	refusedWithReason(t, a, nodes[1], key)
	one.within("one of two nodes")

	nodes = append(nodes, a.another(t, "edge-3"))
	among(t, 3, nodes...)
	three := startLoad(t, key, nodes...)
	three.holds("three nodes", 3)
	three.within("three nodes")

	a.node.stop()
	among(t, 2, nodes[1:]...)
	left := startLoad(t, key, nodes[1:]...)
	left.holds("two that are left", 2)
	left.within("two that are left")
}

// refusedWithReason calls until a call is refused, and holds what the client and the
// ledger are told of it.
func refusedWithReason(t *testing.T, a *apart, node, key string) {
	t.Helper()
	var body string
	var header http.Header
	var status int
	eventually(t, "a refusal", func() bool {
		status, body, header = callRead(t, node, key)
		return strings.Contains(body, `"error"`)
	})
	after, err := strconv.Atoi(header.Get("Retry-After"))
	if status != http.StatusOK || err != nil || after < 1 || after > 60 ||
		!strings.Contains(body, `"code":1429`) || !strings.Contains(body, `"limit":"per-user","retryAfterMs":`) || !strings.Contains(body, "Come back in ") {
		t.Errorf("the refusal is %d, Retry-After %q, %s", status, header.Get("Retry-After"), body)
	}
	if n := gauge(t, node, `warder_limit_refusals_total{limit="per-user"}`); n < 1 {
		t.Errorf("%v refusals are counted", n)
	}
	if r := command(t, a.dataDir, "", "policy", "explain", limitCaller, "--tool", "raw/read"); !strings.Contains(r.stdout, "per-user") ||
		!strings.Contains(r.stdout, "at most 2400 calls in 1m for user ana, 40 at once") {
		t.Errorf("explain does not show the limit:\n%s%s", r.stdout, r.stderr)
	}
	eventually(t, "refusals by the limit are in the ledger", func() bool {
		list, _ := admin(t, a.dataDir, "audit", "list", "--application", "ci", "--decision", "deny", "--limit", "10")["calls"].([]any)
		return len(list) > 0 && list[0].(object)["rule"] == "limit:per-user"
	})
}

// TestLimitsHoldWithoutControlPlane: nodes go on with the shares that they had, and one
// that starts meanwhile has an even part of what there was.
func TestLimitsHoldWithoutControlPlane(t *testing.T) {
	t.Parallel()
	a, nodes, key := limited(t)
	l := startLoad(t, key, nodes...)
	l.holds("before", 2)
	a.takeAwayControlPlane(t)
	l.holds("without control plane", 2)
	l.within("without control plane")

	a.node.kill() // Told to stop, it would wait for the audit to be taken.
	a.startNode(t)
	if n := gauge(t, nodes[0], "warder_limit_nodes"); n != 2 {
		t.Errorf("a node that starts without control plane divides by %v", n)
	}
	alone := startLoad(t, key, nodes[0])
	before := time.Now()
	eventually(t, "it refuses", func() bool { return alone.refusals(nodes[0]).Load() > 0 })
	<-time.After(limitWindow)
	alone.end()
	if most := 1.1 / 2 * (limitRate*time.Since(before).Seconds() + limitBurst); float64(alone.admitted.Load()) > most {
		t.Errorf("a node that started without control plane admits %d calls; want at most %.0f", alone.admitted.Load(), most)
	}

	a.bringBackControlPlane(t)
	again := startLoad(t, key, nodes...)
	again.holds("after", 2)
	again.within("after")
}
