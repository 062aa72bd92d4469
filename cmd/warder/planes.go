package main

import (
	"cmp"
	"context"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/warder-gateway/warder/controlplane"
	"github.com/warder-gateway/warder/dataplane"
	"github.com/warder-gateway/warder/internal/build"
	"github.com/warder-gateway/warder/internal/stopsignal"
)

// logLevels are the words of --log-level.
var logLevels = []string{"debug", "info", "warn", "error"}

func (c *cli) controlPlaneCommand() *cobra.Command {
	config := controlplane.Config{Version: build.Version}
	cmd := &cobra.Command{
		Use:   "controlplane",
		Short: "Run a control plane alone",
		Long: `Run a control plane alone: it owns the database, serves the dashboard and the
admin API, and streams snapshots to data planes over mutual TLS.`,
		Example: "  warder controlplane --database-url postgres://warder@db.corp/warder --listen 127.0.0.1:8443 --node-listen :8444",
	}
	config.Flags(cmd.Flags())
	return c.runs(cmd, func(ctx context.Context, log *slog.Logger) error {
		config.Log, config.DataDir = log, cmp.Or(config.DataDir, c.dataDir)
		return controlplane.Run(ctx, config)
	})
}

func (c *cli) dataPlaneCommand() *cobra.Command {
	config := dataplane.Config{Version: build.Version}
	cmd := &cobra.Command{
		Use:   "dataplane",
		Short: "Run a data plane (a node) alone",
		Long: `Run a data plane alone: it serves MCP clients by the snapshot that a control
plane streams to it, and goes on by its last good one while there is none.
'warder join-token create --kind node' makes the token with which it joins the first
time; after that it renews its certificate by itself, also when that has expired.`,
		Example: "  warder dataplane --control-plane control.corp:8444 --join-token-file /etc/warder/join-token --listen :8443 --tls-cert cert.pem --tls-key key.pem",
	}
	config.Flags(cmd.Flags())
	return c.runs(cmd, func(ctx context.Context, log *slog.Logger) error {
		config.Log, config.DataDir = log, cmp.Or(config.DataDir, filepath.Join(c.dataDir, "node"))
		return dataplane.Run(ctx, config)
	})
}

// runs has a command run a plane or an agent until it is told to stop. What is
// logged at least is a flag of it.
func (c *cli) runs(cmd *cobra.Command, run func(ctx context.Context, log *slog.Logger) error) *cobra.Command {
	var level string
	cmd.Args = exactly()
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		log, err := c.logger(level)
		if err != nil {
			return err
		}
		stopsignal.OutliveReaders()
		if err = run(cmd.Context(), log); cmd.Context().Err() != nil {
			return nil // It was asked to stop.
		}
		return startError(err)
	}
	choose(cmd, &level, "log-level", "info", "what is logged at least", logLevels...)
	return cmd
}
