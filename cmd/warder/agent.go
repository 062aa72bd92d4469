package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/warder-gateway/warder/agent"
	"github.com/warder-gateway/warder/internal/build"
)

func (c *cli) agentCommand() *cobra.Command {
	return group("agent", "Servers beside this machine, for nodes that cannot reach them", c.agentRun(), c.agentTest(), c.agentList(), c.agentRevoke(), c.agentRemove())
}

func (c *cli) agentRun() *cobra.Command {
	config := agent.Config{Version: build.Version}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run an agent",
		Long: `Run an agent: it serves the servers of its file, and those assigned to it that the
file allows, through tunnels that it dials to nodes. 'warder join-token create --kind agent'
makes the token with which it joins the first time; after that it renews its
certificate by itself. Without the control plane it goes on by its last orders.
In a terminal it shows what it does; elsewhere, and with --no-view, it logs.`,
		Example: "  warder agent run --control-plane control.corp:8444 --join-token-file /etc/warder/join-token --config agent.yaml",
	}
	config.RunFlags(cmd.Flags())
	return c.runs(cmd, func(ctx context.Context, log *slog.Logger) error {
		config.Log, config.DataDir = log, cmp.Or(config.DataDir, filepath.Join(c.dataDir, "agent"))
		if c.output != "json" {
			config.Screen = agent.FindScreen(c.stdin, c.stdout, c.stderr)
		}
		return agent.Run(ctx, config)
	})
}

func (c *cli) agentTest() *cobra.Command {
	config := agent.Config{Version: build.Version}
	var level string
	cmd := &cobra.Command{
		Use:   "test NAME",
		Short: "Start a server of the agent's file, list its tools, and stop it",
		Long: `Start a server of the agent's file as the agent would, complete the handshake, list
its tools, and stop it. It needs neither a control plane nor a join token.`,
		Example: "  warder agent test files --config agent.yaml",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if config.Log, err = c.logger(level); err != nil {
				return err
			}
			report, err := agent.Test(cmd.Context(), config, args[0])
			if err != nil {
				return err
			}
			if c.output != "json" {
				report.Print(c.stdout)
				return nil
			}
			text, err := json.MarshalIndent(report, "", "  ")
			if err != nil {
				return fmt.Errorf("write report: %w", err)
			}
			fmt.Fprintln(c.stdout, string(text))
			return nil
		},
	}
	config.Flags(cmd.Flags())
	choose(cmd, &level, "log-level", "error", "what is logged at least", logLevels...)
	return cmd
}
