package tunnel

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// node is a gRPC server on loopback, with mutual TLS, that gives each tunnel which is attached to it to a test.
type node struct {
	tunnelv1.UnimplementedTunnelServiceServer
	config   Config
	attached chan *Tunnel
	ended    chan error
}

func (n *node) Attach(stream grpc.BidiStreamingServer[tunnelv1.Frames, tunnelv1.Frames]) error {
	t := New(stream, n.config)
	n.attached <- t
	err := t.Run(stream.Context())
	n.ended <- err
	return err
}

// authority signs itself, and is trusted by both ends.
func authority(tb testing.TB) (tls.Certificate, *x509.CertPool) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// loopback starts a node and returns a function that attaches to it.
func loopback(tb testing.TB, config Config) (n *node, attach func(Config) *end) {
	tb.Helper()
	certificate, pool := authority(tb)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	n = &node{config: config, attached: make(chan *Tunnel, 1), ended: make(chan error, 1)}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate},
		ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert})))
	tunnelv1.RegisterTunnelServiceServer(server, n)
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) })
	client, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{certificate}, RootCAs: pool})))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		client.Close()
		server.Stop()
		serving.Wait()
	})
	return n, func(c Config) *end {
		tb.Helper()
		ctx, cancel := context.WithCancel(context.Background())
		stream, err := tunnelv1.NewTunnelServiceClient(client).Attach(ctx)
		if err != nil {
			tb.Fatal(err)
		}
		c.Close = cancel
		run, stop := context.WithCancel(context.Background())
		e := &end{Tunnel: New(stream, c), stop: stop, err: make(chan error, 1)}
		go func() { e.err <- e.Run(run) }()
		tb.Cleanup(func() {
			stop()
			e.wait()
		})
		return e
	}
}

func TestBothEndsOpenStreamsOverGRPCWithMutualTLS(t *testing.T) {
	n, attach := loopback(t, Config{Version: "node", Handler: echo})
	states := make(chan []*tunnelv1.ServerState, 1)
	n.config.Servers = func(s []*tunnelv1.ServerState) { states <- s }
	agent := attach(Config{Version: "agent", Handler: echo})
	if err := agent.Announce([]*tunnelv1.ServerState{{Name: "files", Ready: true}}); err != nil {
		t.Fatal(err)
	}
	ofNode := <-n.attached
	if got := <-states; len(got) != 1 || got[0].GetName() != "files" || !got[0].GetReady() {
		t.Errorf("the node is told of servers %v", got)
	}
	for name, opener := range map[string]*Tunnel{"node": ofNode, "agent": agent.Tunnel} {
		for _, size := range []int{0, 256, 16 << 10, 3 << 20} {
			want := bytes.Repeat([]byte(name), size/len(name))
			got, err := post(t.Context(), opener, want)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s opens, %d bytes: got %d, %v", name, size, len(got), err)
			}
		}
	}
	if ofNode.PeerVersion() != "agent" || agent.PeerVersion() != "node" {
		t.Errorf("versions: %q at the node, %q at the agent", ofNode.PeerVersion(), agent.PeerVersion())
	}
	agent.stop()
	if err := agent.wait(); !errors.Is(err, context.Canceled) {
		t.Errorf("the agent's Run returned %v", err)
	}
	if err := <-n.ended; !errors.Is(err, ErrLost) && !errors.Is(err, context.Canceled) {
		t.Errorf("the node's Run returned %v", err)
	}
}
