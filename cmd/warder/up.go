package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/warder-gateway/warder/agent"
	"github.com/warder-gateway/warder/internal/address"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/stopsignal"
)

// anyPort is where those listen by default whom nobody else has to find.
const anyPort = "127.0.0.1:0"

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

	nodeListen, nodeAddress     string // as of 'warder controlplane'
	tunnelListen, tunnelAddress string // as of 'warder dataplane'
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
the machine. Ctrl-C stops everything.

Agents of other machines join at --node-listen and are called through --tunnel-listen,
both over mutual TLS. Each must then be an address that they reach.`,
		Example: `  warder up
  warder up --listen 127.0.0.1:8080 --data-dir ~/warder
  warder up --node-listen gateway.corp:8444 --tunnel-listen gateway.corp:7071
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
	flags.StringVar(&config.agentFile, "agent-config", "", "`file` of the agent named local, which says what may be assigned to it (default: everything; with --behind-proxy, or a host or URL of other machines, there is no such agent without it)")
	flags.StringVar(&config.nodeListen, "node-listen", anyPort, "`address` at which agents and further nodes join, with mutual TLS")
	flags.StringVar(&config.nodeAddress, "node-address", "", "`HOST:PORT` by which they reach --node-listen, for the commands that are shown with join tokens (default: the same)")
	flags.StringVar(&config.tunnelListen, "tunnel-listen", anyPort, "`address` at which agents and further nodes reach this node, with mutual TLS")
	flags.StringVar(&config.tunnelAddress, "tunnel-address", "", "`HOST:PORT` by which they reach --tunnel-listen (default: the same)")
	choose(cmd, &config.logLevel, "log-level", "warn", "what is logged at least", logLevels...)
	return cmd
}

func (c *cli) up(ctx context.Context, config upConfig) error {
	log, err := c.logger(config.logLevel)
	if err != nil {
		return err
	}
	stopsignal.OutliveReaders()
	started := time.Now()
	dataDir, err := filepath.Abs(c.dataDir)
	if err != nil {
		return startError(fmt.Errorf("resolve --data-dir: %w", err))
	}
	if err := config.check(); err != nil {
		return err
	}
	u := &allInOne{config: config, dataDir: dataDir, log: log}
	defer u.close()
	if err := u.open(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return startError(err)
	}
	return u.run(ctx, func() { u.banner(c.stdout, time.Since(started)) })
}

// check finds what is wrong before anything is started. What concerns the node alone its
// own Validate says.
func (c *upConfig) check() error {
	if err := c.checkListen(); err != nil {
		return err
	}
	if err := address.CheckListen("--node-listen", c.nodeListen); err != nil {
		return startError(err)
	}
	if c.nodeAddress != "" {
		if err := address.CheckDial("--node-address", c.nodeAddress, "the control plane"); err != nil {
			return startError(err)
		}
	}
	if c.agentFile == "" {
		return nil
	}
	if err := agent.CheckFile(c.agentFile); err != nil {
		return startError(fmt.Errorf("%s; put it right, or name another file with --agent-config", reason(err)))
	}
	return nil
}

// reason is the text of an error with what the system said, which that of a file leaves out.
func reason(err error) string {
	text := fullText(err)
	if cause := errors.Unwrap(err); cause != nil && fault.Is(err, fault.Precondition) {
		text += ": " + cause.Error()
	}
	return text
}

// checkListen refuses to show the gateway to a network in clear text.
func (c *upConfig) checkListen() error {
	host, _, err := net.SplitHostPort(c.listen)
	if err != nil {
		return usageError(fmt.Errorf("--listen %q is no address; write for example 127.0.0.1:7070", c.listen))
	}
	if c.behindProxy || address.IsLoopback(host) {
		return nil
	}
	return usageError(fmt.Errorf("--listen %s would carry keys in clear text over a network; listen on loopback, "+
		"or put a proxy with TLS in front and say --behind-proxy", c.listen))
}

// alone reports whether nothing says that others than who started all this come to it: a
// proxy in front, or a name under which other machines know it.
func (c *upConfig) alone() bool {
	hosts := slices.Clone(c.hosts)
	for _, text := range c.publicURLs {
		parsed, err := url.Parse(text)
		if err != nil {
			return false
		}
		hosts = append(hosts, parsed.Hostname())
	}
	return !c.behindProxy && !slices.ContainsFunc(hosts, func(host string) bool { return !address.IsLoopback(host) })
}
