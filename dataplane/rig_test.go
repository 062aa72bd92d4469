package dataplane

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/snapshot"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// authority is a certificate authority of the test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// issue makes a certificate: of the control plane if the name is that, of a node
// else, and good for a server of that name.
func (a *authority) issue(name string) tls.Certificate { return a.issueAt(name, time.Now()) }

func (a *authority) issueAt(name string, issued time.Time) tls.Certificate {
	a.t.Helper()
	who := identity.Peer{Kind: identity.Node, Name: name}
	if name == identity.ServerName {
		who = identity.Peer{Kind: identity.ControlPlane}
	}
	key := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, URIs: []*url.URL{who.URI()},
		NotBefore: issued.Add(-identity.Backdate), NotAfter: issued.Add(identity.Life),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// node returns the identity of a node.
func (a *authority) node(name string) *identity.Identity { return a.nodeIn(name, "", time.Now()) }

// nodeIn returns the identity of a node that was issued at a time, and is kept in a
// directory.
func (a *authority) nodeIn(name, dir string, at time.Time) *identity.Identity {
	a.t.Helper()
	issued := a.issueAt(name, at)
	who, err := identity.New(identity.Config{Kind: identity.Node, Dir: dir, Log: slog.New(slog.DiscardHandler)}, issued.PrivateKey.(*ecdsa.PrivateKey),
		&enrollv1.Credential{Certificate: issued.Certificate[0], Authorities: [][]byte{a.cert.Raw}}, "")
	if err != nil {
		a.t.Fatal(err)
	}
	return who
}

// controlPlane sends one snapshot to whoever comes and takes all audit events.
type controlPlane struct {
	syncv1.UnimplementedSyncServiceServer
	auditv1.UnimplementedAuditServiceServer
	address string
	server  *grpc.Server
	update  *syncv1.Update
	acked   chan string // reasons of nacks; "" is an ack
	slow    func()      // unless nil, called before each batch is acked

	mu     sync.Mutex
	events []*auditv1.Event
}

// updateOf is a snapshot as it is sent to who has none, signed by a key of its own.
func updateOf(t *testing.T, set *snapshot.Set) *syncv1.Update {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	update := snapshot.FullUpdate(set)
	update.Nonce = "1"
	snapshot.Sign(update, key)
	return update
}

func startControlPlane(t *testing.T, ca *authority, name string, set *snapshot.Set) *controlPlane {
	t.Helper()
	c := &controlPlane{update: updateOf(t, set), acked: make(chan string, 10)}
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.address = socket.Addr().String()
	c.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{ca.issue(name)}, ClientCAs: ca.pool(),
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	})))
	syncv1.RegisterSyncServiceServer(c.server, c)
	auditv1.RegisterAuditServiceServer(c.server, c)
	go c.server.Serve(socket)
	t.Cleanup(c.server.Stop)
	return c
}

func (c *controlPlane) Sync(stream grpc.BidiStreamingServer[syncv1.SyncRequest, syncv1.SyncResponse]) error {
	if _, err := stream.Recv(); err != nil {
		return err
	}
	if err := stream.Send(&syncv1.SyncResponse{Update: c.update}); err != nil {
		return err
	}
	for {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		c.acked <- request.GetNack().GetReason()
	}
}

func (c *controlPlane) Push(stream grpc.BidiStreamingServer[auditv1.PushRequest, auditv1.PushResponse]) error {
	for {
		batch, err := stream.Recv()
		if err != nil {
			return err
		}
		c.mu.Lock()
		for _, record := range batch.GetRecords() {
			event := &auditv1.Event{}
			if err := proto.Unmarshal(record.GetEvent(), event); err != nil {
				c.mu.Unlock()
				return err
			}
			c.events = append(c.events, event)
		}
		c.mu.Unlock()
		if c.slow != nil {
			c.slow()
		}
		last := uint64(0)
		if n := len(batch.GetRecords()); n > 0 {
			last = batch.GetRecords()[n-1].GetSequence()
		}
		if err := stream.Send(&auditv1.PushResponse{Epoch: batch.GetEpoch(), AckedSequence: last}); err != nil {
			return err
		}
	}
}

// taken returns the events of calls: those of sessions that begin are left out.
func (c *controlPlane) taken() (calls []*auditv1.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	begun := map[string]bool{}
	for _, event := range c.events {
		if begun[string(event.GetCallId())] || event.GetMethod() == "initialize" {
			begun[string(event.GetCallId())] = true
			continue
		}
		calls = append(calls, event)
	}
	return calls
}

// process is a data plane that runs.
type process struct {
	t      *testing.T
	config Config
	url    string
	stop   func() error
}

func startProcess(t *testing.T, config Config) *process {
	t.Helper()
	config.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, config) }()
	p := &process{t: t, config: config, url: "http://" + config.Listen, stop: sync.OnceValue(func() error { cancel(); return <-ended })}
	t.Cleanup(func() { _ = p.stop() })
	return p
}

func (p *process) get(path string) (status int, body string) {
	response, err := http.Get(p.url + path)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// post sends a message of a legacy client, in a session that it opens before if
// there is something to be opened.
func (p *process) post(key apikey.Key, message string) (status int, body string) {
	p.t.Helper()
	open := p.send(key, "", initializeMessage)
	open.Body.Close()
	response := p.send(key, open.Header.Get("Mcp-Session-Id"), message)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func (p *process) send(key apikey.Key, session, message string) *http.Response {
	p.t.Helper()
	request, err := http.NewRequest(http.MethodPost, p.url+"/mcp", strings.NewReader(message))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key.String())
	request.Header.Set("Content-Type", "application/json")
	if session != "" {
		request.Header.Set("Mcp-Session-Id", session)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	return response
}

// await polls until the condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

const (
	initializeMessage = `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`

	listMessage = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	denyMessage = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"git__delete"}}`
)

func world(t *testing.T) (*snapshot.Set, apikey.Key) {
	w := gatetest.New(t)
	w.Server("git", "get", "delete")
	w.Role("dev", "git/get")
	w.User("ana", "dev")
	key := w.Key("ana", "ide", time.Time{})
	return w.Set(3), key
}

// mcpServer is a modern MCP server that answers when it is let.
func mcpServer(t *testing.T, answer func()) *httptest.Server {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var message struct {
			ID jsontext.Value `json:"id"`
		}
		if err := json.UnmarshalRead(r.Body, &message); err != nil {
			t.Error(err)
		}
		answer()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","content":[],"x":1.10}}`, message.ID)
	}))
	t.Cleanup(server.Close)
	return server
}

// worldWith returns a snapshot in which ana may call git__get of a modern server, and her key.
func worldWith(t *testing.T, server *httptest.Server) (*snapshot.Set, apikey.Key) {
	t.Helper()
	w := gatetest.New(t)
	w.Server("git", "get")
	for _, item := range w.Items {
		if git := item.GetServer(); git != nil {
			git.Url, git.ProtocolVersion = server.URL, "2026-07-28"
		}
	}
	w.Role("dev", "git/get")
	w.User("ana", "dev")
	key := w.Key("ana", "ide", time.Time{})
	return w.Set(1), key
}
