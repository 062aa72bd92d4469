package roster_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	"github.com/warder-gateway/warder/internal/tunnel"
)

// An agent keeps users apart by the name that comes with each request: the same of one user at every node, whichever key and
// application he has, over a relay, too; another one of another user, and at another server; none of the gateway itself.
func TestAnAgentIsToldForWhomARequestIs(t *testing.T) {
	nodes, files, ca, _ := cluster(t, mcp.Version20260728, echo, "one", "two")
	mail, old := serverOf("desk", "mail", mcp.Version20260728), serverOf("desk", "old", mcp.Version20251125)
	retain(nodes, files, mail, old)
	came := noting{make(chan *tunnel.Incoming, 1)}
	attach(t, ca.identity(identity.Agent, "desk").Client(identity.Node, ""), nodes[0], came, "mail", "old")
	here(t, nodes[0], "desk[mail old] laptop[files]")
	locate(nodes)
	ana, bo := &principal.Principal{User: "ana", Application: "cursor", KeyID: "a"}, &principal.Principal{User: "bo", KeyID: "b"}
	var told [][]byte
	note := func() { told = append(told, (<-came.came).Caller) }
	asks := func(n *node, who *principal.Principal) {
		c := call(t, mail, mcp.Modern, "{}")
		c.Principal = who
		ask(t, n, c)
		note()
	}
	asks(nodes[0], ana)
	asks(nodes[1], &principal.Principal{User: "ana", KeyID: "another"})
	asks(nodes[1], bo)
	asks(nodes[1], nil)
	// A session of the legacy era begins at the client's wish, or with a call.
	if _, err := nodes[0].pool.Open(t.Context(), old, ana, 0, mcp.Version20251125); err == nil {
		t.Error("a session was opened by HTTP 202")
	}
	note()
	c := call(t, old, mcp.Legacy, "{}")
	c.Principal, c.SessionKey = ana, "s/1"
	ask(t, nodes[1], c)
	note()
	ctx, cancel := context.WithCancel(t.Context())
	listened := make(chan error, 1)
	go func() {
		listened <- nodes[1].pool.Listen(ctx, &upstream.Listen{Server: mail, Principal: bo, Filter: mcp.ListenFilter{Tools: true}}, nil)
	}()
	note()
	cancel()
	if err := <-listened; !errors.Is(err, context.Canceled) {
		t.Errorf("listening ended with %v", err)
	}
	for i, same := range map[int]int{1: 0, 5: 4, 6: 2} {
		if !bytes.Equal(told[i], told[same]) {
			t.Errorf("request %d is for %x, and request %d of the same user for %x", i, told[i], same, told[same])
		}
	}
	for _, pair := range [][2]int{{0, 2}, {0, 4}, {2, 4}} {
		if bytes.Equal(told[pair[0]], told[pair[1]]) {
			t.Errorf("requests %v are all for %x", pair, told[pair[0]])
		}
	}
	if len(told[3]) != 0 || len(told[0]) != 16 {
		t.Errorf("a request of the gateway is for %x, one of a user for %x", told[3], told[0])
	}
}
