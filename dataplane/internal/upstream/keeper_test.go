package upstream

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// nodes are pools that know each other.
type nodes struct {
	server *snapshotv1.Server

	mu    sync.Mutex
	pools map[string]*Pool
	views map[string]string // of a node: who it thinks keeps everything
	away  map[string]bool   // is not reached
}

// node is one of them.
type node struct {
	*nodes
	name string
}

// startNodes makes nodes of which "a" is the keeper.
func startNodes(t *testing.T, f *fake, config Config, names ...string) *nodes {
	t.Helper()
	all := &nodes{
		server: versioned(listen(t, f), mcp.Version20251125),
		pools:  map[string]*Pool{}, views: map[string]string{}, away: map[string]bool{},
	}
	for _, name := range names {
		all.start(t, config, name)
	}
	return all
}

func (n *nodes) start(t *testing.T, config Config, name string) {
	t.Helper()
	config.Keepers = node{n, name}
	pool := newPool(t, config)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.pools[name], n.views[name] = pool, "a"
}

func (n *nodes) see(keeper string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name := range n.views {
		n.views[name] = keeper
	}
}

func (n *nodes) leave(t *testing.T, name string) {
	t.Helper()
	n.mu.Lock()
	pool := n.pools[name]
	delete(n.pools, name)
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	pool.Close(ctx)
}

const common = "s/common"

func (n node) Keeper(key string) (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if keeper := n.views[n.name]; keeper != n.name {
		return keeper, key == common
	}
	return "", key == common
}

func (n node) reach(name string) (*Pool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pools[name] == nil || n.away[name] {
		return nil, errors.New("not reached")
	}
	return n.pools[name], nil
}

func (n node) Keep(ctx context.Context, name string, w *Wanted) (Kept, error) {
	pool, err := n.reach(name)
	if err != nil {
		return Kept{}, err
	}
	return pool.Keep(ctx, n.server, w)
}

func (n node) Find(_ context.Context, w *Wanted) Kept {
	n.mu.Lock()
	names := slices.Sorted(maps.Keys(n.pools))
	n.mu.Unlock()
	for _, name := range names {
		if pool, err := n.reach(name); err == nil && name != n.name {
			if kept := pool.Held(n.server, w); kept.ID != "" {
				return kept
			}
		}
	}
	return Kept{}
}

// call makes a call of the client at a node; its own session with the server has an id, unless that is empty.
func (n *nodes) call(t *testing.T, name, own string) {
	t.Helper()
	call := callTo(t, n.server, mcp.Legacy, "1", "echo", `{}`)
	call.SessionKey = common
	if own != "" {
		call.Session = &SessionRef{ID: own, Version: mcp.Version20250618}
	}
	n.mu.Lock()
	pool := n.pools[name]
	n.mu.Unlock()
	if answer, err := pool.Do(t.Context(), call, nil); err != nil || answer.Outcome != outcomeOK {
		t.Errorf("at %s: %v, %s", name, err, show(answer))
	}
}

// everywhere calls at each node several times at once.
func (n *nodes) everywhere(t *testing.T, own string) {
	t.Helper()
	var wait sync.WaitGroup
	n.mu.Lock()
	names := slices.Sorted(maps.Keys(n.pools))
	n.mu.Unlock()
	for _, name := range names {
		for range 5 {
			wait.Go(func() { n.call(t, name, own) })
		}
	}
	wait.Wait()
}

// gone returns how many sessions the server was told to end.
func (f *fake) gone() int {
	_, ended := f.seen()
	return len(ended)
}

// TestNodesSpeakInOneSessionForAClient that carries none, before and after the server has lost it, and lost it again.
func TestNodesSpeakInOneSessionForAClient(t *testing.T) {
	for _, own := range []string{"", "lost-long-ago"} {
		f := statefulFake(t)
		n := startNodes(t, f, Config{}, "a", "b", "c")
		for generation := range 4 {
			n.everywhere(t, own)
			if opened := f.initializes.Load(); opened != int64(generation+1) {
				t.Errorf("own %q, generation %d: %d sessions were opened", own, generation, opened)
			}
			f.forgetAll()
		}
	}
}

// TestASessionOutlivesItsKeeper that leaves in order, or is gone: those who use it go on, and so does who comes in its place.
func TestASessionOutlivesItsKeeper(t *testing.T) {
	f := statefulFake(t)
	n := startNodes(t, f, Config{}, "a", "b", "c")
	n.everywhere(t, "")
	n.leave(t, "a")
	n.everywhere(t, "")
	n.see("c")
	n.start(t, Config{}, "a") // Again, and not the keeper any more.
	n.see("c")
	n.everywhere(t, "")
	n.see("a")
	n.everywhere(t, "")
	n.start(t, Config{}, "d")
	n.everywhere(t, "")
	if opened, ended := f.initializes.Load(), f.gone(); opened != 1 || ended != 0 {
		t.Errorf("%d sessions were opened and %d ended; want one, and none", opened, ended)
	}
}

// TestAKeeperThatIsNotReachedCostsNoCall, nor does one that asks back.
func TestAKeeperThatIsNotReachedCostsNoCall(t *testing.T) {
	f := statefulFake(t)
	n := startNodes(t, f, Config{}, "a", "b")
	n.away["a"] = true
	n.call(t, "b", "")
	n.away["a"] = false

	n = startNodes(t, f, Config{}, "a", "b")
	n.views["a"] = "b" // Each thinks that the other keeps it.
	began := time.Now()
	n.everywhere(t, "")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("nodes that do not agree waited %v for each other", took)
	}
}

// TestOnlyTheKeeperEndsASession, when it was idle at all nodes.
func TestOnlyTheKeeperEndsASession(t *testing.T) {
	f := statefulFake(t)
	const idle = 200 * time.Millisecond
	n := startNodes(t, f, Config{SessionIdle: idle}, "a", "b")
	n.call(t, "b", "")
	for began := time.Now(); time.Since(began) < 3*idle; time.Sleep(idle / 20) {
		n.call(t, "b", "")
	}
	if opened, ended := f.initializes.Load(), f.gone(); opened != 1 || ended != 0 {
		t.Fatalf("while it is in use at another node, %d sessions were opened and %d ended", opened, ended)
	}
	await(t, "the end of the session", func() bool { return f.gone() == 1 })
	n.leave(t, "b")
	if ended := f.gone(); ended != 1 {
		t.Errorf("ended %d times", ended)
	}
}

// TestNodesDoNotAgreeOnOtherSessions: those of modern clients are of one node.
func TestNodesDoNotAgreeOnOtherSessions(t *testing.T) {
	f := statefulFake(t)
	n := startNodes(t, f, Config{}, "a", "b", "c")
	for i, name := range []string{"a", "b", "c"} {
		callAs(t, n.pools[name], n.server, ana)
		if opened := f.initializes.Load(); opened != int64(i+1) {
			t.Errorf("%d nodes have opened %d sessions", i+1, opened)
		}
	}
}

// TestAServerWithoutSessionsIsGreetedByEachNode once.
func TestAServerWithoutSessionsIsGreetedByEachNode(t *testing.T) {
	f := statefulFake(t)
	f.stateful = false
	n := startNodes(t, f, Config{}, "a", "b", "c")
	n.everywhere(t, "")
	n.everywhere(t, "")
	if opened := f.initializes.Load(); opened != 3 {
		t.Errorf("%d handshakes of three nodes", opened)
	}
}
