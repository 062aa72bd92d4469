package uplink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

const (
	// helloTimeout bounds the time from dialling to the other end's hello.
	helloTimeout = 10 * time.Second
	// probeTimeout bounds a measurement: what is slower is not near.
	probeTimeout = time.Second
)

var errHello = errors.New("it does not answer as the other end of a tunnel")

// asked serves the control plane's own tunnel.
func (u *Uplink) asked() tunnel.Handler {
	if u.config.Asked != nil {
		return u.config.Asked
	}
	return u.config.Servers
}

// attach runs one tunnel over a connection, by which to is served. It says when both ends have said hello, and returns why the tunnel ended.
func (u *Uplink) attach(ctx context.Context, conn *grpc.ClientConn, to tunnel.Handler, up func(way)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(helloTimeout, func() { cancel(errHello) })
	defer late.Stop()
	stream, err := tunnelv1.NewTunnelServiceClient(conn).Attach(ctx)
	if err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	service := &service{to: to, allowed: u.allows}
	t := tunnel.New(stream, tunnel.Config{
		Version: u.config.Version, Handler: service, Close: func() { cancel(nil) }, Keepalive: u.pings, Log: u.config.Log,
	})
	defer u.crier.join(t)()
	var greeting sync.WaitGroup
	greeting.Go(func() {
		select {
		case <-t.Ready():
			if late.Stop() {
				up(path{t, service})
			}
		case <-ctx.Done():
		}
	})
	err = t.Run(ctx)
	cancel(nil)
	greeting.Wait()
	return err
}

// attachNode is attach to a node, which must be the one of that name.
func (u *Uplink) attachNode(ctx context.Context, to target, up func(way)) error {
	conn, err := grpc.NewClient("dns:///"+to.address, u.options(u.config.Identity.Client(identity.Node, to.name))...)
	if err != nil {
		return fmt.Errorf("dial: %w", err)
	}
	defer conn.Close()
	return u.attach(ctx, conn, u.config.Servers, up)
}

// probe measures how long a node takes for a TLS handshake, which takes one round trip, and some work of the node.
func (u *Uplink) probe(ctx context.Context, to target) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", to.address)
	if err != nil {
		return 0, fmt.Errorf("dial: %w", err)
	}
	defer conn.Close()
	config := u.config.Identity.Client(identity.Node, to.name)
	config.NextProtos = []string{"h2"}
	began := time.Now()
	if err := tls.Client(conn, config).HandshakeContext(ctx); err != nil {
		return 0, fmt.Errorf("shake hands: %w", err)
	}
	return max(1, time.Since(began)), nil
}
