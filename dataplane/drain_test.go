package dataplane

import (
	"crypto/tls"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/tunnel"
)

const heldMessage = `{"jsonrpc":"2.0","id":6,"method":"tools/call","params":{"name":"files__get","arguments":{"hold":true}}}`

// move has an agent go from node-1 to node-2 as soon as node-1 drains, as an agent does: it gives up the old tunnel when the new one is up, and
// ends it when its calls have ended.
func (d *directory) move(t *testing.T, secure *tls.Config, serves tunnel.Handler) {
	old, end := d.attachWith(t, secure, "node-1", serves)
	var moving sync.WaitGroup
	over := make(chan struct{})
	moving.Go(func() {
		select {
		case <-old.PeerDrains():
		case <-over:
			return
		}
		d.attachWith(t, secure, "node-2", serves)
		for _, at := d.known("node-2"); at != "laptop"; _, at = d.known("node-2") {
			time.Sleep(time.Millisecond)
		}
		old.Drain()
		for old.Busy() > 0 {
			time.Sleep(time.Millisecond)
		}
		end()
	})
	t.Cleanup(func() { close(over); moving.Wait() })
}

// known is what a node has said: whether it drains, and which agents are there.
func (d *directory) known(node string) (draining bool, agents string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for _, agent := range d.nodes[node].attached.GetAgents() {
		names = append(names, agent.GetName())
	}
	return d.nodes[node].draining, strings.Join(names, " ")
}

// begin makes a call that goes on for a while, and returns its answer then.
func (p *process) begin(key apikey.Key) <-chan string {
	answers := make(chan string, 1)
	go func() {
		defer close(answers)
		_, body := p.post(key, heldMessage)
		answers <- body
	}()
	return answers
}

func TestANodeThatGoesDownHandsItsAgentsOverAndFinishesWhatRuns(t *testing.T) {
	d, ca, nodes, key := twoNodes(t)
	server := elicitor{t: t, began: make(chan struct{}, 2), let: make(chan struct{})}
	d.move(t, ca.agent("laptop"), server)
	var running []<-chan string
	for _, p := range nodes { // One that comes here, and one that the other node relays.
		await(t, "tools are listed", func() bool { _, body := p.post(key, listMessage); return strings.Contains(body, "files__get") })
		running = append(running, p.begin(key))
		<-server.began
	}
	stopped := make(chan error, 1)
	go func() { stopped <- nodes[0].stop() }()
	await(t, "the agent has moved, and the node says that it leaves", func() bool {
		if _, body := nodes[1].post(key, getMessage); !strings.Contains(body, "got it") {
			t.Errorf("a call meanwhile: %s", body)
		}
		draining, agents := d.known("node-1")
		_, other := d.known("node-2")
		return draining && agents == "" && other == "laptop"
	})
	for range 50 {
		if _, body := nodes[1].post(key, getMessage); !strings.Contains(body, "got it") {
			t.Fatalf("a call by the new way: %s", body)
		}
	}
	select {
	case err := <-stopped:
		t.Errorf("the node went down while calls ran: %v", err)
	default:
	}
	close(server.let)
	for i, answer := range running {
		if body := <-answer; !strings.Contains(body, "got it") {
			t.Errorf("the call that came to node %d: %s", i+1, body)
		}
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, body := nodes[1].post(key, getMessage); !strings.Contains(body, "got it") {
		t.Errorf("a call afterwards: %s", body)
	}
}
