package main

import (
	"fmt"
	"io"
	"strconv"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) nodeCommand() *cobra.Command {
	return group("node", "The data planes", c.nodeList(), c.nodeRevoke(), c.nodeRemove())
}

func (c *cli) nodeList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the nodes and the revision that each serves",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().nodes.ListNodes(cmd.Context(), connect.NewRequest(&adminv1.ListNodesRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				var rows [][]string
				for _, n := range response.Msg.GetNodes() {
					state := "away"
					switch {
					case n.GetRevoked():
						state = "revoked"
					case n.GetConnected():
						state = "connected"
					}
					rows = append(rows, []string{n.GetName(), n.GetRegion(), state,
						strconv.FormatUint(n.GetRevision(), 10) + "/" + strconv.FormatUint(n.GetDesiredRevision(), 10),
						n.GetVersion(), n.GetAddress(), ago(n.GetLastSeenAt()), n.GetRefusal()})
				}
				columns(w, []string{"NAME", "REGION", "STATE", "REVISION", "VERSION", "ADDRESS", "SEEN", "REFUSAL"}, rows)
			})
		},
	}
}

func (c *cli) nodeRevoke() *cobra.Command {
	request := &adminv1.RevokeNodeRequest{}
	cmd := &cobra.Command{
		Use:   "revoke NAME",
		Short: "End a node's streams and take no certificate of it any more",
		Long: `End the streams of a node, and take no certificate that it has from now on; agents
and other nodes do likewise. What it has of the configuration it keeps. A new join
token lets it in again.`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name = args[0]
			response, err := c.api().nodes.RevokeNode(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				fmt.Fprintf(w, "The node %s is revoked. 'warder join-token create --kind node --name %s' lets it in again.\n", request.Name, request.Name)
			})
		},
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the audit")
	return cmd
}

func (c *cli) nodeRemove() *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME",
		Short: "Forget a node that is gone",
		Long: `Revoke a node that is not connected, and forget it: it is not listed any more, and
nobody waits for it to serve the latest revision. Stop it first.`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			response, err := c.api().nodes.RemoveNode(cmd.Context(), connect.NewRequest(&adminv1.RemoveNodeRequest{Name: args[0]}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { fmt.Fprintf(w, "The node %s is removed.\n", args[0]) })
		},
	}
}

func (c *cli) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Say how the running instance is",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().health.GetHealth(cmd.Context(), connect.NewRequest(&adminv1.GetHealthRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				h := response.Msg
				facts(w, "Version", h.GetVersion(), "Database ready", strconv.FormatBool(h.GetDatabaseReady()),
					"Revision", strconv.FormatUint(h.GetRevision(), 10), "Nodes connected", strconv.Itoa(int(h.GetNodesConnected())),
					"Started", ago(h.GetStartedAt()), "Setup needed", strconv.FormatBool(h.GetSetupNeeded()))
			})
		},
	}
}
