package agent

import (
	"cmp"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/warder-gateway/warder/agent/internal/manifest"
	"github.com/warder-gateway/warder/internal/build"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
)

// defaultDrainTime is how long running calls may take at the end.
const defaultDrainTime = 10 * time.Second

// Config says where an agent finds what it needs. File, Version and Log are all that Test reads; RunFlags sets the rest.
type Config struct {
	// File is the agent's file; its form is in package manifest.
	File string
	// AllowAny says that there is no file, and that everything may be assigned: for an agent whose user is whoever
	// assigns, as under 'warder up'.
	AllowAny bool

	// ControlPlane is host:port of the control plane's listener for nodes and agents.
	ControlPlane string
	// DataDir holds the agent's identity and its last orders, for its user alone. It is made if it is not there.
	DataDir string
	// Identity is who the agent is; Run renews it. Nil: what lies in DataDir, or what a join token buys.
	Identity *identity.Identity
	// JoinToken is needed the first time, and to be let in again; it may stay. Empty: the content of JoinTokenFile, else
	// WARDER_JOIN_TOKEN of the environment. Secret.
	JoinToken     string
	JoinTokenFile string
	// DrainTime is how long running calls may take at the end, and when a tunnel is given up. Zero: 10 s.
	DrainTime time.Duration

	// Screen is where Run shows what the agent does, while it does it; nil: nowhere. NoView says not to, though it is there.
	Screen *Screen
	NoView bool

	// Version is shown to servers and to the control plane.
	Version string
	// Log gets nothing while a view is on the screen that it writes to, and then the last errors.
	Log *slog.Logger
}

// Flags registers a flag for what Test reads, with c's present value or else the default.
func (c *Config) Flags(fs *pflag.FlagSet) {
	fs.StringVar(&c.File, "config", c.File, "the agent's file (default: warder/agent.yaml in your configuration directory, such as ~/.config)")
}

// RunFlags registers a flag for each setting of Run but the data directory, with c's present value or else the default.
func (c *Config) RunFlags(fs *pflag.FlagSet) {
	c.Flags(fs)
	fs.StringVar(&c.ControlPlane, "control-plane", c.ControlPlane, "host:port of the control plane's node listener")
	fs.StringVar(&c.JoinToken, "join-token", "", "join token to begin with, which others may read among the processes: a file or WARDER_JOIN_TOKEN hides it")
	fs.StringVar(&c.JoinTokenFile, "join-token-file", c.JoinTokenFile, "file with the join token")
	fs.DurationVar(&c.DrainTime, "drain-time", cmp.Or(c.DrainTime, defaultDrainTime), "how long running calls may take at the end")
	fs.BoolVar(&c.NoView, "no-view", c.NoView, "log as elsewhere, and show no view, though this is a terminal")
}

// defaultFile is agent.yaml in the directory where the system has its user's configuration.
func defaultFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "warder", "agent.yaml")
}

// DefaultDataDir is where an agent that runs apart keeps what is its own; empty if the system has no such place.
func DefaultDataDir() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "warder", "agent")
}

// CheckFile says what is wrong with an agent's file, and where, for whoever starts much besides the agent. Run does the same.
func CheckFile(name string) error {
	_, err := manifest.Load(name)
	return err
}

func (c Config) withDefaults() (Config, error) {
	if !c.AllowAny {
		c.File = cmp.Or(c.File, defaultFile())
	}
	if c.File == "" && !c.AllowAny {
		return c, fault.New(fault.Invalid, "there is no place for the agent's file; name it with --config")
	}
	if c.JoinTokenFile == "" {
		c.JoinToken = cmp.Or(c.JoinToken, os.Getenv("WARDER_JOIN_TOKEN"))
	}
	c.DrainTime = cmp.Or(c.DrainTime, defaultDrainTime)
	c.Version = cmp.Or(c.Version, build.Version)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// validate says what is wrong with the settings of Run, and what to do about it.
func (c *Config) validate() error {
	switch {
	case c.ControlPlane == "":
		return fault.New(fault.Invalid, "no control plane; name its node listener with --control-plane HOST:PORT")
	case c.DataDir == "":
		return fault.New(fault.Invalid, "no data directory; name one with --data-dir")
	case c.JoinToken != "" && c.JoinTokenFile != "":
		return fault.New(fault.Invalid, "--join-token and --join-token-file exclude each other")
	case c.DrainTime < 0:
		return fault.New(fault.Invalid, "--drain-time must not be negative")
	}
	if _, _, err := net.SplitHostPort(c.ControlPlane); err != nil {
		return fault.Wrap(fault.Invalid, "--control-plane must be HOST:PORT, not "+c.ControlPlane, err)
	}
	return nil
}
