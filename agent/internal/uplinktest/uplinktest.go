// Package uplinktest has what an agent speaks to, for tests: control planes and nodes that are made of package tunnel, over gRPC
// with mutual TLS on loopback.
package uplinktest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// Authority signs for who asks.
type Authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// NewAuthority returns one that was not there before.
func NewAuthority(t *testing.T) *Authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &Authority{t, certificate, key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Issue returns the identity of a peer, in the region "eu".
func (a *Authority) Issue(kind identity.Kind, name string) *identity.Identity {
	a.t.Helper()
	key := newKey(a.t)
	peer := identity.Peer{Kind: kind, Name: name}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), URIs: []*url.URL{peer.URI()},
		NotBefore: time.Now().Add(-identity.Backdate), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	who, err := identity.New(identity.Config{Kind: kind, Log: slog.New(slog.DiscardHandler)}, key,
		&enrollv1.Credential{Certificate: der, Authorities: [][]byte{a.certificate.Raw}}, "eu")
	if err != nil {
		a.t.Fatal(err)
	}
	return who
}

// Peer is a node, or the control plane: what agents attach to. Fields in capitals below the lock are read in Until, and
// changed in Change.
type Peer struct {
	tunnelv1.UnimplementedTunnelServiceServer
	enrollv1.UnimplementedAgentServiceServer
	t       *testing.T
	Name    string
	who     *identity.Identity
	Address string
	server  *grpc.Server
	serving sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{}         // closed, and replaced, when something of the below changes
	Tunnel  *tunnel.Tunnel        // the latest; nil: none
	States  map[string]bool       // whether each announced server is ready
	Report  *enrollv1.AgentReport // the last
	Reports []time.Time           // when they came
	Taken   []uint64              // which orders were said to be in force, each time, on all streams
	Orders  *enrollv1.Orders
	From    [2]string // remote ends of the latest Follow, and of the latest Attach
}

// from notes the remote end of a stream.
func (p *Peer) from(ctx context.Context, stream int) {
	if remote, ok := peer.FromContext(ctx); ok {
		p.Change(func() { p.From[stream] = remote.Addr.String() })
	}
}

// Peer starts one, which ends with the test.
func (a *Authority) Peer(kind identity.Kind, name string) *Peer {
	p := &Peer{t: a.t, Name: name, who: a.Issue(kind, name), changed: make(chan struct{})}
	p.Start("127.0.0.1:0")
	a.t.Cleanup(p.Kill)
	return p
}

// Start has it listen, also anew after Kill.
func (p *Peer) Start(address string) {
	p.t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.Address = listener.Addr().String()
	p.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(p.who.Server(identity.Agent))))
	tunnelv1.RegisterTunnelServiceServer(p.server, p)
	enrollv1.RegisterAgentServiceServer(p.server, p)
	p.serving.Go(func() { _ = p.server.Serve(listener) })
}

// Kill ends it without a word.
func (p *Peer) Kill() {
	p.server.Stop()
	p.serving.Wait()
}

// Change changes fields, and says so to who waits.
func (p *Peer) Change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Until waits for something to be so.
func (p *Peer) Until(what string, so func() bool) {
	p.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		p.mu.Lock()
		is, changed := so(), p.changed
		p.mu.Unlock()
		if is {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			p.t.Fatalf("%s: %s never was", p.Name, what)
		}
	}
}

// Attach implements TunnelService.
func (p *Peer) Attach(stream grpc.BidiStreamingServer[tunnelv1.Frames, tunnelv1.Frames]) error {
	t := tunnel.New(stream, tunnel.Config{Servers: func(states []*tunnelv1.ServerState) {
		p.Change(func() {
			p.States = map[string]bool{}
			for _, s := range states {
				p.States[s.GetName()] = s.GetReady()
			}
		})
	}})
	p.from(stream.Context(), 1)
	p.Change(func() { p.Tunnel = t })
	err := t.Run(stream.Context())
	p.Change(func() {
		if p.Tunnel == t {
			p.Tunnel, p.States = nil, nil
		}
	})
	return err
}

// Follow implements AgentService: it sends Orders whenever they are others, with numbers from 1.
func (p *Peer) Follow(stream grpc.BidiStreamingServer[enrollv1.FollowRequest, enrollv1.FollowResponse]) error {
	p.from(stream.Context(), 0)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			request, err := stream.Recv()
			if err != nil {
				return
			}
			p.Change(func() { p.hear(request) })
		}
	}()
	var sent *enrollv1.Orders
	for number := uint64(1); ; {
		p.mu.Lock()
		orders, changed := p.Orders, p.changed
		p.mu.Unlock()
		if orders != sent {
			sent = orders
			numbered := proto.CloneOf(orders)
			numbered.Number = number
			number++
			if err := stream.Send(&enrollv1.FollowResponse{Orders: numbered}); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-ended:
			return nil
		}
	}
}

// hear notes what an agent says.
func (p *Peer) hear(request *enrollv1.FollowRequest) {
	if report := request.GetReport(); report != nil {
		p.Report, p.Reports = report, append(p.Reports, time.Now())
	}
	if number := request.GetTaken(); number != 0 {
		p.Taken = append(p.Taken, number)
	}
}

// Call asks a server behind the agent.
func (p *Peer) Call(server string) (string, error) {
	p.mu.Lock()
	t := p.Tunnel
	p.mu.Unlock()
	if t == nil {
		return "", tunnel.ErrLost
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	response, err := t.Do(ctx, &tunnel.Request{Server: server, Method: http.MethodPost, Body: []byte("hello")})
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}
