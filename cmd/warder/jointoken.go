package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/warder-gateway/warder/internal/address"
	"github.com/warder-gateway/warder/internal/identity"
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
token is shown once, with the command that starts its holder; with --output json it is
the field token. Only the token is written to standard output, for a file.

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
				c.adviseJoin(response.Msg)
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

// adviseJoin says what a new join token is for, with the command that starts its holder.
// The token is in it only if people see it anyhow: what writes standard output to a file
// may keep the rest in a log.
func (c *cli) adviseJoin(m *adminv1.CreateJoinTokenResponse) {
	token := m.GetJoinToken()
	fmt.Fprintf(c.stderr, "It lets the %s %s in, once, until %s. It is not shown again. Run there:\n\n  %s\n",
		token.GetKind(), token.GetName(), clock(token.GetExpiresAt()), joinCommand(m, isTerminal(c.stdout)))
	if host, port, err := net.SplitHostPort(m.GetControlPlane()); err == nil && address.IsLoopback(host) {
		fmt.Fprintf(c.stderr, "\nOnly this machine reaches %s. To let others in, start the gateway with --node-listen ADDRESS:%s.\n",
			m.GetControlPlane(), port)
	}
}

// joinCommand is what starts the holder of a join token. Other users of a machine can read
// the arguments of its programs, so the token goes by the environment or by a file.
func joinCommand(m *adminv1.CreateJoinTokenResponse, reveal bool) string {
	start := "warder dataplane"
	if m.GetJoinToken().GetKind() == string(identity.Agent) {
		start = "warder agent run"
	}
	host, port, err := net.SplitHostPort(m.GetControlPlane())
	if err != nil {
		host, port = "", "PORT"
	}
	start += " --control-plane " + net.JoinHostPort(cmp.Or(host, "HOST"), port)
	if reveal {
		return "WARDER_JOIN_TOKEN=" + m.GetToken() + " " + start
	}
	return start + " --join-token-file FILE"
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
