package errand

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/tunnel"
)

// maxKept bounds what a node says of a session, in bytes.
const maxKept = 16 << 10

// Keeper implements upstream.Keepers by rendezvous: of all nodes that this one knows, the keeper of a key is the one whose hash with it is
// the largest. Nodes agree as far as they know the same others, and one that comes or goes moves only its own keys.
func (e *Errands) Keeper(key string) (node string, common bool) {
	if !notice.IsSessionKey(key) {
		return "", false
	}
	var most [sha256.Size]byte
	keeper := ""
	for _, name := range append(e.config.Relay.Nodes(e.config.Node), e.config.Node) {
		sum := sha256.Sum256([]byte(name + "\x00" + key))
		if keeper == "" || string(sum[:]) > string(most[:]) {
			most, keeper = sum, name
		}
	}
	if keeper == e.config.Node {
		return "", true
	}
	return keeper, true
}

// Keep implements upstream.Keepers.
func (e *Errands) Keep(ctx context.Context, node string, w *upstream.Wanted) (upstream.Kept, error) {
	return e.lent(ctx, node, kindKeep, w)
}

// Find implements upstream.Keepers. It asks all nodes at a time and takes the first session that one has.
func (e *Errands) Find(ctx context.Context, w *upstream.Wanted) (found upstream.Kept) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	slots := make(chan struct{}, maxTold)
	var mu sync.Mutex
	var asked sync.WaitGroup
	for _, node := range e.config.Relay.Nodes(e.config.Node) {
		slots <- struct{}{}
		asked.Go(func() {
			defer func() { <-slots }()
			kept, err := e.lent(ctx, node, kindFind, w)
			if err != nil || kept.ID == "" {
				return // Most nodes have none, and one that is not reached cannot lend.
			}
			mu.Lock()
			defer mu.Unlock()
			if found.ID == "" {
				found = kept
				cancel()
			}
		})
	}
	asked.Wait()
	return found
}

// lent asks a node for a session.
func (e *Errands) lent(ctx context.Context, node, kind string, w *upstream.Wanted) (kept upstream.Kept, err error) {
	response, err := e.open(ctx, node, kind, &message{Wanted: w})
	if err != nil {
		return kept, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxKept))
	if err != nil {
		return kept, fmt.Errorf("read session of another node: %w", err)
	}
	if err := json.Unmarshal(body, &kept); err != nil {
		return upstream.Kept{}, fmt.Errorf("read session of another node: %w", err)
	}
	return kept, nil
}

// lend answers another node that asks for a session. What this node does not keep, or know, is refused.
func (e *Errands) lend(ctx context.Context, kind string, wanted *upstream.Wanted, w tunnel.Answer) {
	server := e.config.Server(wanted.Server)
	if server == nil || wanted.Principal == nil || wanted.Principal.User == "" || !notice.IsSessionKey(wanted.Key) {
		_ = w.Reply(http.StatusNotFound, nil, nil) // It fails where nobody waits, as those below.
		return
	}
	var kept upstream.Kept
	if kind == kindFind {
		kept = e.upstream.Held(server, wanted)
	} else {
		var err error
		if kept, err = e.upstream.Keep(ctx, server, wanted); err != nil {
			_ = w.Reply(http.StatusServiceUnavailable, nil, nil)
			return
		}
	}
	encoded, err := json.Marshal(kept)
	if err != nil {
		_ = w.Reply(http.StatusInternalServerError, nil, nil)
		return
	}
	_ = w.Reply(http.StatusOK, nil, encoded)
}
