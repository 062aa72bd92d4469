package e2e_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// balancer is a plain balancer of TCP connections: each goes to the next backend by turns, or
// to the one behind it where that does not answer. It knows nothing of HTTP or of sessions.
type balancer struct {
	listener net.Listener
	backends []string
	turn     atomic.Uint64

	mu    sync.Mutex
	taken map[string]int // client's address → index of its backend
}

func startBalancer(t *testing.T, backends ...string) *balancer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: l, backends: backends, taken: map[string]int{}}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { b.carry(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		all.Wait()
	})
	return b
}

// carry copies both ways until either end is gone.
func (b *balancer) carry(client net.Conn) {
	defer client.Close()
	first := b.turn.Add(1)
	for i := range b.backends {
		n := int((first + uint64(i)) % uint64(len(b.backends)))
		backend, err := net.Dial("tcp", b.backends[n])
		if err != nil {
			continue
		}
		defer backend.Close()
		b.mu.Lock()
		b.taken[client.RemoteAddr().String()] = n
		b.mu.Unlock()
		go func() {
			_, _ = io.Copy(backend, client) // Either end may go at any time; that is what is tested.
			_ = backend.Close()
		}()
		_, _ = io.Copy(client, backend)
		return
	}
}

// backend returns which backend a client's connection went to; -1: none.
func (b *balancer) backend(client string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n, ok := b.taken[client]; ok {
		return n
	}
	return -1
}
