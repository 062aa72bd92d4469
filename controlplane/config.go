package controlplane

import (
	"cmp"
	"crypto/tls"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"

	"github.com/warder-gateway/warder/controlplane/internal/enrollment"
	"github.com/warder-gateway/warder/controlplane/internal/signon"
	"github.com/warder-gateway/warder/internal/address"
	"github.com/warder-gateway/warder/internal/build"
	"github.com/warder-gateway/warder/internal/fault"
)

const (
	defaultListen     = "127.0.0.1:8443"
	defaultNodeListen = "127.0.0.1:8444"

	// defaultDiscoverEvery stands in docs/concepts.md.
	defaultDiscoverEvery = 5 * time.Minute
	minDiscoverEvery     = time.Second
)

// MaxRejoinWithin bounds Config.RejoinWithin.
const MaxRejoinWithin = enrollment.MaxRejoinWithin

// Config is what a control plane can be told. DatabaseURL and DataDir are
// required.
type Config struct {
	// DatabaseURL is the database, as the role that serves. Secret.
	DatabaseURL string
	// MigrateURL is the same database as the owner of its schema; empty: the role
	// that serves owns it. Secret.
	MigrateURL string
	// DataDir holds the key-encryption key, the setup token and the local socket.
	DataDir string
	// KEKFile has the key-encryption keys; empty: "kek" in DataDir.
	KEKFile string
	// KEK are the key-encryption keys themselves, as in the file, which is not read
	// then. Empty: WARDER_KEK of the environment. Secret.
	KEK string

	// Listen is the address of the admin API and the dashboard. With Open it only
	// names a host under which people come.
	Listen string
	// NodeListen is the address for nodes and agents: gRPC with mutual TLS. Open does not
	// listen there.
	NodeListen string
	// NodeAddress is host:port by which they reach that; people who let one in are told.
	// Empty: what NodeListen came to, if that names a host. With Open it may lack the host.
	NodeAddress string
	// AllowedHosts are further host names under which people come.
	AllowedHosts []string
	// PublicURL is the origin under which browsers reach the administration, for
	// single sign-on; empty: that of Listen if it is on loopback.
	PublicURL string
	// TLSCert and TLSKey are the certificate for people, in PEM files; empty: in
	// the clear.
	TLSCert, TLSKey string
	// BehindProxy says that a proxy in front speaks TLS to people.
	BehindProxy bool

	// DiscoverEvery is how often each server is asked what it offers, whatever it says
	// of itself: the longest that a change stays unseen of one that does not tell.
	DiscoverEvery time.Duration

	// RejoinWithin is how long after its certificate has expired a node or an agent may
	// come back without a join token, at most MaxRejoinWithin; 0: not at all. Nil: a
	// week.
	RejoinWithin *time.Duration

	// Log takes what an operator should know; nil: discarded.
	Log *slog.Logger
	// Registerer takes the metrics; nil: nobody reads them.
	Registerer prometheus.Registerer
	// Version is that of this build; empty: build.Version.
	Version string
}

// Flags adds the settings that a command line has, with c's present value or
// else the default. Those that are secret have none, since help shows defaults.
func (c *Config) Flags(fs *pflag.FlagSet) {
	fs.StringVar(&c.DatabaseURL, "database-url", "", "PostgreSQL 15 or later, as postgres://user:password@host/database")
	fs.StringVar(&c.MigrateURL, "migrate-url", "", "the same database as the owner of its schema, if another role serves")
	fs.StringVar(&c.DataDir, "data-dir", c.DataDir, "directory for the key-encryption key, the setup token and the local socket")
	fs.StringVar(&c.KEKFile, "kek-file", c.KEKFile, "the key-encryption keys, one a line, the newest first (default: kek in the data directory)")
	fs.StringVar(&c.Listen, "listen", cmp.Or(c.Listen, defaultListen), "address of the admin API and the dashboard")
	fs.StringVar(&c.NodeListen, "node-listen", cmp.Or(c.NodeListen, defaultNodeListen), "address for nodes and agents: gRPC with mutual TLS")
	fs.StringVar(&c.NodeAddress, "node-address", c.NodeAddress, "HOST:PORT by which nodes and agents reach --node-listen, for the commands that are shown with join tokens (default: the same)")
	fs.StringSliceVar(&c.AllowedHosts, "allowed-host", c.AllowedHosts, "further host name under which people come (repeatable)")
	fs.StringVar(&c.PublicURL, "public-url", c.PublicURL, "`origin` under which browsers reach the dashboard, for single sign-on: https://HOST[:PORT]")
	fs.StringVar(&c.TLSCert, "tls-cert", c.TLSCert, "certificate for people, in PEM")
	fs.StringVar(&c.TLSKey, "tls-key", c.TLSKey, "key of the certificate, in PEM")
	fs.DurationVar(&c.DiscoverEvery, "discover-every", cmp.Or(c.DiscoverEvery, defaultDiscoverEvery), "how often each server is asked what it offers")
	within := enrollment.DefaultRejoinWithin
	if c.RejoinWithin != nil {
		within = *c.RejoinWithin
	}
	c.RejoinWithin = fs.Duration("rejoin-within", within, "how long after its certificate has expired a node or an agent may come back without a join token (0: not at all; at most 720h)")
	fs.BoolVar(&c.BehindProxy, "behind-proxy", c.BehindProxy, "a proxy in front speaks TLS to people")
}

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	c.Listen = cmp.Or(c.Listen, defaultListen)
	c.NodeListen = cmp.Or(c.NodeListen, defaultNodeListen)
	c.DiscoverEvery = cmp.Or(c.DiscoverEvery, defaultDiscoverEvery)
	if c.RejoinWithin == nil {
		c.RejoinWithin = new(enrollment.DefaultRejoinWithin)
	}
	c.KEKFile = cmp.Or(c.KEKFile, filepath.Join(c.DataDir, "kek"))
	c.KEK = cmp.Or(c.KEK, os.Getenv("WARDER_KEK"))
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
	case c.DatabaseURL == "":
		return fault.New(fault.Invalid, "no database; name one with --database-url or WARDER_DATABASE_URL, or run 'warder up', which brings its own")
	case c.DataDir == "":
		return fault.New(fault.Invalid, "no data directory; name one with --data-dir")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return fault.New(fault.Invalid, "--tls-cert and --tls-key belong together; give both or neither")
	case c.DiscoverEvery != 0 && c.DiscoverEvery < minDiscoverEvery:
		return fault.New(fault.Invalid, "--discover-every must be at least "+minDiscoverEvery.String())
	}
	if within := c.RejoinWithin; within != nil && (*within < 0 || *within > MaxRejoinWithin) {
		return fault.Newf(fault.Invalid, "--rejoin-within must be from 0 to %s", MaxRejoinWithin)
	}
	if _, err := c.publicURL(); err != nil {
		return err
	}
	for flag, listen := range map[string]string{"--listen": c.Listen, "--node-listen": c.NodeListen} {
		if listen == "" {
			continue // The default is good.
		}
		if err := address.CheckListen(flag, listen); err != nil {
			return err
		}
	}
	return nil
}

// validateNodeAddress refuses what nobody could dial.
func (c *Config) validateNodeAddress() error {
	if c.NodeAddress == "" {
		return nil
	}
	return address.CheckDial("--node-address", c.NodeAddress, "the control plane")
}

// makeDataDir makes the data directory, for this user alone.
func (c *Config) makeDataDir() error {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fault.Wrap(fault.Precondition, "the data directory cannot be made: "+err.Error(), err)
	}
	return nil
}

// validateListen refuses to send passwords over a network in the clear.
func (c *Config) validateListen() error {
	return address.CheckClear(c.Listen, c.TLSCert != "" || c.BehindProxy, "passwords")
}

// hosts returns the names, besides those of loopback, under which people come.
func (c *Config) hosts() (hosts []string) {
	if host := address.Host(c.Listen); host != "" {
		hosts = append(hosts, host)
	}
	if u, err := url.Parse(c.PublicURL); err == nil && u.Hostname() != "" {
		hosts = append(hosts, u.Hostname())
	}
	return append(hosts, c.AllowedHosts...)
}

// publicURL returns the origin under which browsers come; empty if nobody can know.
func (c *Config) publicURL() (string, error) {
	switch {
	case c.PublicURL != "":
		return signon.ParsePublicURL(c.PublicURL)
	case c.BehindProxy:
		return "", nil // They come to the proxy.
	}
	return signon.LoopbackURL(c.Listen, c.TLSCert != ""), nil
}

// tls returns how the admin listener speaks to people, nil for in the clear.
func (c *Config) tls() (*tls.Config, error) {
	if c.TLSCert == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(c.TLSCert, c.TLSKey)
	if err != nil {
		return nil, fault.Wrap(fault.Precondition, "the certificate for people cannot be read from "+c.TLSCert+" and "+c.TLSKey, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}, nil
}
