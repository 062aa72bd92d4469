package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/agent"
	"github.com/warder-gateway/warder/controlplane"
	"github.com/warder-gateway/warder/dataplane"
	"github.com/warder-gateway/warder/internal/address"
	"github.com/warder-gateway/warder/internal/build"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/localpg"
	"github.com/warder-gateway/warder/internal/localsock"
)

// localName is the name of the node, and of the agent, that 'warder up' runs.
const localName = "local"

// allInOne is all planes in one process:
//
//	clients, people ─▶ public ─┬─▶ node ◀── tunnel ── agent ─▶ servers
//	                           └─▶ control plane ◀─ nodes ─┘ (both join there, as others may)
//	command line ────▶ local ────▶ control plane ─▶ PostgreSQL
//
// open makes the parts (this file), run has them work and stops them (allinonerun.go),
// close lets go of what open took. They are made and started from right to left, and stop
// from left to right: the agent while its node takes back its calls, the node while a
// control plane takes its last audit, the control plane while it has a database.
type allInOne struct {
	config  upConfig
	dataDir string
	log     *slog.Logger

	database *localpg.Server // nil with --database-url
	control  *controlplane.Plane
	node     *dataplane.Plane
	agent    *agent.Config // nil if there is none

	local  net.Listener // the Unix socket of the command line
	nodes  net.Listener // gRPC for nodes and agents, with mutual TLS
	public net.Listener // everything that people and clients see
	// metrics is nil where they are at the public address.
	metrics net.Listener
}

// open takes the ports first, since they fail most often and cost least to find out, then
// starts what the rest stands on.
func (u *allInOne) open(ctx context.Context) error {
	if err := u.openPorts(); err != nil {
		return err
	}
	node := u.nodeConfig()
	if err := node.Validate(); err != nil {
		return err
	}
	u.warnOfHiddenNode()
	if err := u.openDatabase(ctx); err != nil {
		return err
	}
	if err := u.openControlPlane(ctx); err != nil {
		return err
	}
	if err := u.openNode(ctx, node); err != nil {
		return err
	}
	return u.openAgent(ctx)
}

func (u *allInOne) openPorts() (err error) {
	if u.public, err = listen("--listen", u.config.listen); err != nil {
		return err
	}
	if u.nodes, err = listen("--node-listen", u.config.nodeListen); err != nil {
		return err
	}
	if u.config.metrics != "" {
		u.metrics, err = listen("--metrics-listen", u.config.metrics)
	}
	return err
}

// warnOfHiddenNode says so if agents of other machines can join, but not be called. That is
// right only where other nodes take them.
func (u *allInOne) warnOfHiddenNode() {
	join, _, _ := net.SplitHostPort(cmp.Or(u.config.nodeAddress, u.config.nodeListen))
	tunnels, _, _ := net.SplitHostPort(cmp.Or(u.config.tunnelAddress, u.config.tunnelListen))
	if !address.IsLoopback(join) && address.IsLoopback(tunnels) {
		u.log.Warn("agents of other machines can join, but do not reach this node; give --tunnel-listen an address that they reach",
			"node_listen", u.config.nodeListen, "tunnel_listen", u.config.tunnelListen)
	}
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
		DatabaseURL: u.config.databaseURL, DataDir: u.dataDir, Listen: u.public.Addr().String(), NodeAddress: u.forPeers(),
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
	u.local, err = localsock.Listen(u.dataDir, u.log)
	return err
}

// forPeers is where agents and nodes of other processes join, as far as that is known.
func (u *allInOne) forPeers() string {
	if u.config.nodeAddress != "" {
		return u.config.nodeAddress
	}
	return address.Dial(u.config.nodeListen, u.nodes.Addr())
}

func (u *allInOne) nodeConfig() dataplane.Config {
	return dataplane.Config{
		DataDir: filepath.Join(u.dataDir, "node"), Listen: u.public.Addr().String(), BehindProxy: u.config.behindProxy,
		TunnelListen: u.config.tunnelListen, TunnelAddress: u.config.tunnelAddress,
		ControlPlane: address.Here(u.nodes.Addr()),
		AllowedHosts: u.config.hosts, AllowedOrigins: u.config.origins, PublicURLs: u.config.publicURLs,
		Log: u.log.With("plane", "data"), Version: build.Version, Registerer: prometheus.DefaultRegisterer,
	}
}

// openNode admits the node as any other is, but for the join token: it renews its
// certificate over a connection of its own.
func (u *allInOne) openNode(ctx context.Context, config dataplane.Config) (err error) {
	config.Identity, err = u.control.Admit(ctx, identity.Config{
		Kind: identity.Node, ControlPlane: config.ControlPlane, Version: build.Version, Log: config.Log,
	}, localName)
	if err != nil {
		return fmt.Errorf("admit the local node: %w", err)
	}
	u.node, err = dataplane.Open(ctx, config)
	return err
}

// openAgent admits the agent as the node is. What administrators assign to it runs as the
// user who started all this. On loopback they are that user; where others come they may be
// others, and then it needs a file that says what it allows.
func (u *allInOne) openAgent(ctx context.Context) error {
	if !u.config.alone() && u.config.agentFile == "" {
		return nil
	}
	log, at := u.log.With("plane", "agent"), address.Here(u.nodes.Addr())
	who, err := u.control.Admit(ctx, identity.Config{
		Kind: identity.Agent, ControlPlane: at, Version: build.Version, Log: log,
	}, localName)
	if err != nil {
		return fmt.Errorf("admit the local agent: %w", err)
	}
	u.agent = &agent.Config{
		File: u.config.agentFile, AllowAny: u.config.agentFile == "",
		ControlPlane: at, DataDir: filepath.Join(u.dataDir, "local-agent"), Identity: who,
		Version: build.Version, Log: log,
	}
	return nil
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
