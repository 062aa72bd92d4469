package catalog

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/seal"
)

// bench is a Refresher on a real database, with one server that a test changes.
type bench struct {
	*Refresher
	front *recorder

	mu     sync.Mutex
	script script
}

// offers changes what the server answers.
func (b *bench) offers(s script) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.script = s
}

func (b *bench) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	s := b.script
	b.mu.Unlock()
	s.ServeHTTP(w, r)
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchOn(t, storetest.New(t))
}

func newBenchOn(t *testing.T, s *store.Store) *bench {
	t.Helper()
	keys, err := seal.NewVault(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	b := new(bench)
	b.Refresher = NewRefresher(Config{
		Store: s, Keys: keys, Discoverer: discoverer(), Log: slog.New(slog.DiscardHandler),
		Age: time.Hour, Look: 10 * time.Millisecond, Gather: 5 * time.Millisecond, Rest: 5 * time.Millisecond,
	})
	b.front = record(t, b)
	_, err = b.Store.Change(t.Context(), "test", func(tx *store.Tx) error {
		tx.Record("server.add", "s", nil)
		_, err := tx.InsertServer(t.Context(), db.InsertServerParams{Name: "s", URL: b.front.URL, Private: true})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// start runs the Refresher until the test ends.
func (b *bench) start(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
}

// states returns "kind name state" of each entry, missing ones marked.
func (b *bench) states(t *testing.T) (lines []string) {
	t.Helper()
	var kinds []string
	for _, kind := range Kinds() {
		kinds = append(kinds, string(kind))
	}
	rows, err := b.Store.ListEntries(t.Context(), db.ListEntriesParams{Kinds: kinds})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		line := r.Kind + " " + r.Name + " " + r.State
		if r.Missing {
			line += " missing"
		}
		lines = append(lines, line)
	}
	return lines
}

// discoveries returns how many discoveries the audit of administrators knows.
func (b *bench) discoveries(t *testing.T) (n int) {
	t.Helper()
	rows, err := b.Store.ListAdminAudit(t.Context(), db.ListAdminAuditParams{RowLimit: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Action == "server.discover" {
			n++
		}
	}
	return n
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// asked counts the discoveries that the server saw.
func (b *bench) asked() int {
	return b.front.count(func(q *http.Request) bool { return q.Header.Get("Mcp-Method") == "server/discover" })
}

func TestAChangedServerIsDiscoveredSoonAndAuditedOnlyWithNews(t *testing.T) {
	b := newBench(t)
	b.offers(script{"server/discover": fullHello, "tools/list": oneTool, "prompts/list": onePrompt, "resources/list": oneURI})
	b.start(t)
	b.Changed("s")
	b.Changed("no such server")
	b.Changed("nosuch")
	want := []string{"tool a pending", "prompt p pending", "resource a:b pending"}
	eventually(t, "the first discovery", func() bool { return slices.Equal(want, b.states(t)) })
	eventually(t, "its audit", func() bool { return b.discoveries(t) == 1 })

	// Nothing new: seen, and not written down again.
	seen := b.asked()
	b.Changed("s")
	eventually(t, "another look", func() bool { return b.asked() > seen })
	eventually(t, "the end of it", b.Refresher.idle)
	if n := b.discoveries(t); n != 1 {
		t.Errorf("%d discoveries in the audit", n)
	}

	// A kind that fails leaves what was known of it, and is written down once.
	b.offers(script{"server/discover": fullHello, "tools/list": oneTool, "prompts/list": brokenList, "resources/list": `{"jsonrpc":"2.0","id":%s,"result":{"resources":[]}}`})
	b.Changed("s")
	want = []string{"tool a pending", "prompt p pending", "resource a:b pending missing"}
	eventually(t, "the discovery in part", func() bool { return slices.Equal(want, b.states(t)) })
	row, err := b.Store.GetServer(t.Context(), "s")
	if err != nil || !row.Partial || !strings.Contains(row.LastError, "prompts: ") || row.Prompts != 1 || row.Resources != 0 {
		t.Errorf("server %+v, %v", row, err)
	}
	b.Changed("s")
	seen = b.asked()
	eventually(t, "one more look", func() bool { return b.asked() > seen })
	eventually(t, "the end of that", b.Refresher.idle)
	if n := b.discoveries(t); n != 2 {
		t.Errorf("%d discoveries in the audit", n)
	}
}

// idle reports whether nothing waits or runs.
func (r *Refresher) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.changed) == 0
}

// What a node says ever and again costs one discovery at a time.
// What was found at an address is not written down of a server that has another by
// now: a person would approve what is not what calls reach.
func TestADiscoveryOfWhereAServerWasIsNotWrittenDown(t *testing.T) {
	b := newBench(t)
	b.offers(script{"server/discover": fullHello, "tools/list": oneTool})
	b.mu.Lock() // The server answers when the test lets it.
	done := make(chan error)
	go func() { done <- b.background(t.Context(), "s") }()
	eventually(t, "a discovery", func() bool { return b.asked() > 0 })
	row, err := b.Store.GetServer(t.Context(), "s")
	if err == nil {
		_, err = b.Store.Change(t.Context(), "test", func(tx *store.Tx) error {
			tx.Record("server.update", "s", nil)
			return tx.UpdateServer(t.Context(), db.UpdateServerParams{ID: row.ID, URL: "http://127.0.0.1:1", Private: true})
		})
	}
	b.mu.Unlock()
	if trouble := <-done; err != nil || !fault.Is(trouble, fault.Conflict) {
		t.Errorf("%v, %v", err, trouble)
	}
	if states := b.states(t); len(states) != 0 || b.discoveries(t) != 0 || b.idle() {
		t.Errorf("%v is written down, or the server is not looked at again", states)
	}
}

func TestChangesAreGathered(t *testing.T) {
	b := newBench(t)
	b.Gather = time.Hour
	for range 1000 {
		b.Changed("s")
	}
	if len(b.changed) != 1 || b.again["s"] {
		t.Errorf("waiting %v, again %v", b.changed, b.again)
	}
	names, _ := b.take(time.Now().Add(2 * time.Hour))
	if diff := cmp.Diff([]string{"s"}, names); diff != "" {
		t.Fatal(diff)
	}
	for range 1000 {
		b.Changed("s")
	}
	if names, _ := b.take(time.Now().Add(2 * time.Hour)); len(names) != 0 {
		t.Errorf("%v is discovered twice at a time", names)
	}
	start := time.Now()
	b.discoverChanged(t.Context(), "s")
	if at, took := b.changed["s"], time.Since(start); at.IsZero() || at.After(time.Now().Add(max(b.Rest, took))) {
		t.Errorf("what changed while it ran waits until %v", at)
	}
	for i := range 2 * maxChanged {
		b.Changed(fmt.Sprintf("s%d", i))
	}
	if len(b.changed) != maxChanged {
		t.Errorf("%d servers wait", len(b.changed))
	}
}

// A server that says that it changed as soon as it was discovered does not take all
// the attention; one that says it for the first time is looked at soon.
func TestAChattyServerIsLeftToRest(t *testing.T) {
	b := newBench(t)
	b.Rest, b.Gather = time.Hour, time.Millisecond
	b.Changed("s")
	if at := b.changed["s"]; at.After(time.Now().Add(b.Gather)) {
		t.Errorf("the first change waits until %v", at)
	}
	b.take(time.Now().Add(time.Second))
	b.discoverChanged(t.Context(), "s")
	b.Changed("s")
	if at := b.changed["s"]; at.Before(time.Now().Add(b.Rest / 2)) {
		t.Errorf("the next change does not wait: %v", at)
	}
	b.take(time.Now().Add(2 * time.Hour))
	if len(b.rests) != 0 {
		t.Errorf("rests that are over are kept: %v", b.rests)
	}
}

// Of two replicas each takes servers that the other does not, and none twice
// within the age.
func TestReplicasTakeTurns(t *testing.T) {
	b := newBench(t)
	b.offers(script{"server/discover": modernHello, "tools/list": oneTool})
	claim := func(age float64) []string {
		t.Helper()
		names, err := b.Store.ClaimStaleServers(t.Context(), db.ClaimStaleServersParams{AgeSeconds: age, AtMost: maxClaimed})
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	if got := claim(3600); len(got) != 0 {
		t.Errorf("fresh: %v", got)
	}
	if got := claim(0); !slices.Equal(got, []string{"s"}) {
		t.Errorf("stale: %v", got)
	}
	b.Age = time.Nanosecond
	b.start(t)
	eventually(t, "a look without anybody's word", func() bool { return slices.Equal([]string{"tool a pending"}, b.states(t)) })
}

func TestAFailureInTheBackgroundIsWrittenDownOnce(t *testing.T) {
	b := newBench(t)
	b.offers(script{}) // Refuses everything.
	for range 3 {
		if err := b.background(t.Context(), "s"); err == nil {
			t.Fatal("a server that refuses everything was discovered")
		}
	}
	row, err := b.Store.GetServer(t.Context(), "s")
	if err != nil || row.LastError == "" || row.Partial || row.DiscoveredAt != nil {
		t.Errorf("server %+v, %v", row, err)
	}
	if n := b.discoveries(t); n != 1 {
		t.Errorf("%d discoveries in the audit", n)
	}
}

// A server that was down is known to be back long before its age, and since when it
// failed is known until then.
func TestAServerThatFailsIsTriedAgainUntilItIsBack(t *testing.T) {
	b := newBench(t) // Its age is an hour.
	b.Retry = 20 * time.Millisecond
	b.offers(script{})
	_ = b.background(t.Context(), "s")
	first, err := b.Store.GetServer(t.Context(), "s")
	if err != nil || first.LastError == "" || first.FailingSince == nil {
		t.Fatalf("server %+v, %v", first, err)
	}
	b.start(t)
	tries := b.asked()
	eventually(t, "it is tried again", func() bool { return b.asked() > tries })
	if row, err := b.Store.GetServer(t.Context(), "s"); err != nil || row.FailingSince == nil || !row.FailingSince.Equal(*first.FailingSince) {
		t.Errorf("failing since %v, then since %v, %v", first.FailingSince, row.FailingSince, err)
	}
	b.offers(script{"server/discover": modernHello, "tools/list": oneTool})
	eventually(t, "it is back", func() bool {
		row, err := b.Store.GetServer(t.Context(), "s")
		return err == nil && row.LastError == "" && row.FailingSince == nil && row.DiscoveredAt != nil
	})
}
