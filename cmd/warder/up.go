package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/warder-gateway/warder/agent"
	"github.com/warder-gateway/warder/controlplane"
	"github.com/warder-gateway/warder/dataplane"
	"github.com/warder-gateway/warder/internal/address"
	"github.com/warder-gateway/warder/internal/build"
	"github.com/warder-gateway/warder/internal/httpserver"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/localpg"
	"github.com/warder-gateway/warder/internal/localsock"
)

// localName is the name of the node, and of the agent, that 'warder up' runs.
const localName = "local"

// drainTime bounds how long a stop waits for calls in flight.
const drainTime = 30 * time.Second

// nodePatience bounds how long 'warder up' waits for its node before it says that it is up.
const nodePatience = 10 * time.Second

// upConfig is what 'warder up' can be told.
type upConfig struct {
	listen      string
	databaseURL string
	behindProxy bool
	hosts       []string
	origins     []string
	publicURLs  []string
	logLevel    string
	metrics     string
	agentFile   string
}

func (c *cli) upCommand() *cobra.Command {
	var config upConfig
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Run the whole gateway: control plane, a node, an agent, the dashboard, a private PostgreSQL",
		Long: `Run the whole gateway in one process tree: control plane, one node (data plane)
and the dashboard on one port, with a private PostgreSQL unless --database-url
names another. An agent named local starts what 'warder server add NAME --agent local
-- COMMAND' names, as the user who runs this. It listens on loopback; nothing leaves
the machine. Ctrl-C stops everything.`,
		Example: `  warder up
  warder up --listen 127.0.0.1:8080 --data-dir ~/warder
  warder up --database-url postgres://warder@db.corp/warder`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.up(cmd.Context(), config) },
	}
	flags := cmd.Flags()
	flags.StringVar(&config.listen, "listen", "127.0.0.1:7070", "`address` of the dashboard, the admin API and MCP")
	flags.StringVar(&config.databaseURL, "database-url", "", "use this PostgreSQL (version 15 or later) instead of a private one")
	flags.BoolVar(&config.behindProxy, "behind-proxy", false, "allow another address than loopback without TLS: a proxy in front ends TLS")
	flags.StringSliceVar(&config.hosts, "allowed-host", nil, "a further `host` name under which clients reach it")
	flags.StringSliceVar(&config.origins, "allowed-origin", nil, "an `origin` whose web pages may call it")
	flags.StringSliceVar(&config.publicURLs, "public-url", nil, "`URL` of the gateway as clients and browsers know it, for example https://mcp.example.com; OAuth clients and single sign-on need it unless they are on this machine. Of several, people sign in at the first")
	flags.StringVar(&config.metrics, "metrics-listen", "", "`address` of /metrics alone (default: with all else)")
	flags.StringVar(&config.agentFile, "agent-config", "", "`file` of the agent named local, which says what may be assigned to it (default: everything; behind a proxy there is no such agent without it)")
	choose(cmd, &config.logLevel, "log-level", "warn", "what is logged at least", logLevels...)
	return cmd
}

// allInOne is all planes in one process. Fields are in the order in which they
// start; they stop in the reverse one, so that the node's last audit still
// finds a control plane and the control plane a database.
type allInOne struct {
	config  upConfig
	dataDir string
	log     *slog.Logger

	database *localpg.Server // nil with --database-url
	control  *controlplane.Plane
	node     *dataplane.Plane
	agent    *agent.Config // nil if there is none

	local  net.Listener // the Unix socket of the command line
	nodes  net.Listener // gRPC for the node, loopback
	public net.Listener // everything that people and clients see
	// metrics is nil where they are at the public address.
	metrics net.Listener
}

func (c *cli) up(ctx context.Context, config upConfig) error {
	log, err := c.logger(config.logLevel)
	if err != nil {
		return err
	}
	outliveReaders()
	started := time.Now()
	dataDir, err := filepath.Abs(c.dataDir)
	if err != nil {
		return startError(fmt.Errorf("resolve --data-dir: %w", err))
	}
	u := &allInOne{config: config, dataDir: dataDir, log: log}
	if err := u.checkListen(); err != nil {
		return err
	}
	defer u.close()
	if err := u.open(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return startError(err)
	}
	return u.run(ctx, func() { u.banner(c.stdout, time.Since(started)) })
}

// open takes the port first, since that is what fails most often and costs
// least to find out, then starts what the rest stands on.
func (u *allInOne) open(ctx context.Context) (err error) {
	if u.public, err = listen(u.config.listen); err != nil {
		return err
	}
	if u.config.metrics != "" {
		if u.metrics, err = listen(u.config.metrics); err != nil {
			return err
		}
	}
	if err := u.openDatabase(ctx); err != nil {
		return err
	}
	if err := u.openControlPlane(ctx); err != nil {
		return err
	}
	if err := u.openNode(ctx); err != nil {
		return err
	}
	return u.openAgent(ctx)
}

// checkListen refuses to show the gateway to a network in clear text.
func (u *allInOne) checkListen() error {
	host, _, err := net.SplitHostPort(u.config.listen)
	if err != nil {
		return usageError(fmt.Errorf("--listen %q is no address; write for example 127.0.0.1:7070", u.config.listen))
	}
	if u.config.behindProxy || address.IsLoopback(host) {
		return nil
	}
	return usageError(fmt.Errorf("--listen %s would carry keys in clear text over a network; listen on loopback, "+
		"or put a proxy with TLS in front and say --behind-proxy", u.config.listen))
}

// makeDataDir makes the directory that everything lives in. Root lets other
// users pass through, since PostgreSQL runs as one; the secrets in it are 0600.
func makeDataDir(dir string) error {
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("make the data directory: %w; name another with --data-dir", err)
	}
	return nil
}

func (u *allInOne) openDatabase(ctx context.Context) (err error) {
	if u.config.databaseURL != "" {
		return nil // The control plane makes the directory, once the database is known to fit it.
	}
	if err := makeDataDir(u.dataDir); err != nil {
		return err
	}
	u.database, err = localpg.Start(ctx, localpg.Config{Root: u.dataDir, Log: u.log}.WithEnv(os.Getenv))
	return err
}

func (u *allInOne) openControlPlane(ctx context.Context) (err error) {
	config := controlplane.Config{
		DatabaseURL: u.config.databaseURL, DataDir: u.dataDir, Listen: u.public.Addr().String(),
		AllowedHosts: u.config.hosts, BehindProxy: u.config.behindProxy,
		Log: u.log.With("plane", "control"), Version: build.Version, Registerer: prometheus.DefaultRegisterer,
		// All that comes back to it is of this process, after the machine slept.
		RejoinWithin: new(controlplane.MaxRejoinWithin),
	}
	if len(u.config.publicURLs) > 0 {
		config.PublicURL = u.config.publicURLs[0]
	}
	if u.database != nil {
		config.DatabaseURL, config.MigrateURL = u.database.AppDSN, u.database.OwnerDSN
	}
	if u.control, err = controlplane.Open(ctx, config); err != nil {
		return err
	}
	if u.local, err = localsock.Listen(u.dataDir, u.log); err != nil {
		return err
	}
	u.nodes, err = net.Listen("tcp", "127.0.0.1:0")
	return err
}

// openNode admits the node as any other is, but for the join token: it renews its
// certificate over a connection of its own.
func (u *allInOne) openNode(ctx context.Context) error {
	log := u.log.With("plane", "data")
	who, err := u.control.Admit(ctx, identity.Config{
		Kind: identity.Node, ControlPlane: u.nodes.Addr().String(), Version: build.Version, Log: log,
	}, localName)
	if err != nil {
		return fmt.Errorf("admit the local node: %w", err)
	}
	u.node, err = dataplane.Open(ctx, dataplane.Config{
		DataDir: filepath.Join(u.dataDir, "node"), Listen: u.public.Addr().String(), BehindProxy: u.config.behindProxy,
		TunnelListen: "127.0.0.1:0",
		ControlPlane: u.nodes.Addr().String(), Identity: who,
		AllowedHosts: u.config.hosts, AllowedOrigins: u.config.origins, PublicURLs: u.config.publicURLs,
		Log: log, Version: build.Version, Registerer: prometheus.DefaultRegisterer,
	})
	return err
}

// openAgent admits the agent as the node is. What administrators assign to it runs as the
// user who started all this. On loopback they are that user; behind a proxy they may be
// others, and then it needs a file that says what it allows.
func (u *allInOne) openAgent(ctx context.Context) error {
	if u.config.behindProxy && u.config.agentFile == "" {
		return nil
	}
	log := u.log.With("plane", "agent")
	who, err := u.control.Admit(ctx, identity.Config{
		Kind: identity.Agent, ControlPlane: u.nodes.Addr().String(), Version: build.Version, Log: log,
	}, localName)
	if err != nil {
		return fmt.Errorf("admit the local agent: %w", err)
	}
	u.agent = &agent.Config{
		File: u.config.agentFile, AllowAny: u.config.agentFile == "",
		ControlPlane: u.nodes.Addr().String(), DataDir: filepath.Join(u.dataDir, "local-agent"), Identity: who,
		Version: build.Version, Log: log,
	}
	return nil
}

// runAgent runs the agent, if there is one, until ctx ends.
func (u *allInOne) runAgent(ctx context.Context) error {
	if u.agent == nil {
		return nil
	}
	return agent.Run(ctx, *u.agent)
}

// run serves until ctx ends or a part fails, then stops in order. It calls up once
// the node serves, too.
func (u *allInOne) run(ctx context.Context, up func()) error {
	group, failed := errgroup.WithContext(ctx)
	background := context.WithoutCancel(ctx)
	controlCtx, stopControl := context.WithCancel(background)
	nodeCtx, stopNode := context.WithCancel(background)
	agentCtx, stopAgent := context.WithCancel(background)
	defer stopControl()
	defer stopNode()
	defer stopAgent()

	public, socket := publicServer(u.handler(), u.public, u.log)
	local := httpserver.New(u.control.LocalHandler(), u.log)
	public.RegisterOnShutdown(u.control.Drain) // Else a live view would hold up the end.
	nodeDone, agentDone := make(chan struct{}), make(chan struct{})

	group.Go(func() error { return serve(public, socket) })
	group.Go(func() error { return serve(local, u.local) })
	group.Go(func() error { return u.serveMetrics(controlCtx) })
	group.Go(func() error { return u.control.ServeNodes(controlCtx, u.nodes) })
	group.Go(func() error { return u.control.Run(controlCtx) })
	group.Go(func() error { defer close(nodeDone); return u.node.Run(nodeCtx) })
	group.Go(func() error { defer close(agentDone); return u.runAgent(agentCtx) })
	group.Go(func() error { return u.watchDatabase(failed) })
	group.Go(func() error {
		if u.awaitNode(failed) {
			up()
		}
		return nil
	})
	group.Go(func() error {
		<-failed.Done()
		drain, cancel := context.WithTimeout(background, drainTime)
		defer cancel()
		u.node.Drain() // Notification streams end by nothing else.
		shutdown(drain, public)
		stopAgent() // No call needs its servers any more.
		<-agentDone
		stopNode() // The node flushes its audit while the control plane is there.
		<-nodeDone
		shutdown(drain, local)
		stopControl()
		return nil
	})
	err := group.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil // Asked to stop, and stopped: Ctrl-C is no failure here.
	}
	return err
}

// awaitNode waits until the node serves, and reports whether that came before ctx ended.
// One that cannot serve for long is no reason to hide the dashboard, where people see why.
func (u *allInOne) awaitNode(ctx context.Context) bool {
	const look = 10 * time.Millisecond
	deadline := time.After(nodePatience)
	for u.node.Ready() != nil {
		select {
		case <-time.After(look):
		case <-deadline:
			u.log.Error("the node does not serve yet", "error", u.node.Ready())
			return true
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// watchDatabase ends everything when the private PostgreSQL does.
func (u *allInOne) watchDatabase(ctx context.Context) error {
	if u.database == nil {
		return nil
	}
	select {
	case err := <-u.database.Done():
		return err
	case <-ctx.Done():
		return nil
	}
}

// publicServer makes the server of the one port, and the socket that it serves
// from. Clients of MCP are most of who comes, so it is as on a node.
func publicServer(handler http.Handler, plain net.Listener, log *slog.Logger) (*http.Server, net.Listener) {
	server := httpserver.New(handler, log)
	return server, dataplane.Socket(server, plain)
}

// handler shares the one port: MCP to the node, the rest to the control plane.
func (u *allInOne) handler() http.Handler {
	mcp, admin := u.node.Handler(), u.control.AdminHandler()
	mux := http.NewServeMux()
	mux.Handle("/mcp", mcp)
	mux.Handle("/mcp/", mcp)
	mux.Handle(dataplane.MetadataPath, u.node.Metadata())
	if u.metrics == nil {
		mux.Handle("GET /metrics", u.control.Guarded(promhttp.Handler()))
	}
	mux.Handle("GET /readyz", u.ready(admin))
	mux.Handle("/", admin)
	return mux
}

// serveMetrics serves the metrics at an address of their own, if they have one,
// until ctx ends.
func (u *allInOne) serveMetrics(ctx context.Context) error {
	if u.metrics == nil {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.Handler())
	server := httpserver.New(mux, u.log)
	defer context.AfterFunc(ctx, func() { _ = server.Close() })() // Nobody waits for a scrape.
	return serve(server, u.metrics)
}

// ready is the control plane's readiness, once the node can serve as well.
func (u *allInOne) ready(admin http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := u.node.Ready(); err != nil {
			http.Error(w, "node: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		admin.ServeHTTP(w, r)
	}
}

// close releases what open took. It may be called at any point of open.
func (u *allInOne) close() {
	for _, l := range []net.Listener{u.public, u.metrics, u.local, u.nodes} {
		if l != nil {
			_ = l.Close() // The servers have closed theirs already.
		}
	}
	if u.control != nil {
		u.control.Close()
	}
	if u.database != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		if err := u.database.Stop(ctx); err != nil {
			u.log.Error("the private PostgreSQL did not stop in order", "err", err)
		}
	}
}

func serve(s *http.Server, l net.Listener) error {
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// shutdown lets calls in flight end until ctx does, then cuts the rest.
func shutdown(ctx context.Context, s *http.Server) {
	if s.Shutdown(ctx) != nil {
		_ = s.Close()
	}
}
