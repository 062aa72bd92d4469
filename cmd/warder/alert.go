package main

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) alertCommand() *cobra.Command {
	return group("alert", "What an administrator should look at", c.alertList(), c.alertClose())
}

func (c *cli) alertList() *cobra.Command {
	request := new(adminv1.ListAlertsRequest)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the open alerts",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().alerts.ListAlerts(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printAlerts(w, response.Msg.GetAlerts()) })
		},
	}
	cmd.Flags().BoolVar(&request.Closed, "closed", false, "also those that are closed")
	return cmd
}

func printAlerts(w io.Writer, alerts []*adminv1.Alert) {
	var rows [][]string
	for _, a := range alerts {
		closed := ""
		if a.GetClosedAt() != nil {
			closed = "closed by " + a.GetClosedBy() + " " + ago(a.GetClosedAt())
		}
		rows = append(rows, []string{strconv.FormatInt(a.GetId(), 10), a.GetKind(), a.GetTarget(), strconv.FormatInt(a.GetCount(), 10),
			ago(a.GetLastAt()), closed, short(a.GetText(), 200)})
	}
	columns(w, []string{"ID", "KIND", "SERVER", "TIMES", "LAST", "CLOSED", "TEXT"}, rows)
}

func (c *cli) alertClose() *cobra.Command {
	request := new(adminv1.CloseAlertRequest)
	cmd := &cobra.Command{
		Use:     "close ID",
		Short:   "Say that you have seen to an alert; it opens anew if it happens again",
		Example: "  warder alert close 7 --reason 'reviewed in SEC-12'",
		Args:    exactly("ID"),
		ValidArgsFunction: c.completeWith(func(ctx context.Context, a *api) (ids []string) {
			response, err := a.alerts.ListAlerts(ctx, connect.NewRequest(&adminv1.ListAlertsRequest{}))
			if err != nil {
				return nil
			}
			for _, alert := range response.Msg.GetAlerts() {
				ids = append(ids, strconv.FormatInt(alert.GetId(), 10))
			}
			return ids
		}),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || id < 1 {
				return usageError(fmt.Errorf("%q is no number of an alert; 'warder alert list' shows them", args[0]))
			}
			request.Id = id
			response, err := c.api().alerts.CloseAlert(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				a := response.Msg.GetAlert()
				fmt.Fprintf(w, "Closed alert %d (%s of %s).\n", a.GetId(), visible(a.GetKind()), visible(a.GetTarget()))
			})
		},
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "what you did about it, for the record")
	return cmd
}
