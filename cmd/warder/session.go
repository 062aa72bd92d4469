package main

import (
	"errors"
	"fmt"
	"io"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) sessionCommand() *cobra.Command {
	return group("session", "Who is signed in to the dashboard", c.sessionList(), c.sessionRevoke())
}

func (c *cli) sessionList() *cobra.Command {
	request := &adminv1.ListSessionsRequest{}
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the sessions of people in the dashboard, the one used last first",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().login.ListSessions(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				var rows [][]string
				for _, s := range response.Msg.GetSessions() {
					rows = append(rows, []string{s.GetId(), s.GetUser(), s.GetMethod(), s.GetAddress(), short(s.GetUserAgent(), 40),
						ago(s.GetCreatedAt()), ago(s.GetSeenAt())})
				}
				columns(w, []string{"ID", "USER", "METHOD", "ADDRESS", "USER AGENT", "SIGNED IN", "USED"}, rows)
			})
		},
	}
	cmd.Flags().StringVar(&request.User, "user", "*", "only of this `user`; * means everybody")
	return cmd
}

func (c *cli) sessionRevoke() *cobra.Command {
	request := &adminv1.RevokeSessionRequest{}
	cmd := &cobra.Command{
		Use:     "revoke [ID]",
		Short:   "End a session, or with --user all of a user",
		Example: "  warder session revoke --user ana",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				request.Id = args[0]
			}
			if (request.GetId() == "") == (request.GetUser() == "") {
				return usageError(errors.New("name one session by its id, as 'warder session list' shows it, or a user with --user"))
			}
			response, err := c.api().login.RevokeSession(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { fmt.Fprintf(w, "Ended %s.\n", counted(response.Msg.GetEnded(), "session")) })
		},
	}
	cmd.Flags().StringVar(&request.User, "user", "", "end all sessions of this `user`")
	return cmd
}
