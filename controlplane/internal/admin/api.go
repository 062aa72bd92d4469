package admin

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/enrollment"
	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/signon"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/internal/seal"
	"github.com/warder-gateway/warder/internal/snapshot"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

// maxRequest bounds a request, in bytes; a policy document is the largest.
const maxRequest = 2 << 20

// maxSettle is how long an answer waits for nodes to apply what it changed.
const maxSettle = time.Second

// Config is what an API is made of. Every field is required but Guard, whose
// zero value serves loopback names only.
type Config struct {
	Store *store.Store
	Desk  *login.Desk
	// SignOn lets people in by providers.
	SignOn *signon.SignOn
	Guard  login.Guard
	// Refresher discovers servers.
	Refresher *catalog.Refresher
	// Keys seal the headers of servers and the seal keys.
	Keys *seal.Vault
	// Pepper keys the hashes of API keys. Secret.
	Pepper []byte
	// CurrentSet returns the snapshot that nodes get; nil before the first.
	CurrentSet func() *snapshot.Set
	// AwaitNodes returns when all connected nodes have answered for a revision,
	// or when the context ends.
	AwaitNodes func(ctx context.Context, revision uint64)
	// Authority signs for nodes and agents.
	Authority *enrollment.Authority
	// ForPeers is host:port by which nodes and agents reach the control plane; without a
	// host if that is not known, and empty if nothing is.
	ForPeers  string
	Version   string
	StartedAt time.Time
	Log       *slog.Logger
}

// API serves the administration. It is safe for concurrent use.
type API struct {
	Config
	services http.Handler
	tails    chan struct{} // one slot a TailCalls stream
	replays  chan struct{} // one slot a SimulatePolicy
	checks   chan struct{} // one slot a CheckPolicy
}

// New returns an API. It fails if the rules in the protos do not compile.
func New(c Config) (*API, error) {
	chain, err := newChain(c.Log)
	if err != nil {
		return nil, err
	}
	a := &API{Config: c, tails: make(chan struct{}, maxTails), replays: make(chan struct{}, maxReplays), checks: make(chan struct{}, maxChecks)}
	a.services = a.mux(chain)
	return a, nil
}

// Handler serves browsers and remote command lines: the caller is whom the
// session cookie names.
func (a *API) Handler() http.Handler {
	return a.Guard.Handler(a.Desk.Handler(a.services))
}

// SignOnHandler serves browsers on their way to providers and back, below
// signon.Prefix.
func (a *API) SignOnHandler() http.Handler {
	return a.Guard.Handler(a.Desk.Handler(a.SignOn.Handler()))
}

// LocalHandler serves the Unix socket: the caller is the local owner.
func (a *API) LocalHandler() http.Handler {
	return login.Local(a.services)
}

// mux mounts every service behind the same interceptors.
func (a *API) mux(c *chain) *http.ServeMux {
	options := connect.WithHandlerOptions(
		connect.WithRecover(c.recovered),
		connect.WithInterceptors(c),
		connect.WithReadMaxBytes(maxRequest),
		// A compressed request would be bounded only after it was inflated.
		connect.WithCompression("gzip", nil, nil),
	)
	mux := http.NewServeMux()
	mux.Handle(adminv1connect.NewAgentServiceHandler(agents{a}, options))
	mux.Handle(adminv1connect.NewEnrollmentServiceHandler(enrollments{a}, options))
	mux.Handle(adminv1connect.NewApplicationServiceHandler(applications{a}, options))
	path, following := adminv1connect.NewAuditServiceHandler(audits{a}, options)
	mux.Handle(path, withWriter(following))
	mux.Handle(adminv1connect.NewHealthServiceHandler(healths{a}, options))
	mux.Handle(adminv1connect.NewKeyServiceHandler(keys{a}, options))
	mux.Handle(adminv1connect.NewLoginServiceHandler(logins{a}, options))
	mux.Handle(adminv1connect.NewNodeServiceHandler(nodes{a}, options))
	mux.Handle(adminv1connect.NewPolicyServiceHandler(policies{a}, options))
	mux.Handle(adminv1connect.NewRoleServiceHandler(roles{a}, options))
	mux.Handle(adminv1connect.NewSealKeyServiceHandler(sealKeys{a}, options))
	mux.Handle(adminv1connect.NewServerServiceHandler(servers{a}, options))
	mux.Handle(adminv1connect.NewToolServiceHandler(tools{a}, options))
	mux.Handle(adminv1connect.NewUserServiceHandler(users{a}, options))
	mux.Handle(adminv1connect.NewAlertServiceHandler(alerts{a}, options))
	mux.Handle(adminv1connect.NewDenialServiceHandler(denials{a}, options))
	mux.Handle(adminv1connect.NewIssuerServiceHandler(issuers{a}, options))
	mux.Handle(adminv1connect.NewProviderServiceHandler(providers{a}, options))
	mux.Handle(adminv1connect.NewSecretServiceHandler(secrets{a}, options))
	return mux
}

// change runs a mutation that concerns nodes, as the caller of the request. It
// returns when connected nodes have applied it, or a moment later: a node that is
// slow must not hold up an administrator.
func (a *API) change(ctx context.Context, fn func(*store.Tx) error) (revision uint64, err error) {
	revision, err = a.Store.Change(ctx, login.From(ctx).Name, fn)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, maxSettle)
	defer cancel()
	a.AwaitNodes(ctx, revision)
	return revision, nil
}

// act runs a mutation that does not concern nodes, as the caller of the request.
func (a *API) act(ctx context.Context, fn func(*store.Tx) error) error {
	return a.Store.Act(ctx, login.From(ctx).Name, fn)
}

// reply wraps an answer.
func reply[T any](message *T) *connect.Response[T] { return connect.NewResponse(message) }
