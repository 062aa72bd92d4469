package uplink

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// service serves the streams of one tunnel: of servers that the orders allow, and of no others.
type service struct {
	to      tunnel.Handler
	allowed func(server string) bool
	// listening is how many streams only listen (GET). They end with the tunnel; nobody waits for them.
	listening atomic.Int64
}

// Serve implements tunnel.Handler.
func (s *service) Serve(ctx context.Context, r *tunnel.Incoming, w tunnel.Answer) {
	if !s.allowed(r.Server) {
		w.Reset(tunnelv1.ResetCode_RESET_CODE_REFUSED, "this agent was not given the server")
		return
	}
	if r.Method == http.MethodGet {
		s.listening.Add(1)
		defer s.listening.Add(-1)
	}
	s.to.Serve(ctx, r, w)
}

// heed is how long a node gets at least to heed a drain.
const heed = 250 * time.Millisecond

// path is a tunnel with what it serves. It is a way.
type path struct {
	*tunnel.Tunnel
	service *service
}

// Streams implements way.
func (p path) Streams() int { return p.Busy() }

// Calls implements way.
func (p path) Calls() int { return max(0, p.Busy()-int(p.service.listening.Load())) }

// Idle implements way. What the node opened before it heard of the drain has to come first, and to be refused: else the node
// could not tell that nothing was done. A call counts until its answer was handed over, which nothing but the number of
// streams tells.
func (p path) Idle(ctx context.Context) {
	sleep(ctx, max(heed, 3*p.RoundTrip()))
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for p.Calls() > 0 {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}
