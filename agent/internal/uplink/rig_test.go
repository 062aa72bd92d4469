package uplink

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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// authority signs for who asks.
type authority struct {
	t           *testing.T
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
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
	return &authority{t, certificate, key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue returns the identity of a peer.
func (a *authority) issue(kind identity.Kind, name string) *identity.Identity {
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

// peer is a node, or the control plane: what agents attach to.
type peer struct {
	tunnelv1.UnimplementedTunnelServiceServer
	enrollv1.UnimplementedAgentServiceServer
	t       *testing.T
	name    string
	who     *identity.Identity
	address string
	server  *grpc.Server
	serving sync.WaitGroup

	mu      sync.Mutex
	changed chan struct{} // closed, and replaced, when something of the below changes
	tunnel  *tunnel.Tunnel
	states  map[string]bool
	attach  int // how often
	report  *enrollv1.AgentReport
	reports []time.Time
	orders  *enrollv1.Orders
}

func (a *authority) peer(kind identity.Kind, name string) *peer {
	p := &peer{t: a.t, name: name, who: a.issue(kind, name), changed: make(chan struct{})}
	p.start("127.0.0.1:0")
	a.t.Cleanup(p.kill)
	return p
}

func (p *peer) start(address string) {
	p.t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.address = listener.Addr().String()
	p.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(p.who.Server(identity.Agent))))
	tunnelv1.RegisterTunnelServiceServer(p.server, p)
	enrollv1.RegisterAgentServiceServer(p.server, p)
	p.serving.Go(func() { _ = p.server.Serve(listener) })
}

// kill ends it without a word.
func (p *peer) kill() {
	p.server.Stop()
	p.serving.Wait()
}

func (p *peer) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// until waits for something to be so.
func (p *peer) until(what string, so func() bool) {
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
			p.t.Fatalf("%s: %s never was", p.name, what)
		}
	}
}

func (p *peer) Attach(stream grpc.BidiStreamingServer[tunnelv1.Frames, tunnelv1.Frames]) error {
	t := tunnel.New(stream, tunnel.Config{Servers: func(states []*tunnelv1.ServerState) {
		p.change(func() {
			p.states = map[string]bool{}
			for _, s := range states {
				p.states[s.GetName()] = s.GetReady()
			}
		})
	}})
	p.change(func() { p.tunnel = t; p.attach++ })
	err := t.Run(stream.Context())
	p.change(func() {
		if p.tunnel == t {
			p.tunnel, p.states = nil, nil
		}
	})
	return err
}

func (p *peer) Follow(stream grpc.BidiStreamingServer[enrollv1.FollowRequest, enrollv1.FollowResponse]) error {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			request, err := stream.Recv()
			if err != nil {
				return
			}
			p.change(func() { p.report = request.GetReport(); p.reports = append(p.reports, time.Now()) })
		}
	}()
	var sent *enrollv1.Orders
	for {
		p.mu.Lock()
		orders, changed := p.orders, p.changed
		p.mu.Unlock()
		if orders != sent {
			sent = orders
			if err := stream.Send(&enrollv1.FollowResponse{Orders: orders}); err != nil {
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

// call asks a server behind the agent.
func (p *peer) call(server string) (string, error) {
	p.mu.Lock()
	t := p.tunnel
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

// stand is an inventory: its servers answer with their name and what they were asked.
type stand struct {
	changed chan struct{}
	began   chan struct{} // a call to "slow" has come
	hold    chan struct{} // calls to "slow" wait for it

	mu      sync.Mutex
	servers map[string]bool
}

func newStand(servers ...string) *stand {
	s := &stand{changed: make(chan struct{}, 1), began: make(chan struct{}, 1), hold: make(chan struct{}), servers: map[string]bool{}}
	for _, name := range servers {
		s.servers[name] = true
	}
	return s
}

func (s *stand) set(name string, ready bool) {
	s.mu.Lock()
	s.servers[name] = ready
	s.mu.Unlock()
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

func (s *stand) Changed() <-chan struct{} { return s.changed }

func (s *stand) States() (states []*tunnelv1.ServerState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, ready := range s.servers {
		states = append(states, &tunnelv1.ServerState{Name: name, Ready: ready})
	}
	slices.SortFunc(states, func(a, b *tunnelv1.ServerState) int { return strings.Compare(a.GetName(), b.GetName()) })
	return states
}

func (s *stand) Reports() (reports []*enrollv1.ServerReport) {
	for _, state := range s.States() {
		reports = append(reports, &enrollv1.ServerReport{Name: state.GetName()})
	}
	return reports
}

func (s *stand) Serve(ctx context.Context, r *tunnel.Incoming, w tunnel.Answer) {
	body, err := r.ReadAll(1000)
	if err != nil {
		return
	}
	if r.Server == "slow" {
		s.began <- struct{}{}
		_ = w.Head(200, nil)
		select {
		case <-s.hold:
		case <-ctx.Done():
		}
		_, _ = w.Write([]byte("slow"))
		return
	}
	_ = w.Reply(200, nil, []byte(r.Server+" got "+string(body)))
}
