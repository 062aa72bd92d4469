package controlplane

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/audit"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/localsock"
	"github.com/warder-gateway/warder/internal/porttest"
	"github.com/warder-gateway/warder/internal/snapshot"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// testConfig returns the settings of a control plane on a fresh database.
func testConfig(t *testing.T) Config {
	t.Helper()
	database := storetest.Config(t)
	return Config{DatabaseURL: database.URL, MigrateURL: database.MigrateURL, DataDir: t.TempDir(), Version: "test"}
}

// running is a plane that serves nodes and the local API.
type running struct {
	*Plane
	nodes string
	local *httptest.Server
	stop  func() // returns when everything has ended
}

func start(t *testing.T, config Config) *running {
	t.Helper()
	p, err := Open(t.Context(), config)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 2)
	go func() { ended <- p.ServeNodes(ctx, listener) }()
	go func() { ended <- p.Run(ctx) }()
	r := &running{Plane: p, nodes: listener.Addr().String(), local: httptest.NewServer(p.LocalHandler())}
	var once bool
	r.stop = func() {
		if once {
			return
		}
		once = true
		p.Drain()
		r.local.Close()
		cancel()
		if err := errors.Join(<-ended, <-ended); err != nil {
			t.Errorf("ended with %v", err)
		}
	}
	t.Cleanup(func() { r.stop(); p.Close() })
	return r
}

// dial connects as a node that was admitted.
func (r *running) dial(t *testing.T, name string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(r.nodes, grpc.WithTransportCredentials(credentials.NewTLS(r.nodeTLS(t, name))))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// follower is a node's end of the sync stream.
type follower struct {
	t      *testing.T
	stream syncv1.SyncService_SyncClient
	held   *snapshot.Set
}

func follow(t *testing.T, conn *grpc.ClientConn) *follower {
	t.Helper()
	stream, err := syncv1.NewSyncServiceClient(conn).Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Hello{Hello: &syncv1.Hello{Version: "test"}}})
	if err != nil && !errors.Is(err, io.EOF) { // EOF: refused already; Recv says why.
		t.Fatal(err)
	}
	return &follower{t: t, stream: stream}
}

// apply takes the next update and acks it.
func (f *follower) apply() *syncv1.Update {
	f.t.Helper()
	var update *syncv1.Update
	for update == nil { // Ended sessions come in between.
		response, err := f.stream.Recv()
		if err != nil {
			f.t.Fatal(err)
		}
		update = response.GetUpdate()
	}
	var err error
	if f.held, err = f.held.Apply(update); err != nil {
		f.t.Fatal(err)
	}
	err = f.stream.Send(&syncv1.SyncRequest{Kind: &syncv1.SyncRequest_Ack{Ack: &syncv1.Ack{Nonce: update.GetNonce()}}})
	if err != nil {
		f.t.Fatal(err)
	}
	return update
}

// until applies updates until the set that is held is as wanted.
func (f *follower) until(wanted func(*snapshot.Set) bool) {
	f.t.Helper()
	for f.held == nil || !wanted(f.held) {
		f.apply()
	}
}

// An administrator's change reaches a node, its revocation too, and what the node
// records reaches the ledger.
func TestChangesReachNodesAndEventsReachTheLedger(t *testing.T) {
	r := start(t, testConfig(t))
	conn := r.dial(t, "edge-1")
	f := follow(t, conn)
	if first := f.apply(); first.GetSnapshot() == nil {
		t.Fatalf("first update: %v", first)
	}
	users := adminv1connect.NewUserServiceClient(r.local.Client(), r.local.URL)
	keys := adminv1connect.NewKeyServiceClient(r.local.Client(), r.local.URL)
	if _, err := users.CreateUser(t.Context(), connect.NewRequest(&adminv1.CreateUserRequest{Name: "ana", Roles: []string{"viewer"}})); err != nil {
		t.Fatal(err)
	}
	created, err := keys.CreateKey(t.Context(), connect.NewRequest(&adminv1.CreateKeyRequest{User: "ana", Application: "cursor"}))
	if err != nil {
		t.Fatal(err)
	}
	id := created.Msg.GetDetails().GetId()
	f.until(func(s *snapshot.Set) bool { _, ok := s.Get("key/" + id); return ok })
	if user, ok := f.held.Get("user/ana"); !ok || user.GetUser().GetRoles()[0] != "viewer" {
		t.Errorf("user: %v", user)
	}
	if _, err := keys.RevokeKey(t.Context(), connect.NewRequest(&adminv1.RevokeKeyRequest{Id: id, Reason: "lost"})); err != nil {
		t.Fatal(err)
	}
	f.until(func(s *snapshot.Set) bool { _, ok := s.Get("key/" + id); return !ok })
	if _, ok := f.held.Get("deny/key/" + id); !ok {
		t.Error("the revocation is not in the deny overlay")
	}
	pushOne(t, conn)
	calls, err := adminv1connect.NewAuditServiceClient(r.local.Client(), r.local.URL).
		ListCalls(t.Context(), connect.NewRequest(&adminv1.ListCallsRequest{}))
	if err != nil || len(calls.Msg.GetCalls()) != 1 || calls.Msg.GetCalls()[0].GetNode() != "edge-1" {
		t.Errorf("calls: %v, %v", calls, err)
	}
}

// pushOne pushes one refusal and waits for its ack.
func pushOne(t *testing.T, conn *grpc.ClientConn) {
	t.Helper()
	event, err := audit.Encode(&auditv1.Event{
		Kind: auditv1.EventKind_EVENT_KIND_REFUSAL, CallId: []byte("0123456789abcdef"), At: timestamppb.Now(),
		User: "ana", Method: "tools/call", Decision: auditv1.Decision_DECISION_DENY, Rule: "default-deny",
	})
	if err != nil {
		t.Fatal(err)
	}
	stream, err := auditv1.NewAuditServiceClient(conn).Push(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	record := &auditv1.Record{Sequence: 1, Event: event, Hash: audit.Chain(nil, 7, 1, event)}
	if err := stream.Send(&auditv1.PushRequest{Epoch: 7, Records: []*auditv1.Record{record}}); err != nil {
		t.Fatal(err)
	}
	if ack, err := stream.Recv(); err != nil || ack.GetAckedSequence() != 1 {
		t.Fatalf("ack: %v, %v", ack, err)
	}
}

// Streams end with a reason while the database still answers: what they write
// last is written.
func TestNodesAreToldOfTheEndBeforeTheDatabaseCloses(t *testing.T) {
	r := start(t, testConfig(t))
	f := follow(t, r.dial(t, "edge-1"))
	f.apply()
	awaitNode(t, r, func(connected bool) bool { return connected })
	r.stop()
	var err error
	for err == nil { // What it was told before, such as where agents are, comes first.
		_, err = f.stream.Recv()
	}
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "shuts down") {
		t.Errorf("the node's stream ended with %v", err)
	}
	awaitNode(t, r, func(connected bool) bool { return !connected })
}

// awaitNode waits until the only node's row is as wanted.
func awaitNode(t *testing.T, r *running, wanted func(connected bool) bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		nodes, err := r.store.ListNodes(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(nodes) == 1 && wanted(nodes[0].Connected) {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("nodes: %+v", nodes)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// A second replica, or a restart, goes on where the first one was: a node that
// holds the latest set gets nothing new from it.
func TestARestartServesTheSameSet(t *testing.T) {
	config := testConfig(t)
	first := start(t, config)
	before := first.publisher.Current()
	first.stop()
	second := start(t, config)
	after := second.publisher.Current()
	if before.Digest() != after.Digest() || before.Epoch() != after.Epoch() || before.Revision() != after.Revision() {
		t.Error("the same rows gave another set")
	}
	if !first.secretsEqual(second.Plane) {
		t.Error("the secrets are other ones")
	}
}

func (p *Plane) secretsEqual(other *Plane) bool {
	return string(p.secrets.Pepper) == string(other.secrets.Pepper) && p.authority.Fingerprint() == other.authority.Fingerprint()
}

func TestSetupTokenIsAFileUntilItIsUsed(t *testing.T) {
	config := testConfig(t)
	r := start(t, config)
	path := filepath.Join(config.DataDir, "setup-token")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("file: %v, %v", info, err)
	}
	content, err := os.ReadFile(path)
	token := strings.TrimSpace(string(content))
	if err != nil || token != r.SetupToken() || !strings.HasPrefix(token, "wds_") {
		t.Fatalf("file holds %q, %v", content, err)
	}
	web := httptest.NewServer(r.AdminHandler())
	defer web.Close()
	client := adminv1connect.NewLoginServiceClient(web.Client(), web.URL)
	request := &adminv1.SetUpRequest{Token: token, Name: "ana", Password: "correct horse battery"}
	if _, err := client.SetUp(t.Context(), connect.NewRequest(request)); err != nil {
		t.Fatal(err)
	}
	if r.SetupToken() != "" {
		t.Error("the token is still valid")
	}
	deadline := time.After(20 * time.Second)
	for {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			break
		}
		select {
		case <-deadline:
			t.Fatal("the file stays")
		case <-time.After(10 * time.Millisecond):
		}
	}
	r.stop()
	if again := start(t, config); again.SetupToken() != "" {
		t.Error("a restart made a token although an administrator exists")
	}
}

func TestAnotherKeyEncryptionKeyIsRefused(t *testing.T) {
	config := testConfig(t)
	start(t, config).stop()
	config.DataDir = t.TempDir()
	if p, err := Open(t.Context(), config); !fault.Is(err, fault.Precondition) || p != nil || !strings.Contains(fault.Text(err), "kek") {
		t.Errorf("error: %v", err)
	}
}

// A policy that does not compile leaves nodes with what they have; the API is
// there to put it right.
func TestAConfigurationThatDoesNotCompileDoesNotStopTheAPI(t *testing.T) {
	config := testConfig(t)
	first := start(t, config)
	if _, err := first.store.Pool().Exec(t.Context(), `INSERT INTO policy_version (version, document, created_by) VALUES (1, 'rules: [{effect: maybe}]', 'test')`); err != nil {
		t.Fatal(err)
	}
	first.stop()
	r := start(t, config)
	web := httptest.NewServer(r.AdminHandler())
	defer web.Close()
	if code := get(t, web.URL+"/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("readyz: %d", code)
	}
	stream := follow(t, r.dial(t, "edge-1")).stream
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("a node was served: %v", err)
	}
	policy := adminv1connect.NewPolicyServiceClient(r.local.Client(), r.local.URL)
	if _, err := policy.ApplyPolicy(t.Context(), connect.NewRequest(&adminv1.ApplyPolicyRequest{Document: "rules: []\n"})); err != nil {
		t.Fatal(err)
	}
	follow(t, r.dial(t, "edge-1")).retryUntilServed(r)
}

// A policy that cannot be read must not hold up a revocation (security.md P-08).
func TestARevocationReachesNodesAlthoughTheConfigurationDoesNotCompile(t *testing.T) {
	r := start(t, testConfig(t))
	users := adminv1connect.NewUserServiceClient(r.local.Client(), r.local.URL)
	if _, err := users.CreateUser(t.Context(), connect.NewRequest(&adminv1.CreateUserRequest{Name: "ana", Roles: []string{"viewer"}})); err != nil {
		t.Fatal(err)
	}
	keys := adminv1connect.NewKeyServiceClient(r.local.Client(), r.local.URL)
	made, err := keys.CreateKey(t.Context(), connect.NewRequest(&adminv1.CreateKeyRequest{User: "ana", Application: "cursor"}))
	if err != nil {
		t.Fatal(err)
	}
	id := made.Msg.GetDetails().GetId()
	f := follow(t, r.dial(t, "edge-1"))
	f.until(func(s *snapshot.Set) bool { _, found := s.Get("key/" + id); return found })
	good := f.held.Revision()

	if _, err := r.store.Pool().Exec(t.Context(), `INSERT INTO policy_version (version, document, created_by) VALUES (1, 'rules: [{effect: maybe}]', 'test')`); err != nil {
		t.Fatal(err)
	}
	_, err = r.store.Change(t.Context(), "test", func(tx *store.Tx) error {
		tx.Record("policy.apply", "1", nil)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keys.RevokeKey(t.Context(), connect.NewRequest(&adminv1.RevokeKeyRequest{Id: id})); err != nil {
		t.Fatal(err)
	}
	f.until(func(s *snapshot.Set) bool {
		_, held := s.Get("key/" + id)
		_, denied := s.Get("deny/key/" + id)
		return !held && denied
	})
	if f.held.Revision() != good {
		t.Errorf("at revision %d, which does not compile", f.held.Revision())
	}
	policy := adminv1connect.NewPolicyServiceClient(r.local.Client(), r.local.URL)
	if _, err := policy.ApplyPolicy(t.Context(), connect.NewRequest(&adminv1.ApplyPolicyRequest{Document: "rules: []\n"})); err != nil {
		t.Fatal(err)
	}
	f.until(func(s *snapshot.Set) bool { return s.Revision() > good })
}

// retryUntilServed connects again until there is a snapshot.
func (f *follower) retryUntilServed(r *running) {
	f.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		if response, err := f.stream.Recv(); err == nil && response.GetUpdate().GetSnapshot() != nil {
			return
		}
		f.stream = follow(f.t, r.dial(f.t, "edge-1")).stream
	}
	f.t.Fatal("never served")
}

func get(t *testing.T, url string) int {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode
}

func TestHealthAndDashboardAreServed(t *testing.T) {
	r := start(t, testConfig(t))
	web := httptest.NewServer(r.AdminHandler())
	defer web.Close()
	for path, want := range map[string]int{
		"/livez": 200, "/healthz": 200, "/readyz": 200, "/": 200, "/servers": 200, "/schemas/policy.json": 200,
		// The API, not the dashboard, answers what is no Connect call.
		"/warder.admin.v1.UserService/ListUsers": http.StatusUnsupportedMediaType,
	} {
		if code := get(t, web.URL+path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

// An endless call must not hold up the end.
func TestDrainEndsTails(t *testing.T) {
	r := start(t, testConfig(t))
	stream, err := adminv1connect.NewAuditServiceClient(r.local.Client(), r.local.URL).
		TailCalls(t.Context(), connect.NewRequest(&adminv1.TailCallsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	if !stream.Receive() {
		t.Fatalf("tail: %v", stream.Err())
	}
	r.Drain()
	for stream.Receive() {
		t.Log("a last message")
	}
}

// The process as a whole: it listens, says that it is ready, lets the command
// line in, and stops in order when asked.
func TestRunServesAndStops(t *testing.T) {
	config := testConfig(t)
	config.Listen, config.NodeListen = porttest.Free(t), porttest.Free(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, config) }()
	deadline := time.Now().Add(30 * time.Second)
	for {
		response, err := http.Get("http://" + config.Listen + "/readyz")
		if err == nil {
			_ = response.Body.Close()
		}
		if err == nil && response.StatusCode == 200 {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("never ready: %v", err)
		}
	}
	if code := get(t, "http://"+config.Listen+"/metrics"); code != 200 {
		t.Errorf("metrics: %d", code)
	}
	local := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return localsock.Dial(ctx, config.DataDir)
	}}}
	defer local.CloseIdleConnections()
	who, err := adminv1connect.NewLoginServiceClient(local, "http://warder").
		WhoAmI(t.Context(), connect.NewRequest(&adminv1.WhoAmIRequest{}))
	if err != nil || !who.Msg.GetLocal() {
		t.Errorf("local socket: %v, %v", who, err)
	}
	if err := Run(t.Context(), config); !fault.Is(err, fault.Exists) || !strings.Contains(fault.Text(err), "another warder") {
		t.Errorf("a second instance on the same directory: %v", err)
	}
	if _, err := os.Stat(filepath.Join(config.DataDir, "setup-token")); err != nil {
		t.Errorf("the second instance touched the first one's token: %v", err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
	if _, err := os.Stat(filepath.Join(config.DataDir, "warder.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
}

func TestSettingsThatCannotWorkAreRefused(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	for name, tt := range map[string]struct {
		spoil func(*Config)
		says  string
	}{
		"no database":        {func(c *Config) { c.DatabaseURL = "" }, "--database-url"},
		"no data directory":  {func(c *Config) { c.DataDir = "" }, "--data-dir"},
		"half a certificate": {func(c *Config) { c.TLSCert = "x" }, "--tls-key"},
		"no address":         {func(c *Config) { c.Listen = "here" }, "--listen must be HOST:PORT"},
		"open to a network":  {func(c *Config) { c.Listen = "0.0.0.0:0" }, "--behind-proxy"},
		"port in use":        {func(c *Config) { c.Listen = busy.Addr().String() }, busy.Addr().String()},
		"node port in use":   {func(c *Config) { c.NodeListen = busy.Addr().String() }, "--node-listen"},
		"nodes nowhere":      {func(c *Config) { c.NodeListen = "8444" }, "--node-listen must be HOST:PORT, not 8444"},
		"nodes at no host":   {func(c *Config) { c.NodeAddress = ":8444" }, "--node-address :8444 names no host"},
	} {
		t.Run(name, func(t *testing.T) {
			config := testConfig(t)
			config.Listen, config.NodeListen = "127.0.0.1:0", "127.0.0.1:0"
			tt.spoil(&config)
			if err := Run(t.Context(), config); err == nil || !strings.Contains(fault.Text(err), tt.says) {
				t.Errorf("error: %v", err)
			}
		})
	}
}
