package main

import (
	"context"
	"io"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) applicationCommand() *cobra.Command {
	return group("app", "The client programs that keys belong to", c.applicationList(), c.applicationDisable(), c.applicationEnable())
}

func (c *cli) applicationList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the applications; 'warder key create' makes new ones",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().applications.ListApplications(cmd.Context(), connect.NewRequest(&adminv1.ListApplicationsRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printApplications(w, response.Msg.GetApplications()) })
		},
	}
}

func (c *cli) applicationDisable() *cobra.Command {
	request := &adminv1.DisableApplicationRequest{}
	cmd := &cobra.Command{
		Use:               "disable NAME",
		Short:             "Refuse whoever uses an application, on every connected node within a second",
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(applicationNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name = args[0]
			response, err := c.api().applications.DisableApplication(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				printApplications(w, []*adminv1.Application{response.Msg.GetApplication()})
			})
		},
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why; whoever is refused is told")
	return cmd
}

func (c *cli) applicationEnable() *cobra.Command {
	return &cobra.Command{
		Use:               "enable NAME",
		Short:             "Let an application be used again",
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(applicationNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			response, err := c.api().applications.EnableApplication(cmd.Context(),
				connect.NewRequest(&adminv1.EnableApplicationRequest{Name: args[0]}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				printApplications(w, []*adminv1.Application{response.Msg.GetApplication()})
			})
		},
	}
}

func printApplications(w io.Writer, applications []*adminv1.Application) {
	var rows [][]string
	for _, a := range applications {
		state := "enabled"
		if a.GetDisabled() {
			state = "disabled"
		}
		rows = append(rows, []string{a.GetName(), state, ago(a.GetCreatedAt()), a.GetDisabledReason()})
	}
	columns(w, []string{"NAME", "STATE", "CREATED", "REASON"}, rows)
}

func applicationNames(ctx context.Context, a *api) []string {
	response, err := a.applications.ListApplications(ctx, connect.NewRequest(&adminv1.ListApplicationsRequest{}))
	if err != nil {
		return nil
	}
	var names []string
	for _, application := range response.Msg.GetApplications() {
		names = append(names, application.GetName())
	}
	return names
}
