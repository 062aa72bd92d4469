package main

import (
	"fmt"
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// peerKinds are the words of --kind.
var peerKinds = []string{"node", "agent"}

func (c *cli) joinTokenCommand() *cobra.Command {
	return group("join-token", "Let nodes and agents in", c.joinTokenCreate(), c.joinTokenList(), c.joinTokenRevoke())
}

func (c *cli) joinTokenCreate() *cobra.Command {
	request := &adminv1.CreateJoinTokenRequest{}
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "create --kind KIND --name NAME [--region REGION]",
		Short: "Make a token with which one node or agent joins, once",
		Long: `Make a token with which one node or agent of this name joins, once, within a quarter
of an hour. It buys a certificate of an hour, which its holder renews by itself. The
token is shown once; with --output json it is the field token.

The region is a word of yours: agents choose nodes of their own region first.`,
		Example: `  warder join-token create --kind node --name edge-1 --region eu
  warder join-token create --kind agent --name build-7`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if life != 0 {
				request.Life = durationpb.New(life)
			}
			response, err := c.api().enrollment.CreateJoinToken(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				fmt.Fprintln(w, response.Msg.GetToken())
				fmt.Fprintf(c.stderr, "It lets the %s %s in, once, until %s. It is not shown again.\n",
					request.GetKind(), request.GetName(), clock(response.Msg.GetJoinToken().GetExpiresAt()))
			})
		},
	}
	choose(cmd, &request.Kind, "kind", "", "what joins", peerKinds...)
	cmd.Flags().StringVar(&request.Name, "name", "", "its `name`, which its certificate carries")
	cmd.Flags().StringVar(&request.Region, "region", "", "its `region`")
	cmd.Flags().DurationVar(&life, "life", 0, "how long the token is good for (default and most: 15m)")
	_ = cmd.MarkFlagRequired("kind")
	_ = cmd.MarkFlagRequired("name")
	return cmd
}

func (c *cli) joinTokenList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the join tokens of the last day; their secrets are never shown",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().enrollment.ListJoinTokens(cmd.Context(), connect.NewRequest(&adminv1.ListJoinTokensRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				var rows [][]string
				for _, t := range response.Msg.GetJoinTokens() {
					rows = append(rows, []string{t.GetId(), t.GetKind(), t.GetName(), t.GetRegion(), joinTokenState(t), t.GetCreatedBy(), ago(t.GetCreatedAt())})
				}
				columns(w, []string{"ID", "KIND", "NAME", "REGION", "STATE", "CREATED BY", "CREATED"}, rows)
			})
		},
	}
}

func joinTokenState(t *adminv1.JoinToken) string {
	switch {
	case t.GetUsedAt() != nil:
		return "used"
	case t.GetExpiresAt().AsTime().Before(time.Now()):
		return "expired"
	}
	return "good until " + clock(t.GetExpiresAt())
}

func (c *cli) joinTokenRevoke() *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID",
		Short: "Make a join token worthless that was not used yet",
		Args:  exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			response, err := c.api().enrollment.RevokeJoinToken(cmd.Context(), connect.NewRequest(&adminv1.RevokeJoinTokenRequest{Id: args[0]}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { fmt.Fprintf(w, "The join token %s is revoked.\n", args[0]) })
		},
	}
}
