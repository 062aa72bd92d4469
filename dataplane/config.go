package dataplane

import (
	"cmp"
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/warder-gateway/warder/internal/address"
	"github.com/warder-gateway/warder/internal/build"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
)

// Config says where a node finds what it needs. Flags sets the defaults of what
// has a flag; Open those of the rest.
type Config struct {
	// DataDir holds the last snapshot, the key that it is sealed with, and the audit
	// events that the control plane has not taken. It is of one process, and made if it
	// is not there.
	DataDir string
	// Listen is the address for clients. Its host, unless it stands for all
	// addresses, is one of the names that clients may use.
	Listen string
	// ControlPlane is host:port of the control plane's node listener.
	ControlPlane string

	// Identity is who the node is. Nil: what lies in IdentityDir, or what a join token
	// buys, which is kept there.
	Identity    *identity.Identity
	IdentityDir string
	// JoinToken is needed the first time, and to be let in again; it may stay. Empty:
	// the content of JoinTokenFile, else WARDER_JOIN_TOKEN of the environment. Secret.
	JoinToken     string
	JoinTokenFile string

	// AllowedHosts are further names, without port, that clients may use.
	AllowedHosts []string
	// AllowedOrigins are web origins (scheme://host[:port]) that may call,
	// besides the node's own.
	AllowedOrigins []string

	// TunnelListen is the address for agents and other nodes; empty: the node has no
	// part in tunnels, and servers of agents cannot be called through it.
	TunnelListen string
	// TunnelAddress is host:port by which they reach that. Default: what TunnelListen
	// came to, which is good if it names a host.
	TunnelAddress string

	// PublicURLs are scheme://host[:port] of the node as its clients know it; their
	// hosts are names that clients may use. Tokens of issuers are for endpoints below
	// them. Empty: on loopback, whatever the client calls it by.
	PublicURLs []string

	// TLSCert and TLSKey are files in PEM; both or neither.
	TLSCert, TLSKey string
	// BehindProxy says that a proxy in front speaks TLS to clients.
	BehindProxy bool
	// MetricsListen is an address for metrics and health; empty means that they
	// are served at Listen.
	MetricsListen string
	// Pprof serves profiles of the process at /debug/pprof/ of MetricsListen,
	// which must then be on loopback: a profile holds what passes through memory.
	Pprof bool

	// MaxBody bounds a message, in bytes, MaxRequests the requests at once,
	// MaxRequestsPerKey those of them that are of one key, and AuditBytes the events that wait for the control plane. Zero
	// means the default of the package that holds the bound.
	MaxBody           int64
	MaxRequests       int64
	MaxRequestsPerKey int64
	AuditBytes        int64
	// AuditSync says which calls wait until their audit record is on the disk. Empty means SyncRisky.
	AuditSync AuditSync
	// auditDisk is spool.Config.Disk, for tests.
	auditDisk func(sync func() error) error
	// DrainTime is how long running calls may take at the end, and FlushTime how
	// long the control plane may take none of the last audit events before they are
	// given up. Zero means the default.
	DrainTime, FlushTime time.Duration

	Log *slog.Logger
	// Version is shown to clients and to the control plane.
	Version string
	// Registerer gets the metrics; nil means that they are nowhere to be seen.
	Registerer prometheus.Registerer
}

// Defaults of what has no other home.
const (
	defaultListen    = "127.0.0.1:7070"
	defaultDrainTime = 30 * time.Second
	defaultFlushTime = 10 * time.Second
)

// Flags registers a flag for each setting of the process apart, with c's present
// value or else the default.
func (c *Config) Flags(fs *pflag.FlagSet) {
	fs.StringVar(&c.DataDir, "data-dir", c.DataDir, "directory for the last snapshot, the node's key, and audit events that wait")
	fs.StringVar(&c.Listen, "listen", cmp.Or(c.Listen, defaultListen), "address for MCP clients")
	fs.StringVar(&c.ControlPlane, "control-plane", c.ControlPlane, "host:port of the control plane's node listener")
	fs.StringVar(&c.IdentityDir, "identity-dir", c.IdentityDir, "directory where the node keeps its identity (default: <data-dir>/identity)")
	fs.StringVar(&c.JoinToken, "join-token", "", "join token to begin with, which others may read among the processes: a file or WARDER_JOIN_TOKEN hides it")
	fs.StringVar(&c.JoinTokenFile, "join-token-file", c.JoinTokenFile, "file with the join token")
	fs.StringSliceVar(&c.AllowedHosts, "allowed-host", c.AllowedHosts, "further host name that clients may use (repeatable)")
	fs.StringSliceVar(&c.AllowedOrigins, "allowed-origin", c.AllowedOrigins, "web origin that may call, for example https://tools.example.com (repeatable)")
	fs.StringSliceVar(&c.PublicURLs, "public-url", c.PublicURLs, "URL of this node as clients know it, for example https://mcp.example.com (repeatable); OAuth clients need it")
	fs.StringVar(&c.TunnelListen, "tunnel-listen", c.TunnelListen, "address for agents and other nodes, for example 0.0.0.0:7071 (default: no tunnels)")
	fs.StringVar(&c.TunnelAddress, "tunnel-address", c.TunnelAddress, "HOST:PORT by which agents and other nodes reach --tunnel-listen (default: the same)")
	fs.StringVar(&c.TLSCert, "tls-cert", c.TLSCert, "certificate for clients, in PEM")
	fs.StringVar(&c.TLSKey, "tls-key", c.TLSKey, "key of the certificate, in PEM")
	fs.BoolVar(&c.BehindProxy, "behind-proxy", c.BehindProxy, "a proxy in front speaks TLS to clients")
	fs.StringVar(&c.MetricsListen, "metrics-listen", c.MetricsListen, "address for /metrics and health (default: with the clients)")
	fs.BoolVar(&c.Pprof, "pprof", c.Pprof, "serve profiles at /debug/pprof/ of --metrics-listen, which must be on loopback")
	fs.Int64Var(&c.MaxBody, "max-body", c.MaxBody, "largest message in bytes (default 4 MiB)")
	fs.Int64Var(&c.MaxRequests, "max-requests", c.MaxRequests, "most requests at once (default 4096)")
	fs.Int64Var(&c.MaxRequestsPerKey, "max-requests-per-key", c.MaxRequestsPerKey, "most requests at once of one API key (default 256)")
	fs.Int64Var(&c.AuditBytes, "audit-queue-bytes", c.AuditBytes, "most bytes of audit events to hold for the control plane, on disk (default 64 MiB)")
	fs.StringVar((*string)(&c.AuditSync), "audit-sync", string(cmp.Or(c.AuditSync, SyncRisky)), "calls whose audit record is on the disk before they are made: risky (of what destroys, administrates, executes or is not classified), all or none")
	fs.DurationVar(&c.DrainTime, "drain-time", cmp.Or(c.DrainTime, defaultDrainTime), "how long running calls may take at the end")
}

func (c Config) withDefaults() Config {
	c.Listen = cmp.Or(c.Listen, defaultListen)
	c.IdentityDir = cmp.Or(c.IdentityDir, filepath.Join(c.DataDir, "identity"))
	if c.JoinTokenFile == "" {
		c.JoinToken = cmp.Or(c.JoinToken, os.Getenv("WARDER_JOIN_TOKEN"))
	}
	c.AuditSync = cmp.Or(c.AuditSync, SyncRisky)
	c.DrainTime = cmp.Or(c.DrainTime, defaultDrainTime)
	c.FlushTime = cmp.Or(c.FlushTime, defaultFlushTime)
	c.Version = cmp.Or(c.Version, build.Version)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Registerer == nil {
		c.Registerer = prometheus.NewRegistry()
	}
	return c
}

// Validate says what is wrong with the settings, and what to do about it.
func (c *Config) Validate() error {
	switch {
	case c.DataDir == "":
		return fault.New(fault.Invalid, "no data directory; name one with --data-dir")
	case c.ControlPlane == "":
		return fault.New(fault.Invalid, "no control plane; name its node listener with --control-plane HOST:PORT")
	case c.JoinToken != "" && c.JoinTokenFile != "":
		return fault.New(fault.Invalid, "--join-token and --join-token-file exclude each other")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return fault.New(fault.Invalid, "--tls-cert and --tls-key belong together; give both or neither")
	case c.MaxBody < 0 || c.MaxRequests < 0 || c.MaxRequestsPerKey < 0 || c.AuditBytes < 0:
		return fault.New(fault.Invalid, "limits must not be negative")
	}
	if _, _, err := net.SplitHostPort(c.ControlPlane); err != nil {
		return fault.Wrap(fault.Invalid, "--control-plane must be HOST:PORT, not "+c.ControlPlane, err)
	}
	if err := c.AuditSync.validate(); err != nil {
		return err
	}
	if err := c.validatePprof(); err != nil {
		return err
	}
	if err := c.validateTunnels(); err != nil {
		return err
	}
	for _, given := range c.PublicURLs {
		if _, err := address.ParseBase(given); err != nil {
			return fault.Wrap(fault.Invalid, "--public-url "+given+": "+fault.Text(err), err)
		}
	}
	if c.Listen == "" {
		return nil // Open takes the default, which is good
	}
	return c.validateListen()
}

// validatePprof keeps profiles from the clients' address and from networks.
func (c *Config) validatePprof() error {
	host, _, _ := net.SplitHostPort(c.MetricsListen) // Without a port there is no host either.
	if c.Pprof && !address.IsLoopback(host) {
		return fault.New(fault.Invalid, "--pprof needs an address of its own on loopback, for example --metrics-listen 127.0.0.1:9090")
	}
	return nil
}

// validateTunnels sees to it that others can reach what the node says.
func (c *Config) validateTunnels() error {
	if c.TunnelListen == "" {
		if c.TunnelAddress != "" {
			return fault.New(fault.Invalid, "--tunnel-address is of no use without --tunnel-listen")
		}
		return nil
	}
	if err := address.CheckListen("--tunnel-listen", c.TunnelListen); err != nil {
		return err
	}
	if c.TunnelAddress != "" {
		return address.CheckDial("--tunnel-address", c.TunnelAddress, "the node")
	}
	if address.Host(c.TunnelListen) == "" {
		return fault.New(fault.Invalid, "--tunnel-listen "+c.TunnelListen+" names no host by which others reach the node; say it with --tunnel-address HOST:PORT")
	}
	return nil
}

// validateListen refuses to send API keys over a network in the clear.
func (c *Config) validateListen() error {
	return address.CheckClear(c.Listen, c.TLSCert != "" || c.BehindProxy, "API keys")
}

// hosts returns the names by which clients may call the node.
func (c *Config) hosts() []string {
	hosts := append([]string{"localhost", "127.0.0.1", "::1"}, c.AllowedHosts...)
	if host := address.Host(c.Listen); host != "" {
		hosts = append(hosts, host)
	}
	for _, base := range c.publicURLs() {
		_, host, _ := strings.Cut(base, "://")
		hosts = append(hosts, host)
	}
	return hosts
}

// publicURLs returns the public URLs as they are compared. They have been checked.
func (c *Config) publicURLs() []string {
	urls := make([]string, len(c.PublicURLs))
	for i, given := range c.PublicURLs {
		urls[i], _ = address.ParseBase(given)
	}
	return urls
}

// loopback reports whether only this machine reaches the node, and by no proxy.
func (c *Config) loopback() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	return err == nil && address.IsLoopback(host) && !c.BehindProxy
}

// obtain returns who the node is.
func (c *Config) obtain(ctx context.Context) (*identity.Identity, error) {
	if c.Identity != nil {
		return c.Identity, nil
	}
	token, err := identity.GivenToken(c.JoinToken, c.JoinTokenFile)
	if err != nil {
		return nil, err
	}
	return identity.Obtain(ctx, identity.Config{
		Kind: identity.Node, Dir: c.IdentityDir, ControlPlane: c.ControlPlane, Version: c.Version, Log: c.Log,
	}, token)
}

// clientTLS returns how the node speaks to clients, nil for in the clear.
func (c *Config) clientTLS() (*tls.Config, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fault.Wrap(fault.Precondition, "the certificate for clients cannot be read from "+c.TLSCert+" and "+c.TLSKey, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}, nil
}
