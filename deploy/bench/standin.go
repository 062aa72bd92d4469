package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/snapshot"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// standIn is a control plane without a database: it sends one snapshot and
// acknowledges all audit.
type standIn struct {
	syncv1.UnimplementedSyncServiceServer
	auditv1.UnimplementedAuditServiceServer

	address string
	key     string // the API key of the load
	update  *syncv1.Update

	authority authority
	server    *grpc.Server
}

func newStandIn(echo string) (*standIn, error) {
	s := &standIn{}
	key, err := apikey.New()
	if err != nil {
		return nil, err
	}
	s.key = key.String()
	if err := s.compile(echo, key); err != nil {
		return nil, err
	}
	if s.authority, err = newAuthority(); err != nil {
		return nil, err
	}
	certificate, err := s.authority.issue("spiffe://warder/controlplane", "warder-controlplane")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s.address = l.Addr().String()
	s.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{certificate.tls}, ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs: s.authority.pool(), MinVersion: tls.VersionTLS13,
	})))
	syncv1.RegisterSyncServiceServer(s.server, s)
	auditv1.RegisterAuditServiceServer(s.server, s)
	go s.server.Serve(l) //nolint:errcheck // It ends with close.
	return s, nil
}

func (s *standIn) close() { s.server.Stop() }

// echoServers are the servers that the echo plays, by slug, and the protocol
// version that each speaks.
var echoServers = map[string]string{
	"legacy-json": "2025-11-25", "legacy-sse": "2025-11-25", "modern-json": "2026-07-28", "modern-sse": "2026-07-28",
}

// compile makes the one snapshot: the servers, their tools, a user with a key,
// and a policy of which the last of ten rules allows the call.
func (s *standIn) compile(echo string, key apikey.Key) error {
	pepper := make([]byte, 32)
	items := []*snapshotv1.Item{
		{Kind: &snapshotv1.Item_Settings{Settings: &snapshotv1.Settings{
			KeyPepper: pepper, DigestKey: pepper, SealKeys: []*snapshotv1.SealKey{{Key: pepper, SealsFrom: timestamppb.New(time.Now().Add(-time.Hour))}},
		}}},
		{Kind: &snapshotv1.Item_Role{Role: &snapshotv1.Role{Name: "nothing"}}},
		{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: "load", Roles: []string{"nothing"}}}},
		{Kind: &snapshotv1.Item_Key{Key: &snapshotv1.Key{Id: key.ID, Hash: apikey.Hash(pepper, key.Secret), User: "load", Application: "bench"}}},
	}
	for slug, version := range echoServers {
		items = append(items, echoServer(echo, slug, version)...)
	}
	items = append(items, catalogue(echo)...)
	for i := range 10 {
		rule := &snapshotv1.Rule{
			Id: fmt.Sprintf("rule-%d", i), Name: fmt.Sprintf("rule-%d", i), Priority: int32(i),
			Effect: snapshotv1.Effect_EFFECT_DENY, Reason: "not this one", Tools: []string{fmt.Sprintf("other-%d/*", i)},
		}
		if i == 9 {
			rule.Effect, rule.Tools = snapshotv1.Effect_EFFECT_ALLOW, []string{"legacy-*/*", "modern-*/*"}
		}
		items = append(items, &snapshotv1.Item{Kind: &snapshotv1.Item_Rule{Rule: rule}})
	}
	set, err := snapshot.New("bench", 1, items)
	if err != nil {
		return err
	}
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	s.update = snapshot.FullUpdate(set)
	s.update.Nonce = "1"
	snapshot.Sign(s.update, private)
	return nil
}

// catalogueTools is how many tools there are that nobody calls.
const catalogueTools = 1000

// catalogue returns the items of a server with many tools of usual size, so that
// the node holds what a node holds.
func catalogue(echo string) []*snapshotv1.Item {
	const slug = "catalogue"
	items := []*snapshotv1.Item{{Kind: &snapshotv1.Item_Server{Server: &snapshotv1.Server{
		Name: slug, Url: "http://" + echo + "/legacy/json", Private: true, ProtocolVersion: "2025-11-25",
	}}}}
	about := strings.Repeat("What this tool does and when to use it. ", 12)
	for i := range catalogueTools {
		name := fmt.Sprintf("tool-%d", i)
		items = append(items, &snapshotv1.Item{Kind: &snapshotv1.Item_Tool{Tool: &snapshotv1.Tool{
			Server: slug, Name: name, ExposedName: slug + "__" + name, Risk: snapshotv1.Risk_RISK_READ,
			Definition: []byte(`{"name":"` + name + `","description":"` + about +
				`","inputSchema":{"type":"object","properties":{"path":{"type":"string"},"limit":{"type":"integer"}}}}`),
			DefinitionHash: make([]byte, 32),
		}}})
	}
	return items
}

// echoServer returns the items of one server.
func echoServer(echo, slug, version string) []*snapshotv1.Item {
	return []*snapshotv1.Item{
		{Kind: &snapshotv1.Item_Server{Server: &snapshotv1.Server{
			Name: slug, Url: "http://" + echo + "/" + strings.Replace(slug, "-", "/", 1), Private: true, ProtocolVersion: version,
		}}},
		{Kind: &snapshotv1.Item_Tool{Tool: &snapshotv1.Tool{
			Server: slug, Name: "echo", ExposedName: slug + "__echo", Risk: snapshotv1.Risk_RISK_READ,
			Definition:     []byte(`{"name":"echo","inputSchema":{"type":"object"}}`),
			DefinitionHash: make([]byte, 32),
		}}},
	}
}

// Sync sends the snapshot and waits for the node to leave.
func (s *standIn) Sync(stream syncv1.SyncService_SyncServer) error {
	if err := stream.Send(&syncv1.SyncResponse{Update: s.update}); err != nil {
		return err
	}
	for {
		request, err := stream.Recv()
		if err != nil {
			return ignoreEOF(err)
		}
		if nack := request.GetNack(); nack != nil {
			fmt.Fprintln(os.Stderr, "bench: the node refused the snapshot:", nack.GetReason())
		}
	}
}

// Push acknowledges each batch.
func (s *standIn) Push(stream auditv1.AuditService_PushServer) error {
	for {
		batch, err := stream.Recv()
		if err != nil {
			return ignoreEOF(err)
		}
		records := batch.GetRecords()
		if len(records) == 0 {
			continue
		}
		ack := &auditv1.PushResponse{Epoch: batch.GetEpoch(), AckedSequence: records[len(records)-1].GetSequence()}
		if err := stream.Send(ack); err != nil {
			return err
		}
	}
}

func ignoreEOF(err error) error {
	if err == io.EOF { //nolint:errorlint // grpc returns it bare.
		return nil
	}
	return err
}

// authority is a certificate authority for one run.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// identity is a certificate with its key, both ways of holding it.
type identity struct {
	tls       tls.Certificate
	cert, key []byte // PEM
}

func newAuthority() (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "warder bench"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return authority{}, err
	}
	certificate, err := x509.ParseCertificate(der)
	return authority{certificate, key}, err
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

func (a authority) issue(uri, dns string) (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	id, err := url.Parse(uri)
	if err != nil {
		return identity{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), URIs: []*url.URL{id}, DNSNames: []string{dns},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return identity{}, err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return identity{}, err
	}
	i := identity{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
	i.tls, err = tls.X509KeyPair(i.cert, i.key)
	return i, err
}

// writeIdentity writes what a node needs to connect.
func (s *standIn) writeIdentity(dir string) error {
	node, err := s.authority.issue("spiffe://warder/node/bench", "bench")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.authority.certificate.Raw})
	for name, content := range map[string][]byte{"cert.pem": node.cert, "key.pem": node.key, "ca.pem": ca} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
