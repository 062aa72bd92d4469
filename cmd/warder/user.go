package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) userCommand() *cobra.Command {
	return group("user", "The people and services that hold keys",
		c.userCreate(), c.userList(), c.userSet(), c.userPassword(), c.userDisable(), c.userEnable(), c.userRemove())
}

func (c *cli) userCreate() *cobra.Command {
	request := &adminv1.CreateUserRequest{}
	var passwordStdin bool
	cmd := &cobra.Command{
		Use:   "create NAME --role ROLE…",
		Short: "Create a user",
		Example: `  warder user create ana --role operator
  warder user create bob --role viewer --role release --password-stdin <password.txt`,
		Args: exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name = args[0]
			if passwordStdin {
				password, err := c.readPassword()
				if err != nil {
					return err
				}
				request.Password = password
			}
			response, err := c.api().users.CreateUser(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				u := response.Msg.GetUser()
				fmt.Fprintf(w, "Created %s with %s.\n", u.GetName(), held("role", u.GetRoles()))
			})
		},
	}
	cmd.Flags().StringArrayVar(&request.Roles, "role", nil, "a `role` of the user; may be given again")
	cmd.Flags().StringArrayVar(&request.Groups, "group", nil, "a `group` of the user, which rules may name; may be given again")
	cmd.Flags().BoolVar(&passwordStdin, "password-stdin", false, "read a password for the dashboard from standard input")
	return cmd
}

// readPassword reads one from standard input. None there is a mistake: else the
// user could never sign in, and nobody would say so.
func (c *cli) readPassword() (string, error) {
	password, err := io.ReadAll(io.LimitReader(c.stdin, 4096))
	if err != nil {
		return "", fmt.Errorf("read the password from standard input: %w", err)
	}
	text := strings.TrimRight(string(password), "\r\n")
	if text == "" {
		return "", usageError(errors.New("--password-stdin: there is no password on standard input"))
	}
	return text, nil
}

// held says which roles or groups somebody has: "the roles operator, release".
func held(noun string, names []string) string {
	switch len(names) {
	case 0:
		return "no " + noun
	case 1:
		return "the " + noun + " " + names[0]
	}
	return "the " + noun + "s " + strings.Join(names, ", ")
}

func listed(names []string) string {
	if len(names) == 0 {
		return "(none)"
	}
	return strings.Join(names, ", ")
}

func (c *cli) userList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the users",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().users.ListUsers(cmd.Context(), connect.NewRequest(&adminv1.ListUsersRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				var rows [][]string
				for _, u := range response.Msg.GetUsers() {
					rows = append(rows, []string{u.GetName(), userState(u), strings.Join(u.GetRoles(), ","), strings.Join(u.GetGroups(), ","),
						signsInBy(u), ago(u.GetSignedInAt()), ago(u.GetCreatedAt())})
				}
				columns(w, []string{"NAME", "STATE", "ROLES", "GROUPS", "SIGN-IN", "SIGNED IN", "CREATED"}, rows)
			})
		},
	}
}

func userState(u *adminv1.User) string {
	switch {
	case u.GetRemoved():
		return "removed"
	case u.GetDisabled():
		return "disabled"
	}
	return "active"
}

func signsInBy(u *adminv1.User) string {
	switch {
	case u.GetHasPassword():
		return "password"
	case u.GetProvider() != "":
		return u.GetProvider()
	}
	return "no"
}

func (c *cli) userSet() *cobra.Command {
	var roles, groups []string
	cmd := &cobra.Command{
		Use:   "set NAME --role ROLE… --group GROUP…",
		Short: "Replace the roles or the groups of a user",
		Long: `Replace the roles of a user, or the groups, or both: those that are not given
again are taken away. An empty --role or --group takes all away. Sessions of a user
who gets other roles end.`,
		Example:           "  warder user set ana --role operator --role release\n  warder user set ana --group ''",
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &adminv1.UpdateUserRequest{Name: args[0]}
			if cmd.Flags().Changed("role") {
				request.Roles = &adminv1.Names{Names: spoken(roles)}
			}
			if cmd.Flags().Changed("group") {
				request.Groups = &adminv1.Names{Names: spoken(groups)}
			}
			if request.GetRoles() == nil && request.GetGroups() == nil {
				return usageError(errors.New("say what to change with --role or --group"))
			}
			response, err := c.api().users.UpdateUser(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				u := response.Msg.GetUser()
				fmt.Fprintf(w, "%s has %s and %s.\n", visible(u.GetName()), visible(held("role", u.GetRoles())), visible(held("group", u.GetGroups())))
			})
		},
	}
	cmd.Flags().StringArrayVar(&roles, "role", nil, "a `role` of the user; may be given again")
	cmd.Flags().StringArrayVar(&groups, "group", nil, "a `group` of the user; may be given again")
	return cmd
}

// spoken drops empty names, by which people say "none".
func spoken(names []string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

func (c *cli) userPassword() *cobra.Command {
	request := &adminv1.SetPasswordRequest{}
	var fromStdin, takeAway bool
	cmd := &cobra.Command{
		Use:               "password NAME --password-stdin | --remove",
		Short:             "Set the password of a user, or take it away; his sessions end",
		Example:           "  warder user password ana --password-stdin <password.txt",
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if fromStdin == takeAway {
				return usageError(errors.New("say --password-stdin or --remove"))
			}
			request.Name = args[0]
			if fromStdin {
				password, err := c.readPassword()
				if err != nil {
					return err
				}
				request.NewPassword = password
			}
			response, err := c.api().users.SetPassword(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { fmt.Fprintln(w, "Done.") })
		},
	}
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the new password from standard input")
	cmd.Flags().BoolVar(&takeAway, "remove", false, "take the password away: the user cannot sign in with one any more")
	return cmd
}

func (c *cli) userDisable() *cobra.Command {
	request := &adminv1.DisableUserRequest{}
	cmd := &cobra.Command{
		Use:   "disable NAME",
		Short: "Refuse a user everywhere: sign-in, keys and tokens",
		Long: `Refuse a user everywhere, until 'warder user enable': his sessions end, and
connected nodes refuse his keys and tokens within a second and close his streams.`,
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name = args[0]
			response, err := c.api().users.DisableUser(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { fmt.Fprintf(w, "Disabled %s.\n", visible(args[0])) })
		},
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the record")
	return cmd
}

func (c *cli) userEnable() *cobra.Command {
	return &cobra.Command{
		Use:               "enable NAME",
		Short:             "Let a user who was disabled in again",
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			response, err := c.api().users.EnableUser(cmd.Context(), connect.NewRequest(&adminv1.EnableUserRequest{Name: args[0]}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { fmt.Fprintf(w, "Enabled %s.\n", visible(args[0])) })
		},
	}
}

func (c *cli) userRemove() *cobra.Command {
	request := &adminv1.RemoveUserRequest{}
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a user, for good",
		Long: `Remove a user, for good: as with 'warder user disable', and his keys are revoked.
The name stays taken, so that the audit never speaks of two people by one name.`,
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(userNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name = args[0]
			response, err := c.api().users.RemoveUser(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { fmt.Fprintf(w, "Removed %s.\n", visible(args[0])) })
		},
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the record")
	return cmd
}

// userNames are those of users who were not removed.
func userNames(ctx context.Context, a *api) (names []string) {
	response, err := a.users.ListUsers(ctx, connect.NewRequest(&adminv1.ListUsersRequest{}))
	if err != nil {
		return nil
	}
	for _, u := range response.Msg.GetUsers() {
		if !u.GetRemoved() {
			names = append(names, u.GetName())
		}
	}
	return names
}
