package relay

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"

	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// line leads to one node:
//
//	dialling ──▶ open ──idle, lost, end────────────────────────────▶ over
//	    │          └─the node drains, is elsewhere─▶ retired ──idle──▶ over
//	    └──────────────────── could not be ────────────────────────▶ over
type line struct {
	relay         *Relay
	node, address string
	ctx           context.Context
	end           context.CancelCauseFunc
	used          atomic.Int64  // when the last request was made, in nanoseconds since made
	made          time.Time     // of monotonic clock
	opened        chan struct{} // closed when tunnel and err are set
	retired       chan struct{} // closed when it takes no more requests; the lock of the relay is held
	tunnel        *tunnel.Tunnel
	err           error
}

func newLine(r *Relay, node, address string) *line {
	ctx, end := context.WithCancelCause(context.Background())
	return &line{relay: r, node: node, address: address, ctx: ctx, end: end, made: time.Now(),
		opened: make(chan struct{}), retired: make(chan struct{})}
}

// run opens the line and holds it until its end.
func (l *line) run() {
	defer l.end(nil)
	conn, err := l.dial()
	if err != nil {
		l.fail(err)
		return
	}
	defer conn.Close()
	streaming, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream, err := l.open(streaming, cancel, conn)
	if err != nil {
		l.fail(err)
		return
	}
	t := tunnel.New(stream, tunnel.Config{Version: l.relay.config.Version, Log: l.relay.config.Log, Close: cancel})
	ended := make(chan error, 1)
	go func() { ended <- t.Run(l.ctx) }()
	select {
	case <-t.Ready():
	case err := <-ended:
		l.fail(err)
		return
	}
	l.tunnel = t
	close(l.opened)
	l.relay.config.Log.Info("a line to another node is open", "node", l.node, "address", l.address)
	err = l.hold(t, ended)
	l.relay.forget(l, nil)
	l.relay.config.Log.Info("a line to another node ended", "node", l.node, "reason", err)
}

// hold watches an open line until it ends, and ends it when it is idle.
func (l *line) hold(t *tunnel.Tunnel, ended <-chan error) error {
	idle := l.relay.config.Idle
	ticker := time.NewTicker(idle / 2)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-t.PeerDrains(): // It goes down.
			l.relay.takeOut(l)
			return l.outlast(t, ended)
		case <-l.retired:
			return l.outlast(t, ended)
		case <-ticker.C:
			if t.Busy() == 0 && time.Since(l.made)-time.Duration(l.used.Load()) > idle {
				l.relay.stop(l, errIdle)
			}
		}
	}
}

// outlastEvery is how often it is looked whether a retired line has anything left to do.
const outlastEvery = 50 * time.Millisecond

// outlast holds a line that is retired until the last of its requests has ended. One that was taken just before may come as
// late as the first look.
func (l *line) outlast(t *tunnel.Tunnel, ended <-chan error) error {
	ticker := time.NewTicker(outlastEvery)
	defer ticker.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-ticker.C:
			if t.Busy() == 0 {
				l.end(errMoved)
			}
		}
	}
}

// takeOut lets the next request open another line.
func (r *Relay) takeOut(l *line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.retire(l)
}

// fail gives the line up before it was open.
func (l *line) fail(err error) {
	l.err = err
	close(l.opened)
	l.relay.forget(l, err)
	l.relay.config.Log.Warn("another node cannot be reached", "node", l.node, "address", l.address, "error", err)
}

// dial makes the connection, which is opened when it is first used.
func (l *line) dial() (*grpc.ClientConn, error) {
	return grpc.NewClient("passthrough:///"+l.address,
		grpc.WithTransportCredentials(credentials.NewTLS(l.relay.secure(l.node))),
		grpc.WithDisableServiceConfig(),
		grpc.WithUserAgent("warder-dataplane/"+l.relay.config.Version),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: dialTime}),
	)
}

// open opens the stream, in bounded time.
func (l *line) open(ctx context.Context, cancel context.CancelFunc, conn *grpc.ClientConn) (grpc.BidiStreamingClient[tunnelv1.Frames, tunnelv1.Frames], error) {
	timer := time.AfterFunc(dialTime, cancel)
	stop := context.AfterFunc(l.ctx, cancel)
	defer stop()
	stream, err := tunnelv1.NewRelayServiceClient(conn).Relay(ctx)
	if !timer.Stop() && err == nil {
		err = errors.New("it took too long")
	}
	if err != nil {
		return nil, fmt.Errorf("open relay: %w", err)
	}
	return stream, nil
}

// do makes a request as soon as the line is open.
func (l *line) do(ctx context.Context, request *tunnel.Request) (*tunnel.Response, error) {
	select {
	case <-l.opened:
	default:
		select {
		case <-l.opened:
		case <-ctx.Done():
			return nil, &tunnel.Error{Err: context.Cause(ctx)}
		}
	}
	if l.err != nil {
		return nil, &tunnel.Error{Err: l.err}
	}
	l.used.Store(int64(time.Since(l.made)))
	return l.tunnel.Do(ctx, request)
}

func (l *line) busy() int {
	select {
	case <-l.opened:
	default:
		return 0
	}
	if l.tunnel == nil {
		return 0
	}
	return l.tunnel.Busy()
}
