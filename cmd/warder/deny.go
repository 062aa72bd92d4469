package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) denyCommand() *cobra.Command {
	return group("deny", "What is denied at once, ahead of all rules", c.denyAdd(), c.denyList(), c.denyRemove())
}

// denialKinds are what can be denied, and how one is named.
var denialKinds = [][2]string{
	{"user", "NAME"}, {"application", "NAME"}, {"server", "NAME"}, {"tool", "SERVER/TOOL"}, {"token", "ISSUER/JTI"}, {"all", ""},
}

func (c *cli) denyAdd() *cobra.Command {
	var commands []*cobra.Command
	for _, kind := range denialKinds {
		commands = append(commands, c.denyAddKind(kind[0], kind[1]))
	}
	return group("add", "Deny something, on every connected node within a second", commands...)
}

func (c *cli) denyAddKind(kind, name string) *cobra.Command {
	request := &adminv1.AddDenialRequest{Kind: kind}
	use, what := kind, "Deny "+oneOf(kind)
	wanted := exactly()
	if name == "" {
		what = "Deny everything to everybody"
	} else {
		use, wanted = kind+" "+name, exactly(name)
	}
	cmd := &cobra.Command{
		Use:     use,
		Short:   what,
		Example: "  warder deny add " + exampleDenial[kind] + " --reason 'incident 42' --for 2h",
		Args:    wanted,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				request.Name = args[0]
			}
			response, err := c.api().denials.AddDenial(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			c.warnOfStranger(cmd.Context(), request)
			return c.print(response.Msg, func(w io.Writer) { printDenials(w, []*adminv1.Denial{response.Msg.GetDenial()}) })
		},
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why; whoever is refused is told")
	span(cmd, &request.ExpiresIn, "for", "time until it lifts itself, for example 2h or 7d (default until it is removed)")
	return cmd
}

// warnOfStranger says so if the user or the application that was denied is not known
// here. That is allowed, since tokens of issuers name both, but in a hurry it is
// more often a misspelt name that stops nobody.
func (c *cli) warnOfStranger(ctx context.Context, denied *adminv1.AddDenialRequest) {
	var known bool
	var err error
	switch denied.GetKind() {
	case "user":
		known, err = c.knowsUser(ctx, denied.GetName())
	case "application":
		known, err = c.knowsApplication(ctx, denied.GetName())
	default:
		return
	}
	if err == nil && !known { // The denial stands already; a failed look changes nothing.
		fmt.Fprintf(c.stderr, "No %s here is named %s; the denial is good for tokens that name it. Was it misspelt?\n",
			denied.GetKind(), visible(denied.GetName()))
	}
}

func (c *cli) knowsUser(ctx context.Context, name string) (bool, error) {
	response, err := c.api().users.ListUsers(ctx, connect.NewRequest(&adminv1.ListUsersRequest{}))
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(response.Msg.GetUsers(), func(u *adminv1.User) bool { return u.GetName() == name }), nil
}

func (c *cli) knowsApplication(ctx context.Context, name string) (bool, error) {
	response, err := c.api().applications.ListApplications(ctx, connect.NewRequest(&adminv1.ListApplicationsRequest{}))
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(response.Msg.GetApplications(), func(a *adminv1.Application) bool { return a.GetName() == name }), nil
}

// exampleDenial has an example of each kind, for the help.
var exampleDenial = map[string]string{
	"user": "user ana", "application": "application cursor", "server": "server github", "tool": "tool github/delete_repo",
	"token": "token corp/4f1c9a", "all": "all",
}

func (c *cli) denyList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List all that is denied, also by keys that are revoked and what is disabled",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().denials.ListDenials(cmd.Context(), connect.NewRequest(&adminv1.ListDenialsRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printDenials(w, response.Msg.GetDenials()) })
		},
	}
}

func (c *cli) denyRemove() *cobra.Command {
	var commands []*cobra.Command
	for _, kind := range denialKinds {
		commands = append(commands, c.denyRemoveKind(kind[0], kind[1]))
	}
	return group("remove", "Lift what a person denied", commands...)
}

func (c *cli) denyRemoveKind(kind, name string) *cobra.Command {
	use, what := kind, "Lift the denial of "+oneOf(kind)
	wanted := exactly()
	if name == "" {
		what = "Lift the denial of everything"
	} else {
		use, wanted = kind+" "+name, exactly(name)
	}
	return &cobra.Command{
		Use:   use,
		Short: what,
		Args:  wanted,
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &adminv1.RemoveDenialRequest{Kind: kind}
			if len(args) > 0 {
				request.Name = args[0]
			}
			response, err := c.api().denials.RemoveDenial(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				fmt.Fprintf(w, "Lifted the denial of %s.\n", visible(joined(kind, request.GetName())))
			})
		},
	}
}

// oneOf puts the article before a kind.
func oneOf(kind string) string {
	if strings.ContainsRune("aeio", rune(kind[0])) { // Not u: a user.
		return "an " + kind
	}
	return "a " + kind
}

func joined(kind, name string) string {
	if name == "" {
		return kind
	}
	return kind + " " + name
}

func printDenials(w io.Writer, denials []*adminv1.Denial) {
	var rows [][]string
	for _, d := range denials {
		rows = append(rows, []string{d.GetKind(), d.GetName(), d.GetReason(), d.GetCreatedBy(), ago(d.GetCreatedAt()), orNever(clock(d.GetExpiresAt()))})
	}
	columns(w, []string{"KIND", "NAME", "REASON", "BY", "SINCE", "ENDS"}, rows)
}
