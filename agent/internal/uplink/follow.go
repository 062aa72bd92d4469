package uplink

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/warder-gateway/warder/internal/identity"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

const (
	// reportPause is the least time between two reports.
	reportPause = time.Second
	// reportEvery is how often round trips are told, though nothing else has changed.
	reportEvery = 30 * time.Second
)

// follow reports to the control plane and takes its orders, until the stream ends. It returns why.
func (u *Uplink) follow(ctx context.Context) error {
	conn, err := grpc.NewClient("dns:///"+u.config.ControlPlane, append(u.options(u.config.Identity.Client(identity.ControlPlane, "")),
		// A control plane that has vanished without a word is noticed.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second}))...)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := enrollv1.NewAgentServiceClient(conn).Follow(ctx, grpc.MaxCallRecvMsgSize(maxOrders))
	if err != nil {
		return fmt.Errorf("follow: %w", err)
	}
	var reporting sync.WaitGroup
	defer reporting.Wait()
	defer cancel()
	reporting.Go(func() { u.report(ctx, stream) })
	for first := true; ; first = false {
		response, err := stream.Recv()
		if err != nil {
			return fmt.Errorf("follow: %w", err)
		}
		if first {
			u.config.Log.Info("control plane is there", "address", u.config.ControlPlane)
			u.following.Store(true)
			defer u.following.Store(false)
		}
		if response.GetOrders() != nil {
			u.take(response.GetOrders())
		}
	}
}

// report sends what people see of the agent, at first and whenever it changes, until the stream ends. Why it does is what
// Recv returns.
func (u *Uplink) report(ctx context.Context, stream grpc.BidiStreamingClient[enrollv1.FollowRequest, enrollv1.FollowResponse]) {
	again := time.NewTicker(reportEvery)
	defer again.Stop()
	for {
		select {
		case <-u.news:
		default:
		}
		if stream.Send(&enrollv1.FollowRequest{Report: u.current()}) != nil {
			return
		}
		if !sleep(ctx, reportPause) {
			return
		}
		select {
		case <-u.news:
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// current is the report as of now.
func (u *Uplink) current() *enrollv1.AgentReport {
	return &enrollv1.AgentReport{
		Version: u.config.Version, Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Servers: u.config.Servers.Reports(), Tunnels: u.Tunnels(),
	}
}

// Tunnels says which nodes have a tunnel now, by name. It may be called from many goroutines.
func (u *Uplink) Tunnels() []*enrollv1.TunnelReport {
	reports := u.pilot.reports()
	slices.SortFunc(reports, func(a, b *enrollv1.TunnelReport) int { return cmp.Compare(a.GetNode(), b.GetNode()) })
	return reports
}
