package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/warder-gateway/warder/agent"
	"github.com/warder-gateway/warder/internal/build"
)

func (c *cli) agentCommand() *cobra.Command {
	return group("agent", "Servers beside this machine, for nodes that cannot reach them", c.agentTest(), c.agentList(), c.agentRevoke(), c.agentRemove())
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
