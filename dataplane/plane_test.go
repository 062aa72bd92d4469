package dataplane

import (
	"bytes"
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
	"testing/synctest"
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
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
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

func startControlPlane(t *testing.T, ca *authority, name string, set *snapshot.Set) *controlPlane {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &controlPlane{update: snapshot.FullUpdate(set), acked: make(chan string, 10)}
	c.update.Nonce = "1"
	snapshot.Sign(c.update, key)
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
		last := batch.GetRecords()[len(batch.GetRecords())-1].GetSequence()
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

// freeAddress returns a loopback address that was free a moment ago.
func freeAddress(t *testing.T) string {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	return socket.Addr().String()
}

// process is a data plane that runs.
type process struct {
	t    *testing.T
	url  string
	stop func() error
}

func startProcess(t *testing.T, config Config) *process {
	t.Helper()
	config.Log = slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, config) }()
	p := &process{t: t, url: "http://" + config.Listen, stop: sync.OnceValue(func() error { cancel(); return <-ended })}
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

func TestAProcessServesWhatTheControlPlaneSendsAndHandsItsAuditOver(t *testing.T) {
	ca := newAuthority(t)
	set, key := world(t)
	cp := startControlPlane(t, ca, identity.ServerName, set)
	p := startProcess(t, Config{
		DataDir: t.TempDir(), Listen: freeAddress(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"),
	})
	if reason := <-cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	await(t, "ready", func() bool { status, _ := p.get("/readyz"); return status == http.StatusOK })
	if status, body := p.post(key, listMessage); status != http.StatusOK || !strings.Contains(body, "git__get") || strings.Contains(body, "delete") {
		t.Errorf("list: %d %s", status, body)
	}
	if status, body := p.post(key, denyMessage); status != http.StatusOK || !strings.Contains(body, "Denied by policy") {
		t.Errorf("call: %d %s", status, body)
	}
	var metrics string
	await(t, "an idle node in the metrics", func() bool { // the last request leaves after its answer has arrived
		_, metrics = p.get("/metrics")
		return strings.Contains(metrics, "warder_inflight_requests 0\n")
	})
	for _, want := range []string{
		"warder_config_revision 3\n", `warder_decisions_total{effect="deny",reason="default-deny",server="git"} 1`, "warder_build_info{",
		"warder_audit_queue_depth", "mcp_server_operation_duration_seconds_count",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %q", want)
		}
	}
	if err := p.stop(); err != nil {
		t.Errorf("end: %v", err)
	}
	if events := cp.taken(); len(events) != 1 || events[0].GetRule() != "default-deny" || events[0].GetUser() != "ana" {
		t.Errorf("the control plane has %v; want the one denial", events)
	}
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

func TestP22_ARunningCallIsFinishedBeforeTheProcessEndsAndIsRecorded(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	server := mcpServer(t, func() { close(started); <-release })
	ca := newAuthority(t)
	set, key := worldWith(t, server)
	cp := startControlPlane(t, ca, identity.ServerName, set)
	p := startProcess(t, Config{
		DataDir: t.TempDir(), Listen: freeAddress(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"),
	})
	if reason := <-cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	answered := make(chan string)
	go func() {
		_, body := p.post(key, `{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"git__get","arguments":{}}}`)
		answered <- body
	}()
	<-started
	ended := make(chan error)
	go func() { ended <- p.stop() }()
	await(t, "no further connections", func() bool { status, _ := p.get("/livez"); return status == 0 })
	select {
	case err := <-ended:
		t.Fatalf("the process ended (%v) while a call was running", err)
	default:
	}
	close(release)
	if body := <-answered; !strings.Contains(body, `"x":1.10`) || !strings.Contains(body, `"id":"a"`) {
		t.Errorf("answer: %s", body)
	}
	if err := <-ended; err != nil {
		t.Errorf("end: %v", err)
	}
	events := cp.taken()
	if len(events) != 2 || events[1].GetOutcome() != auditv1.Outcome_OUTCOME_OK {
		t.Errorf("the control plane has %v; want intent and result", events)
	}
}

// TestP01_TheEndWaitsForAuditAsLongAsItIsTaken ends a process right after many calls, with a control plane that takes each
// batch in its own time: all of them take longer than it may be silent for.
func TestP01_TheEndWaitsForAuditAsLongAsItIsTaken(t *testing.T) {
	const calls, flushTime = 300, 400 * time.Millisecond
	ca := newAuthority(t)
	set, key := worldWith(t, mcpServer(t, func() {}))
	cp := startControlPlane(t, ca, identity.ServerName, set)
	ending := make(chan struct{})
	cp.slow = func() {
		<-ending // the backlog is that of all calls
		time.Sleep(flushTime / 4)
	}
	config := Config{
		DataDir: t.TempDir(), Listen: freeAddress(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"), FlushTime: flushTime,
	}
	p := startProcess(t, config)
	if reason := <-cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	for range calls {
		status, body := p.post(key, `{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"git__get","arguments":{}}}`)
		if status != http.StatusOK || !strings.Contains(body, `"x":1.10`) {
			t.Fatalf("call: %d %s", status, body)
		}
	}
	close(ending)
	began := time.Now()
	if err := p.stop(); err != nil {
		t.Errorf("end: %v", err)
	}
	if took := time.Since(began); took <= flushTime {
		t.Errorf("the end took %v only: the control plane was not slow enough to show anything", took)
	}
	if got := len(cp.taken()); got != 2*calls {
		t.Errorf("the control plane has %d events of %d calls; want an intent and a result of each", got, calls)
	}
}

// TestTheEndDoesNotSitOutALongPause has a stream wait to be opened again when the process ends.
func TestTheEndDoesNotSitOutALongPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Plane{flushing: make(chan struct{})}
		waited := make(chan bool)
		began := time.Now()
		go func() { waited <- p.pause(t.Context(), time.Hour) }()
		time.Sleep(time.Second)
		close(p.flushing)
		if !<-waited || time.Since(began) > time.Second+firstPause {
			t.Errorf("the pause took %v; want %v more than the second before the end", time.Since(began), firstPause)
		}
	})
}

func TestP05_AProcessStartsFromItsDiskWithoutAControlPlane(t *testing.T) {
	ca := newAuthority(t)
	set, key := world(t)
	cp := startControlPlane(t, ca, identity.ServerName, set)
	config := Config{
		DataDir: t.TempDir(), Listen: freeAddress(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"), FlushTime: 50 * time.Millisecond,
	}
	first := startProcess(t, config)
	if reason := <-cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	if err := first.stop(); err != nil {
		t.Fatalf("end: %v", err)
	}
	cp.server.Stop()

	second := startProcess(t, config)
	await(t, "ready", func() bool { status, _ := second.get("/readyz"); return status == http.StatusOK })
	if status, body := second.post(key, denyMessage); status != http.StatusOK || !strings.Contains(body, "Denied by policy") {
		t.Errorf("call: %d %s", status, body)
	}
	if err := second.stop(); err == nil || !strings.Contains(err.Error(), "3 events") { // the session's two and the refusal
		t.Errorf("end with an event that nobody took: %v; want an error that says so", err)
	}
}

func TestBeforeTheFirstSnapshotAProcessLivesAndIsNotReady(t *testing.T) {
	ca := newAuthority(t)
	_, key := world(t)
	p := startProcess(t, Config{
		DataDir: t.TempDir(), Listen: freeAddress(t), ControlPlane: freeAddress(t),
		Identity: ca.node("node-1"), FlushTime: time.Millisecond,
	})
	await(t, "alive", func() bool { status, _ := p.get("/livez"); return status == http.StatusOK })
	if status, body := p.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "no snapshot") {
		t.Errorf("ready: %d %s", status, body)
	}
	if status, body := p.post(key, listMessage); status != http.StatusServiceUnavailable || !strings.Contains(body, "no snapshot") {
		t.Errorf("list: %d %s", status, body)
	}
}

func TestP10_AControlPlaneOfAnotherAuthorityOrNameIsNotFollowed(t *testing.T) {
	ca := newAuthority(t)
	set, _ := world(t)
	for name, cp := range map[string]*controlPlane{
		"another authority": startControlPlane(t, newAuthority(t), identity.ServerName, set),
		"another name":      startControlPlane(t, ca, "node-2", set),
	} {
		t.Run(name, func(t *testing.T) {
			plane, err := Open(t.Context(), Config{DataDir: t.TempDir(), ControlPlane: cp.address, Identity: ca.node("node-1")})
			if err != nil {
				t.Fatal(err)
			}
			defer plane.link.Close()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			err = plane.replica.Follow(ctx, syncv1.NewSyncServiceClient(plane.link))
			if err == nil || !strings.Contains(err.Error(), "certificate") || plane.Ready() == nil {
				t.Errorf("got %v, ready %v; want a certificate error", err, plane.Ready())
			}
		})
	}
}

func TestOpenReadsTheIdentityFromItsDirectory(t *testing.T) {
	ca, dir := newAuthority(t), t.TempDir()
	config := Config{DataDir: t.TempDir(), ControlPlane: "127.0.0.1:1", IdentityDir: dir}
	if _, err := Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("without files: %v; want an error that names %s", err, dir)
	}
	ca.nodeIn("node-1", dir, time.Now())
	plane, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	plane.link.Close()
}

// A control plane may be away for longer than a certificate is good for: a node that
// restarts meanwhile serves by its last snapshot, and says what it will need.
func TestANodeWhoseIdentityHasExpiredServesByItsLastSnapshotAlone(t *testing.T) {
	ca := newAuthority(t)
	set, _ := world(t)
	cp := startControlPlane(t, ca, identity.ServerName, set)
	config := Config{DataDir: t.TempDir(), Listen: freeAddress(t), ControlPlane: cp.address, Identity: ca.node("node-1")}
	p := startProcess(t, config)
	await(t, "ready", func() bool { status, _ := p.get("/readyz"); return status == http.StatusOK })
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ca.nodeIn("node-1", dir, time.Now().Add(-2*identity.Life))
	const advice = "warder join-token create --kind node --name node-1"
	config.Identity, config.IdentityDir = nil, dir
	var log bytes.Buffer
	config.Log = slog.New(slog.NewTextHandler(&log, nil))
	plane, err := Open(t.Context(), config)
	if err != nil || plane.Ready() != nil || !strings.Contains(log.String(), advice) {
		t.Fatalf("error %v, log %s", err, log.String())
	}
	plane.link.Close()
	config.DataDir = t.TempDir()
	if _, err := Open(t.Context(), config); err == nil || !strings.Contains(err.Error(), advice) {
		t.Errorf("without a snapshot: %v", err)
	}
}

func TestP09_ASnapshotWithoutSettingsIsRefused(t *testing.T) {
	ca := newAuthority(t)
	set, err := snapshot.New("epoch", 1, []*snapshotv1.Item{{Kind: &snapshotv1.Item_User{User: &snapshotv1.User{Name: "ana"}}}})
	if err != nil {
		t.Fatal(err)
	}
	cp := startControlPlane(t, ca, identity.ServerName, set)
	p := startProcess(t, Config{
		DataDir: t.TempDir(), Listen: freeAddress(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"), FlushTime: time.Millisecond,
	})
	if reason := <-cp.acked; !strings.Contains(reason, "settings") {
		t.Errorf("answered %q; want a nack that says why", reason)
	}
	if status, _ := p.get("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("ready: %d", status)
	}
}

func TestAPortInUseIsSaidClearly(t *testing.T) {
	ca := newAuthority(t)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	err = Run(t.Context(), Config{
		DataDir: t.TempDir(), Listen: socket.Addr().String(), ControlPlane: "127.0.0.1:1",
		Identity: ca.node("node-1"),
	})
	if err == nil || !strings.Contains(err.Error(), socket.Addr().String()) || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("got %v", err)
	}
}

func TestProfilesAreServedOnlyWhereAndWhenAskedFor(t *testing.T) {
	ca := newAuthority(t)
	set, _ := world(t)
	for _, asked := range []bool{false, true} {
		cp := startControlPlane(t, ca, identity.ServerName, set)
		config := Config{
			DataDir: t.TempDir(), Listen: freeAddress(t), MetricsListen: freeAddress(t), Pprof: asked,
			ControlPlane: cp.address, Identity: ca.node("node-1"),
		}
		clients := startProcess(t, config)
		metrics := &process{t: t, url: "http://" + config.MetricsListen}
		await(t, "ready", func() bool { status, _ := metrics.get("/readyz"); return status == http.StatusOK })
		want := http.StatusNotFound
		if asked {
			want = http.StatusOK
		}
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine", "/debug/pprof/trace?seconds=0.01"} {
			if status, body := metrics.get(path); status != want {
				t.Errorf("asked for: %t; %s: %d %.200s", asked, path, status, body)
			}
			if status, _ := clients.get(path); status != http.StatusNotFound {
				t.Errorf("%s for clients: %d", path, status)
			}
		}
	}
}

// A snapshot that is applied while calls run gives no key new places.
func TestPlacesOfAKeyStayTakenUnderTheNextSnapshot(t *testing.T) {
	ca := newAuthority(t)
	set, key := world(t)
	cp := startControlPlane(t, ca, identity.ServerName, set)
	config := Config{
		DataDir: t.TempDir(), Listen: freeAddress(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"), FlushTime: 50 * time.Millisecond,
	}
	first := startProcess(t, config)
	if reason := <-cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	if err := first.stop(); err != nil {
		t.Fatalf("end: %v", err)
	}
	p, err := Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer p.drain(time.Second)
	before := p.current().Credentials().Key(key.ID)
	next, err := p.build(set, func() {})
	if err != nil {
		t.Fatal(err)
	}
	after := next.Credentials().Key(key.ID)
	if before == after || !before.Enter(1) || after.Enter(1) {
		t.Error("under the next snapshot the key has new places")
	}
}

// P-13: what a large answer holds of its server's budget is free again when the client has taken it; nothing adds up.
func TestP13_AnAnswerThatWasWrittenHoldsNothing(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var message struct {
			ID jsontext.Value `json:"id"`
		}
		if err := json.UnmarshalRead(r.Body, &message); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","content":[],"pad":"%s"}}`, message.ID, strings.Repeat("x", 1<<20))
	}))
	defer server.Close()
	ca := newAuthority(t)
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
	cp := startControlPlane(t, ca, identity.ServerName, w.Set(1))
	p := startProcess(t, Config{
		DataDir: t.TempDir(), Listen: freeAddress(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"),
	})
	if reason := <-cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	const call = `{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"git__get","arguments":{}}}`
	if _, body := p.post(key, call); len(body) < 1<<20 {
		t.Fatalf("answer: %.200s", body)
	}
	await(t, "nothing held", func() bool {
		_, metrics := p.get("/metrics")
		return strings.Contains(metrics, `warder_upstream_answer_bytes{server="git"} 0`+"\n")
	})
}
