package uplink

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/warder-gateway/warder/internal/identity"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

const (
	// reportPause is the least time between two reports, and movePause if tunnels are others: until the control plane has heard
	// of one from its agent, it tells other nodes nothing of it.
	reportPause = time.Second
	movePause   = 20 * time.Millisecond
	// reportEvery is how often round trips are told, though nothing else has changed.
	reportEvery = 30 * time.Second
)

// meet runs one connection to the control plane, until the orders end, and returns why. Both streams go over it, so that
// they have one replica of the control plane at their other end: only the one that ordered a server and hears that it was
// taken can ask it what it offers. Balancers do not part them: TLS ends at the control plane.
func (u *Uplink) meet(ctx context.Context) error {
	conn, err := grpc.NewClient("dns:///"+u.config.ControlPlane, append(u.options(u.config.Identity.Client(identity.ControlPlane, "")),
		// A control plane that has vanished without a word is noticed.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}))...)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	var attaching sync.WaitGroup
	defer attaching.Wait()
	defer cancel()
	err = u.follow(ctx, conn, func() {
		attaching.Go(func() {
			u.retry(ctx, "a tunnel", func(ctx context.Context) error { return u.attach(ctx, conn, u.asked(), func(way) {}) })
		})
	})
	u.contact(false, err)
	return err
}

// follow reports to the control plane and takes its orders, until the stream ends, and returns why. It calls there when
// the first have come.
func (u *Uplink) follow(ctx context.Context, conn *grpc.ClientConn, there func()) error {
	ctx, cancel := context.WithCancel(ctx)
	var reporting sync.WaitGroup
	defer reporting.Wait()
	defer cancel()
	stream, err := enrollv1.NewAgentServiceClient(conn).Follow(ctx, grpc.MaxCallRecvMsgSize(maxOrders))
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	taken := &receipt{due: make(chan struct{}, 1)}
	reporting.Go(func() { u.report(ctx, stream, taken) })
	for first := true; ; first = false {
		response, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("follow: %w", err)
		}
		if first {
			u.config.Log.Info("control plane is there", "address", u.config.ControlPlane)
			u.contact(true, nil)
			there()
		}
		if orders := response.GetOrders(); orders != nil {
			u.take(orders, func() { taken.sign(orders.GetNumber()) })
		}
	}
}

// receipt says which orders of one stream are in force. It may be used from many goroutines.
type receipt struct {
	number atomic.Uint64 // the latest
	due    chan struct{} // capacity 1: it was not sent yet
}

// sign notes that orders are in force, and with them all before them.
func (r *receipt) sign(number uint64) {
	for {
		last := r.number.Load()
		if number <= last {
			return
		}
		if r.number.CompareAndSwap(last, number) {
			break
		}
	}
	select {
	case r.due <- struct{}{}:
	default: // The latest number will be sent anyhow.
	}
}

// report sends what people see of the agent, at first and whenever it changes, and which orders are in force, at once. It does so until
// the stream ends; why it does is what Recv returns.
func (u *Uplink) report(ctx context.Context, stream grpc.BidiStreamingClient[enrollv1.FollowRequest, enrollv1.FollowResponse], taken *receipt) {
	for {
		for _, told := range []chan struct{}{u.news, u.moves} {
			select {
			case <-told:
			default:
			}
		}
		number := taken.number.Load() // Before the report, which then is at least as new.
		if stream.Send(&enrollv1.FollowRequest{Report: u.current(), Taken: number}) != nil {
			return
		}
		var news, moves <-chan struct{} // Nil until the last report is old enough.
		rested, settled, again := time.After(reportPause), time.After(movePause), time.After(reportEvery)
		for due := false; !due; {
			select {
			case <-rested:
				news = u.news
			case <-settled:
				moves = u.moves
			case <-news:
				due = true
			case <-moves:
				due = true
			case <-again:
				due = true
			case <-taken.due:
				if stream.Send(&enrollv1.FollowRequest{Taken: taken.number.Load()}) != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

// current is the report as of now.
func (u *Uplink) current() *enrollv1.AgentReport {
	return &enrollv1.AgentReport{
		Version: u.config.Version, Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Servers: u.config.Servers.Reports(), Tunnels: u.View().tunnels(),
	}
}
