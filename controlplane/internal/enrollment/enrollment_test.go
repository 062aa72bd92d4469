package enrollment

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/url"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/seal"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

func authority(t *testing.T, s *store.Store) *Authority {
	t.Helper()
	keys, err := seal.NewVault(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	a, err := LoadAuthority(t.Context(), s, keys)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// echo says who called.
type echo struct {
	syncv1.UnimplementedSyncServiceServer
	auditv1.UnimplementedAuditServiceServer
	called chan Identity
}

func (e *echo) Sync(stream syncv1.SyncService_SyncServer) error {
	who, err := FromContext(stream.Context())
	if err != nil {
		return fault.GRPC(err)
	}
	e.called <- who
	return nil
}

// server runs what the control plane serves to nodes, with handlers that echo.
func server(t *testing.T, a *Authority) (*grpc.Server, *echo, string) {
	t.Helper()
	e := &echo{called: make(chan Identity, 10)}
	options := append(Interceptors(slog.New(slog.DiscardHandler)), grpc.Creds(credentials.NewTLS(a.ServerTLS())))
	s := grpc.NewServer(options...)
	syncv1.RegisterSyncServiceServer(s, e)
	auditv1.RegisterAuditServiceServer(s, e)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	return s, e, listener.Addr().String()
}

// call makes one call of Sync and returns how it ended.
func call(t *testing.T, address string, c credentials.TransportCredentials) error {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(c))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stream, err := syncv1.NewSyncServiceClient(conn).Sync(t.Context())
	if err != nil {
		return err
	}
	_, err = stream.Recv()
	return err
}

// as returns the credentials of a certificate that a issued.
func as(t *testing.T, a *Authority, identity Identity, use x509.ExtKeyUsage) credentials.TransportCredentials {
	t.Helper()
	der, key, _, err := a.issue(identity, use)
	if err != nil {
		t.Fatal(err)
	}
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs:      a.pool, ServerName: ServerName,
	})
}

func TestIssuedNodeIsKnownByItsCertificate(t *testing.T) {
	a := authority(t, storetest.New(t))
	_, e, address := server(t, a)
	issued, err := a.IssueNode("edge-1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(issued.Certificate, issued.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(issued.Authority) {
		t.Fatal("no authority")
	}
	c := credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, ServerName: ServerName})
	if err := call(t, address, c); err == nil || status.Code(err) != codes.Unknown { // EOF: the handler returned.
		t.Logf("ended with %v", err)
	}
	if who := <-e.called; who != (Identity{Node, "edge-1"}) {
		t.Errorf("called as %v", who)
	}
	if !issued.ExpiresAt.Equal(pair.Leaf.NotAfter) {
		t.Errorf("says it expires at %v, expires at %v", issued.ExpiresAt, pair.Leaf.NotAfter)
	}
}

// P-10, T-25: only a certificate of this installation, of the right kind and for
// clients, gets through.
func TestEverybodyElseIsRefused(t *testing.T) {
	s := storetest.New(t)
	a := authority(t, s)
	_, e, address := server(t, a)
	stranger := authority(t, storetest.New(t))
	foreign, err := tlsOf(stranger, a, Identity{Node, "edge-1"})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]credentials.TransportCredentials{
		"no TLS":               insecure.NewCredentials(),
		"no certificate":       credentials.NewTLS(&tls.Config{RootCAs: a.pool, ServerName: ServerName}),
		"another authority":    foreign,
		"the control plane":    as(t, a, Identity{Kind: ControlPlane}, x509.ExtKeyUsageClientAuth),
		"another kind":         as(t, a, Identity{Kind: "agent", Name: "laptop"}, x509.ExtKeyUsageClientAuth),
		"no node's name":       as(t, a, Identity{Node, "Edge 1"}, x509.ExtKeyUsageClientAuth),
		"a server certificate": as(t, a, Identity{Node, "edge-1"}, x509.ExtKeyUsageServerAuth),
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			if err := call(t, address, c); err == nil {
				t.Error("no error")
			}
			select {
			case who := <-e.called:
				t.Errorf("reached the handler as %v", who)
			default:
			}
		})
	}
	// The server does serve those it knows; the refusals above are not its absence.
	_ = call(t, address, as(t, a, Identity{Node, "edge-1"}, x509.ExtKeyUsageClientAuth))
	<-e.called
}

// tlsOf returns credentials issued by one authority that trust another's server.
func tlsOf(issuer, server *Authority, identity Identity) (credentials.TransportCredentials, error) {
	der, key, _, err := issuer.issue(identity, x509.ExtKeyUsageClientAuth)
	if err != nil {
		return nil, err
	}
	return credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		RootCAs:      server.pool, ServerName: ServerName,
	}), nil
}

// T-28: a method that nobody decided on must not exist, and none that was
// decided on may be gone.
func TestEveryMethodHasAnEntry(t *testing.T) {
	s, _, _ := server(t, authority(t, storetest.New(t)))
	registered := make(map[string]bool)
	for service, info := range s.GetServiceInfo() {
		for _, method := range info.Methods {
			name := "/" + service + "/" + method.Name
			registered[name] = true
			if _, known := admitted[name]; !known {
				t.Errorf("%s is registered and nobody is admitted to it", name)
			}
		}
	}
	for name := range admitted {
		if !registered[name] {
			t.Errorf("%s is admitted and not registered", name)
		}
	}
	if len(registered) == 0 {
		t.Error("no method is registered")
	}
}

func TestUnknownMethodIsDenied(t *testing.T) {
	if _, err := admit(context.Background(), "/warder.sync.v1.SyncService/Sync", slog.New(slog.DiscardHandler)); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a peer: %v", err)
	}
	a := authority(t, storetest.New(t))
	_, _, address := server(t, a)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(as(t, a, Identity{Node, "edge-1"}, x509.ExtKeyUsageClientAuth)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	for _, path := range []string{"/warder.sync.v1.SyncService/Other", "/warder.admin.v1.KeyService/CreateKey", "/x/y"} {
		err := conn.Invoke(t.Context(), path, new(syncv1.SyncRequest), new(syncv1.SyncResponse))
		if code := status.Code(err); code != codes.Unimplemented && code != codes.PermissionDenied {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestIdentityHasOneForm(t *testing.T) {
	for text, want := range map[string]Identity{
		"spiffe://warder/node/edge-1":   {Node, "edge-1"},
		"spiffe://warder/controlplane":  {Kind: ControlPlane},
		"spiffe://warder/node/":         {},
		"spiffe://warder/node/a/b":      {},
		"spiffe://warder/node/Edge":     {},
		"spiffe://warder//node/edge":    {},
		"spiffe://warder/node/edge?x=1": {},
		"spiffe://warder/node/edge#x":   {},
		"spiffe://other/node/edge":      {},
		"spiffe://u@warder/node/edge":   {},
		"https://warder/node/edge":      {},
		"spiffe://warder/controlplane/": {},
		"spiffe://warder/n%6Fde/edge":   {},
		"spiffe://warder/agent/laptop":  {},
	} {
		uri, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := identityOf(&x509.Certificate{URIs: []*url.URL{uri}})
		if got != want || (err == nil) != (want != Identity{}) {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, n := range []int{0, 2} {
		if _, err := identityOf(&x509.Certificate{URIs: make([]*url.URL, n)}); err == nil {
			t.Errorf("a certificate with %d URI names was taken", n)
		}
	}
}

func TestIssueRefusesWhatIsNoName(t *testing.T) {
	a := authority(t, storetest.New(t))
	for _, name := range []string{"", "Edge", "1edge", "a/b", "a.b", "edge_1", "../x"} {
		if _, err := a.IssueNode(name); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestReplicasShareOneAuthority(t *testing.T) {
	s := storetest.New(t)
	if a, b := authority(t, s), authority(t, s); !bytes.Equal(a.certificate.Raw, b.certificate.Raw) {
		t.Error("two starts gave two authorities")
	}
}

func TestServerCertificateIsRenewedAtHalfOfItsLife(t *testing.T) {
	a := authority(t, storetest.New(t))
	first, err := a.serverCertificate()
	if err != nil {
		t.Fatal(err)
	}
	if same, err := a.serverCertificate(); err != nil || same != first {
		t.Errorf("made anew at once: %v", err)
	}
	now := a.now()
	a.now = func() time.Time { return now.Add(Validity/2 + backdate) }
	if next, err := a.serverCertificate(); err != nil || next == first {
		t.Errorf("not renewed: %v", err)
	}
}
