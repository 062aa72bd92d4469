package uplink

import (
	"log/slog"
	"slices"
	"sync"

	"google.golang.org/protobuf/proto"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// maxAnnounced bounds the servers of one agent, as a tunnel does.
const maxAnnounced = 1000

// announcer is a tunnel that can be told what the agent serves. It does not wait.
type announcer interface {
	Announce([]*tunnelv1.ServerState) error
}

// crier tells all tunnels what the agent serves. All tunnels hear all of it in the same order.
type crier struct {
	log *slog.Logger

	mu    sync.Mutex
	said  []*tunnelv1.ServerState
	hears map[announcer]struct{}
}

func newCrier(log *slog.Logger) *crier {
	return &crier{log: log, hears: make(map[announcer]struct{})}
}

// join has a tunnel hear what was said last and all that is said until leave is called.
func (c *crier) join(a announcer) (leave func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hears[a] = struct{}{}
	c.tell(a)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.hears, a)
	}
}

// cry says what look returns, unless it was said already.
func (c *crier) cry(look func() []*tunnelv1.ServerState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	states := look()
	if len(states) > maxAnnounced {
		c.log.Error("the agent has more servers than can be announced; the last ones by name are left out", "servers", len(states), "limit", maxAnnounced)
		states = states[:maxAnnounced]
	}
	if slices.EqualFunc(states, c.said, func(a, b *tunnelv1.ServerState) bool { return proto.Equal(a, b) }) {
		return
	}
	c.said = states
	for a := range c.hears {
		c.tell(a)
	}
}

func (c *crier) tell(a announcer) {
	if err := a.Announce(c.said); err != nil {
		c.log.Error("cannot announce servers", "error", err)
	}
}
