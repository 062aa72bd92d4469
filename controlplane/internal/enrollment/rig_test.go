package enrollment

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/seal"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

var quiet = slog.New(slog.DiscardHandler)

// rig is a control plane's listener for peers: the true service, and handlers that
// count who comes.
type rig struct {
	*handlers
	store     *store.Store
	authority *Authority
	service   *Service
	admission *Admission
	server    *grpc.Server
	address   string
	database  string       // its URL
	ahead     atomic.Int64 // how far the authority's clock is ahead, in nanoseconds
}

func newAuthority(t *testing.T, s *store.Store, now func() time.Time) *Authority {
	t.Helper()
	keys, err := seal.NewVault(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	a, err := load(t.Context(), s, keys, now)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newRig(t *testing.T) *rig {
	t.Helper()
	config := storetest.Config(t)
	s, err := store.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	r := &rig{store: s, database: config.URL, handlers: &handlers{hold: make(chan struct{})}}
	r.authority = newAuthority(t, r.store, func() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) })
	r.service = NewService(r.authority, DefaultRejoinWithin, quiet)
	r.handlers.EnrollServiceServer = r.service
	r.admission = NewAdmission(r.authority, nil, quiet)
	r.server = grpc.NewServer(r.admission.Options()...)
	syncv1.RegisterSyncServiceServer(r.server, r)
	auditv1.RegisterAuditServiceServer(r.server, r)
	enrollv1.RegisterEnrollServiceServer(r.server, r)
	enrollv1.RegisterAgentServiceServer(r.server, r)
	tunnelv1.RegisterTunnelServiceServer(r.server, r)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.address = listener.Addr().String()
	go func() { _ = r.server.Serve(listener) }()
	t.Cleanup(r.server.Stop)
	return r
}

// handlers count the calls that reach them.
type handlers struct {
	enrollv1.EnrollServiceServer
	syncv1.UnimplementedSyncServiceServer
	auditv1.UnimplementedAuditServiceServer
	enrollv1.UnimplementedAgentServiceServer
	tunnelv1.UnimplementedTunnelServiceServer

	reached atomic.Int64
	last    atomic.Value  // identity.Peer
	hold    chan struct{} // what a stream waits for that says it stays
}

func (h *handlers) reach(ctx context.Context) error {
	who, err := identity.FromContext(ctx)
	if err != nil {
		return fault.GRPC(err)
	}
	h.reached.Add(1)
	h.last.Store(who)
	return nil
}

func (h *handlers) Join(ctx context.Context, r *enrollv1.JoinRequest) (*enrollv1.JoinResponse, error) {
	h.reached.Add(1)
	return h.EnrollServiceServer.Join(ctx, r)
}

func (h *handlers) Renew(ctx context.Context, r *enrollv1.RenewRequest) (*enrollv1.RenewResponse, error) {
	if err := h.reach(ctx); err != nil {
		return nil, err
	}
	return h.EnrollServiceServer.Renew(ctx, r)
}

func (h *handlers) Rejoin(ctx context.Context, r *enrollv1.RejoinRequest) (*enrollv1.RejoinResponse, error) {
	h.reached.Add(1)
	return h.EnrollServiceServer.Rejoin(ctx, r)
}

func (h *handlers) Confirm(ctx context.Context, r *enrollv1.ConfirmRequest) (*enrollv1.ConfirmResponse, error) {
	if err := h.reach(ctx); err != nil {
		return nil, err
	}
	return h.EnrollServiceServer.Confirm(ctx, r)
}

// Sync waits for what the peer says, like the true one.
func (h *handlers) Sync(s syncv1.SyncService_SyncServer) error {
	if err := h.reach(s.Context()); err != nil {
		return err
	}
	if err := s.Send(&syncv1.SyncResponse{}); err != nil {
		return err
	}
	_, err := s.Recv()
	return err
}

func (h *handlers) Push(s auditv1.AuditService_PushServer) error { return h.reach(s.Context()) }

func (h *handlers) Follow(s enrollv1.AgentService_FollowServer) error { return h.reach(s.Context()) }

func (h *handlers) Attach(s tunnelv1.TunnelService_AttachServer) error {
	if err := h.reach(s.Context()); err != nil {
		return err
	}
	if err := s.Send(&tunnelv1.Frames{}); err != nil {
		return err
	}
	_, err := s.Recv()
	return err
}

// token makes a join token.
func (r *rig) token(t *testing.T, kind identity.Kind, name string) identity.Token {
	t.Helper()
	var token identity.Token
	err := r.store.Act(t.Context(), "ana", func(tx *store.Tx) (err error) {
		token, _, err = r.authority.CreateToken(t.Context(), tx, NewToken{Peer: identity.Peer{Kind: kind, Name: name}, Region: "eu"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// config is that of a peer of a kind, which keeps its identity in a directory or, if
// that is empty, in memory.
func (r *rig) config(kind identity.Kind, dir string) identity.Config {
	return identity.Config{Kind: kind, Dir: dir, ControlPlane: r.address, Version: "1.2.3", Log: quiet}
}

// join lets a peer in, by way of the wire.
func (r *rig) join(t *testing.T, kind identity.Kind, name string) *identity.Identity {
	t.Helper()
	who, err := identity.Join(t.Context(), r.config(kind, ""), r.token(t, kind, name))
	if err != nil {
		t.Fatal(err)
	}
	return who
}

// revoke voids the certificates of a peer, and has the streams looked at, as the feed
// does.
func (r *rig) revoke(t *testing.T, kind identity.Kind, name string) {
	t.Helper()
	_, err := r.store.Change(t.Context(), "ana", func(tx *store.Tx) error {
		return Revoke(t.Context(), tx, identity.Peer{Kind: kind, Name: name}, string(kind)+".revoke", "lost")
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.admission.Recheck(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// trusting is how a peer dials that knows the control plane, with a certificate of its
// own or none.
func (r *rig) trusting(certificates ...tls.Certificate) *tls.Config {
	pool := x509.NewCertPool()
	for _, s := range r.authority.trusted() {
		pool.AddCert(s.certificate)
	}
	return &tls.Config{RootCAs: pool, ServerName: identity.ServerName, Certificates: certificates, NextProtos: []string{"h2"}}
}

// forged is a certificate that an authority signed, as nothing of the product would.
func forged(t *testing.T, a *Authority, who identity.Peer, issued time.Time, uses ...x509.ExtKeyUsage) tls.Certificate {
	t.Helper()
	key := newKey(t)
	leaf, err := a.signing().sign(who, key.Public(), &x509.Certificate{
		NotBefore: issued.Add(-identity.Backdate), NotAfter: issued.Add(identity.Life), ExtKeyUsage: uses,
	})
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
}

// connect returns a connection with these credentials.
func (r *rig) connect(t *testing.T, c credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(c))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// dial returns a connection of a peer.
func (r *rig) dial(t *testing.T, who *identity.Identity) *grpc.ClientConn {
	t.Helper()
	return r.connect(t, credentials.NewTLS(who.Client(identity.ControlPlane, "")))
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, _ := newRequest(t)
	return key
}
