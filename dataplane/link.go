package dataplane

import (
	"context"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
)

const (
	firstPause = 100 * time.Millisecond
	maxPause   = 5 * time.Second
	// steady is how long a stream must have lasted to count as a success.
	steady    = 10 * time.Second
	pingEvery = 10 * time.Second
	pingWait  = 5 * time.Second
	// window is how many bytes of snapshots may be on their way, or wait to be
	// applied: little enough that receiving them never takes the processor for
	// long, and enough for some 20 MB a second over a distance of 25 ms.
	window = 512 << 10
)

// dial makes the connection to the control plane, which is opened when it is
// first used.
func dial(config *Config, who *identity.Identity) (*grpc.ClientConn, error) {
	// The address is taken as it stands, and no service config from a name
	// server is listened to.
	link, err := grpc.NewClient("dns:///"+config.ControlPlane,
		grpc.WithTransportCredentials(credentials.NewTLS(who.Client(identity.ControlPlane, ""))),
		grpc.WithDisableServiceConfig(),
		grpc.WithStaticStreamWindowSize(window),
		grpc.WithStaticConnWindowSize(2*window),
		grpc.WithUserAgent("warder-dataplane/"+config.Version),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: firstPause, Multiplier: 2, Jitter: 0.3, MaxDelay: maxPause},
			MinConnectTimeout: maxPause,
		}),
		// A control plane that has vanished without a word is noticed; otherwise
		// revocations would wait for TCP to give up.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingEvery, Timeout: pingWait}),
	)
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "the address of the control plane, "+config.ControlPlane+", cannot be used", err)
	}
	return link, nil
}

// retry runs one stream after another until ctx ends, with growing pauses of
// random length in between, so that nodes do not come back all at once. A node that
// hands its last events over keeps to the shortest.
func (p *Plane) retry(ctx context.Context, what string, stream func(context.Context) error) {
	pause := firstPause
	for {
		start := time.Now()
		err := stream(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(start) > steady {
			pause = firstPause
		}
		p.log.Warn("no stream to the control plane; calls are served all the same", "for", what, "pause", pause, "error", err)
		if !p.pause(ctx, pause/2+rand.N(pause/2)) {
			return
		}
		pause = min(2*pause, maxPause)
	}
}

// pause is lifetime.Sleep, but for a node that hands its last events over: then it is short.
func (p *Plane) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.flushing:
		return lifetime.Sleep(ctx, min(d, firstPause))
	case <-ctx.Done():
		return false
	}
}
