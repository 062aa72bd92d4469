package agent

import (
	"cmp"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"github.com/warder-gateway/warder/internal/build"
	"github.com/warder-gateway/warder/internal/fault"
)

// Config says where an agent finds what it needs.
type Config struct {
	// File is the agent's file; its form is in package manifest.
	File string
	// Version is shown to servers and to the control plane.
	Version string
	Log     *slog.Logger
}

// Flags registers a flag for each setting, with c's present value or else the default.
func (c *Config) Flags(fs *pflag.FlagSet) {
	fs.StringVar(&c.File, "config", c.File, "the agent's file (default: warder/agent.yaml in your configuration directory, such as ~/.config)")
}

// defaultFile is agent.yaml in the directory where the system has its user's configuration.
func defaultFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, "warder", "agent.yaml")
}

func (c Config) withDefaults() (Config, error) {
	c.File = cmp.Or(c.File, defaultFile())
	if c.File == "" {
		return c, fault.New(fault.Invalid, "there is no place for the agent's file; name it with --config")
	}
	c.Version = cmp.Or(c.Version, build.Version)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
