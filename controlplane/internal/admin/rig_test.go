package admin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/compiler"
	"github.com/warder-gateway/warder/controlplane/internal/enrollment"
	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/signon"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/seal"
	"github.com/warder-gateway/warder/internal/snapshot"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

const password = "correct horse battery"

// rig is an API on a real database, served over HTTP as it is in production.
type rig struct {
	*API
	log   *syncBuffer
	token string // for setup
	url   string // sessions
	kek   string // the file of the key-encryption key
	local *client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{log: new(syncBuffer)}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := storetest.New(t)
	r.kek = filepath.Join(t.TempDir(), "kek")
	kek, err := seal.LoadVault(r.kek)
	if err != nil {
		t.Fatal(err)
	}
	authority, err := enrollment.LoadAuthority(t.Context(), s, kek)
	if err != nil {
		t.Fatal(err)
	}
	setup := login.NewSetupToken(time.Now())
	r.token = setup.Reveal(time.Now())
	pepper := bytes.Repeat([]byte{7}, 32)
	desk := login.NewDesk(login.Config{Book: login.NewBook(s), Setup: setup, Log: log})
	signOn, err := signon.New(signon.Config{Store: s, Desk: desk, Keys: kek, CookieKey: pepper, PublicURL: "https://warder.example", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	r.API, err = New(Config{
		Store: s, Keys: kek, Pepper: pepper,
		Refresher: catalog.NewRefresher(catalog.Config{Store: s, Keys: kek, Discoverer: catalog.NewDiscoverer("test"), Log: log}),
		Desk:      desk, SignOn: signOn,
		CurrentSet: func() *snapshot.Set { return compile(t, s, kek, pepper) },
		AwaitNodes: func(context.Context, uint64) {},
		Authority:  authority, ForPeers: "control.corp:8444", Version: "test", StartedAt: time.Now(), Log: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.url = serve(t, r.Handler())
	r.local = newClient(http.DefaultClient, serve(t, r.LocalHandler()))
	return r
}

// compile stands in for feed and publisher: what is committed is published.
func compile(t *testing.T, s *store.Store, kek *seal.Vault, pepper []byte) *snapshot.Set {
	rows, err := s.ReadConfig(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Errorf("read configuration: %v", err)
		return nil
	}
	set, err := compiler.Compile(rows, compiler.Secrets{Keys: kek, Pepper: pepper, DigestKey: pepper})
	if err != nil {
		t.Errorf("compile: %v", err)
		return nil
	}
	return set
}

func serve(t *testing.T, h http.Handler) string {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// client has a client of every service.
type client struct {
	http         *http.Client
	url          string
	alerts       adminv1connect.AlertServiceClient
	agents       adminv1connect.AgentServiceClient
	enrollment   adminv1connect.EnrollmentServiceClient
	applications adminv1connect.ApplicationServiceClient
	audit        adminv1connect.AuditServiceClient
	denials      adminv1connect.DenialServiceClient
	health       adminv1connect.HealthServiceClient
	issuers      adminv1connect.IssuerServiceClient
	keys         adminv1connect.KeyServiceClient
	login        adminv1connect.LoginServiceClient
	nodes        adminv1connect.NodeServiceClient
	policy       adminv1connect.PolicyServiceClient
	roles        adminv1connect.RoleServiceClient
	providers    adminv1connect.ProviderServiceClient
	secrets      adminv1connect.SecretServiceClient
	sealKeys     adminv1connect.SealKeyServiceClient
	servers      adminv1connect.ServerServiceClient
	tools        adminv1connect.ToolServiceClient
	users        adminv1connect.UserServiceClient
}

func newClient(h *http.Client, url string) *client {
	return &client{
		http: h, url: url,
		alerts:       adminv1connect.NewAlertServiceClient(h, url),
		agents:       adminv1connect.NewAgentServiceClient(h, url),
		enrollment:   adminv1connect.NewEnrollmentServiceClient(h, url),
		applications: adminv1connect.NewApplicationServiceClient(h, url),
		audit:        adminv1connect.NewAuditServiceClient(h, url),
		denials:      adminv1connect.NewDenialServiceClient(h, url),
		health:       adminv1connect.NewHealthServiceClient(h, url),
		issuers:      adminv1connect.NewIssuerServiceClient(h, url),
		keys:         adminv1connect.NewKeyServiceClient(h, url),
		login:        adminv1connect.NewLoginServiceClient(h, url),
		nodes:        adminv1connect.NewNodeServiceClient(h, url),
		policy:       adminv1connect.NewPolicyServiceClient(h, url),
		roles:        adminv1connect.NewRoleServiceClient(h, url),
		providers:    adminv1connect.NewProviderServiceClient(h, url),
		secrets:      adminv1connect.NewSecretServiceClient(h, url),
		sealKeys:     adminv1connect.NewSealKeyServiceClient(h, url),
		servers:      adminv1connect.NewServerServiceClient(h, url),
		tools:        adminv1connect.NewToolServiceClient(h, url),
		users:        adminv1connect.NewUserServiceClient(h, url),
	}
}

// stranger is a browser that nobody has signed in with.
func (r *rig) stranger(t *testing.T) *client {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(&http.Client{Jar: jar}, r.url)
}

// person makes a user with these roles and signs in as him.
func (r *rig) person(t *testing.T, name string, roles ...string) *client {
	t.Helper()
	must(r.local.users.CreateUser(t.Context(), connect.NewRequest(&adminv1.CreateUserRequest{
		Name: name, Roles: roles, Password: password,
	}))).or(t)
	return r.signIn(t, name)
}

func (r *rig) signIn(t *testing.T, name string) *client {
	t.Helper()
	c := r.stranger(t)
	must(c.login.SignIn(t.Context(), connect.NewRequest(&adminv1.SignInRequest{Name: name, Password: password}))).or(t)
	return c
}

// result is an answer or an error.
type result[T any] struct {
	response *connect.Response[T]
	err      error
}

func must[T any](response *connect.Response[T], err error) result[T] { return result[T]{response, err} }

// or returns the answer, or ends the test.
func (r result[T]) or(t *testing.T) *T {
	t.Helper()
	if r.err != nil {
		t.Fatalf("%T: %v", new(T), r.err)
	}
	return r.response.Msg
}

// refused ends the test unless the error has this code and text.
func (r result[T]) refused(t *testing.T, code connect.Code, text string) {
	t.Helper()
	refuse(t, r.err, code, text)
}

func refuse(t *testing.T, err error, code connect.Code, text string) {
	t.Helper()
	if err == nil || connect.CodeOf(err) != code || !strings.Contains(err.Error(), text) {
		t.Fatalf("error %v; want %v: %q", err, code, text)
	}
}

// upstream is an MCP server whose tools a test changes.
type upstream struct {
	url string

	mu      sync.Mutex
	tools   []string          // definitions
	results map[string]string // of other methods
	text    string            // instructions
	name    string            // of itself
	headers http.Header
	down    bool
}

func newUpstream(t *testing.T, tools ...string) *upstream {
	t.Helper()
	u := &upstream{tools: tools}
	u.url = serve(t, u)
	return u
}

// tool returns a definition.
func tool(name, description string) string {
	return fmt.Sprintf(`{"name":%q,"description":%q,"inputSchema":{"type":"object"}}`, name, description)
}

func (u *upstream) offer(tools ...string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.tools = tools
}

// say sets the result of a method, and with it the capability.
func (u *upstream) say(method, result string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.results == nil {
		u.results = make(map[string]string)
	}
	u.results[method] = result
}

// greet sets the instructions.
func (u *upstream) greet(text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.text = text
}

// claim sets what the upstream calls itself.
func (u *upstream) claim(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.name = name
}

// hello is what the upstream says of itself.
func (u *upstream) hello() string {
	capabilities := `"tools":{}`
	if u.results != nil {
		capabilities += `,"prompts":{},"resources":{}`
	}
	return `{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{` + capabilities + `},"instructions":` +
		string(mcp.AppendString(nil, u.text)) + `,"ttlMs":0,"cacheScope":"private","_meta":{"io.modelcontextprotocol/serverInfo":{"name":` +
		string(mcp.AppendString(nil, u.name)) + `,"version":"1"}}}`
}

func (u *upstream) stop(down bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.down = down
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.headers = r.Header.Clone()
	if u.down {
		http.Error(w, "CANARY-UPSTREAM", http.StatusServiceUnavailable)
		return
	}
	var request mcp.Request
	body, err := io.ReadAll(r.Body)
	if err == nil {
		if scanned := mcp.ScanRequest(body, mcp.Limits{}, &request); scanned != nil {
			err = scanned
		}
	}
	if err != nil {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	result, found := u.results[request.Method]
	if !found {
		result = u.hello()
	}
	if request.Method == mcp.MethodToolsList {
		result = `{"resultType":"complete","tools":[` + strings.Join(u.tools, ",") + `]}`
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(mcp.WriteResult(nil, request.ID.Of(body), []byte(result)))
}

// add adds the upstream as a server.
func (r *rig) add(t *testing.T, name string, u *upstream, approve bool) *adminv1.AddServerResponse {
	t.Helper()
	return must(r.local.servers.AddServer(t.Context(), connect.NewRequest(&adminv1.AddServerRequest{
		Name: name, Url: u.url, Private: true, Approve: approve,
	}))).or(t)
}

// actions returns what administrators did, newest first, as "action target".
func (r *rig) actions(t *testing.T) (out []string) {
	t.Helper()
	changes := must(r.local.audit.ListChanges(t.Context(), connect.NewRequest(&adminv1.ListChangesRequest{PageSize: 1000}))).or(t)
	for _, c := range changes.GetChanges() {
		out = append(out, c.GetAction()+" "+c.GetTarget())
	}
	return out
}

// syncBuffer is a buffer that many may write to.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
