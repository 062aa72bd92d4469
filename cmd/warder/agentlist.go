package main

import (
	"fmt"
	"io"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) agentList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the agents and their servers",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().agents.ListAgents(cmd.Context(), connect.NewRequest(&adminv1.ListAgentsRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				var rows [][]string
				for _, a := range response.Msg.GetAgents() {
					rows = append(rows, []string{a.GetName(), a.GetRegion(), agentState(a), a.GetVersion(), a.GetPlatform(), ago(a.GetLastSeenAt()), agentTunnels(a)})
				}
				columns(w, []string{"NAME", "REGION", "STATE", "VERSION", "PLATFORM", "SEEN", "TUNNELS"}, rows)
				printAgentServers(w, response.Msg.GetAgents())
			})
		},
	}
}

func agentState(a *adminv1.Agent) string {
	switch {
	case a.GetRevoked():
		return "revoked"
	case a.GetConnected():
		return "connected"
	}
	return "away"
}

// printAgentServers prints what agents report of their servers, if they do.
func printAgentServers(w io.Writer, agents []*adminv1.Agent) {
	var rows [][]string
	for _, a := range agents {
		for _, s := range a.GetServers() {
			added := "no"
			switch {
			case s.GetKnown():
				added = "yes"
			case s.GetDeclared():
				added = "no: warder server add " + s.GetName() + " --agent " + a.GetName()
			}
			rows = append(rows, []string{a.GetName(), s.GetName(), processOf(s), added})
		}
	}
	if len(rows) > 0 {
		fmt.Fprintln(w)
		columns(w, []string{"AGENT", "SERVER", "PROCESS", "ADDED"}, rows)
	}
}

func agentTunnels(a *adminv1.Agent) string {
	var nodes []string
	for _, t := range a.GetTunnels() {
		nodes = append(nodes, t.GetNode())
	}
	return strings.Join(nodes, ", ")
}

func (c *cli) agentRevoke() *cobra.Command {
	request := &adminv1.RevokeAgentRequest{}
	cmd := &cobra.Command{
		Use:   "revoke NAME",
		Short: "End an agent's tunnels and take no certificate of it any more",
		Long: `End the tunnels of an agent, and take no certificate that it has from now on. Its
servers stay, and are away. A new join token lets it in again.`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name = args[0]
			response, err := c.api().agents.RevokeAgent(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				fmt.Fprintf(w, "The agent %s is revoked. 'warder join-token create --kind agent --name %s' lets it in again.\n", request.Name, request.Name)
			})
		},
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the audit")
	return cmd
}

func (c *cli) agentRemove() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Revoke and forget an agent that has no servers",
		Args:  exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			response, err := c.api().agents.RemoveAgent(cmd.Context(), connect.NewRequest(&adminv1.RemoveAgentRequest{Name: args[0]}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { fmt.Fprintf(w, "The agent %s is removed.\n", args[0]) })
		},
	}
}
