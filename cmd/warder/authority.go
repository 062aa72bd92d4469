package main

import (
	"io"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) authorityCommand() *cobra.Command {
	return group("authority", "The authority that signs for nodes and agents", c.authorityList(), c.authorityRotate())
}

func (c *cli) authorityList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the authorities that are trusted, in the order in which they sign",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().enrollment.ListAuthorities(cmd.Context(), connect.NewRequest(&adminv1.ListAuthoritiesRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printAuthorities(w, response.Msg.GetAuthorities()) })
		},
	}
}

func (c *cli) authorityRotate() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "Let a new authority take over, without anybody losing a connection",
		Long: `Make a new authority. All trust it as soon as they renew their certificates, which
they do within half an hour; it signs when an hour has gone, and the one before is
forgotten when nothing that it signed is good any more, an hour after that. Who is
away for all of that time needs a join token to come back.

It is not the remedy for one node or agent that is not to be trusted any more:
'warder node revoke' and 'warder agent revoke' are, and work at once.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().enrollment.RotateAuthority(cmd.Context(), connect.NewRequest(&adminv1.RotateAuthorityRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				printAuthorities(w, []*adminv1.Authority{response.Msg.GetAuthority()})
			})
		},
	}
}

func printAuthorities(w io.Writer, authorities []*adminv1.Authority) {
	var rows [][]string
	waits := func(i int) bool {
		return i < len(authorities) && authorities[i].GetSignsFrom().AsTime().After(time.Now())
	}
	for i, a := range authorities {
		state := "retires"
		switch {
		case waits(i):
			state = "waits"
		case i == len(authorities)-1 || waits(i+1):
			state = "signs"
		}
		rows = append(rows, []string{a.GetFingerprint()[:16], state, clock(a.GetSignsFrom()), clock(a.GetRetiresAt()), clock(a.GetExpiresAt())})
	}
	columns(w, []string{"FINGERPRINT", "STATE", "SIGNS FROM", "FORGOTTEN AT", "EXPIRES"}, rows)
}
