package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/warder-gateway/warder/internal/risk"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) userCommand() *cobra.Command {
	return group("user", "The people and services that hold keys", c.userCreate(), c.userList())
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
				password, err := io.ReadAll(io.LimitReader(c.stdin, 4096))
				if err != nil {
					return fmt.Errorf("read the password from standard input: %w", err)
				}
				request.Password = strings.TrimRight(string(password), "\r\n")
				if request.Password == "" { // Else the user could never sign in, and nobody would say so.
					return usageError(errors.New("--password-stdin: there is no password on standard input"))
				}
			}
			response, err := c.api().users.CreateUser(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				u := response.Msg.GetUser()
				fmt.Fprintf(w, "Created %s with the roles %s.\n", u.GetName(), listed(u.GetRoles()))
			})
		},
	}
	cmd.Flags().StringArrayVar(&request.Roles, "role", nil, "a `role` of the user; may be given again")
	cmd.Flags().BoolVar(&passwordStdin, "password-stdin", false, "read a password for the dashboard from standard input")
	return cmd
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
					signIn := "no"
					if u.GetHasPassword() {
						signIn = "password"
					}
					rows = append(rows, []string{u.GetName(), strings.Join(u.GetRoles(), ","), signIn, ago(u.GetCreatedAt())})
				}
				columns(w, []string{"NAME", "ROLES", "SIGN-IN", "CREATED"}, rows)
			})
		},
	}
}

func (c *cli) roleCommand() *cobra.Command {
	return group("role", "Roles and what they grant", c.roleList(), c.roleCreate(), c.roleGrant())
}

func (c *cli) roleList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the roles and their grants",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().roles.ListRoles(cmd.Context(), connect.NewRequest(&adminv1.ListRolesRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printRoles(w, response.Msg.GetRoles()) })
		},
	}
}

func printRoles(w io.Writer, roles []*adminv1.Role) {
	var rows [][]string
	for _, r := range roles {
		kind := "custom"
		if r.GetBuiltIn() {
			kind = "built-in"
		}
		rows = append(rows, []string{r.GetName(), kind, grants(r), short(r.GetDescription(), 70)})
	}
	columns(w, []string{"NAME", "KIND", "GRANTS", "DESCRIPTION"}, rows)
}

func grants(r *adminv1.Role) string {
	var parts []string
	for _, g := range r.GetGrants() {
		risks := "any risk"
		if len(g.GetRisks()) > 0 {
			risks = strings.Join(g.GetRisks(), ",")
		}
		parts = append(parts, grantedNames(g)+" ("+risks+")")
	}
	return strings.Join(parts, "; ")
}

// grantedNames says what a grant is about.
func grantedNames(g *adminv1.Grant) string {
	var parts []string
	if len(g.GetTools()) > 0 {
		parts = append(parts, strings.Join(g.GetTools(), ","))
	}
	if len(g.GetPrompts()) > 0 {
		parts = append(parts, "prompts "+strings.Join(g.GetPrompts(), ","))
	}
	if len(g.GetResources()) > 0 {
		parts = append(parts, "resources "+strings.Join(g.GetResources(), ","))
	}
	if len(parts) == 0 {
		return "anything"
	}
	return strings.Join(parts, "; ")
}

// empty reports whether no flag of a grant was given.
func empty(g *adminv1.Grant) bool {
	return len(g.GetTools())+len(g.GetPrompts())+len(g.GetResources())+len(g.GetRisks()) == 0
}

func (c *cli) roleCreate() *cobra.Command {
	request := &adminv1.CreateRoleRequest{}
	grant := &adminv1.Grant{}
	cmd := &cobra.Command{
		Use:     "create NAME",
		Short:   "Create a role, with a first grant if one of --tools, --prompts, --resources and --risk is given",
		Example: "  warder role create release --tools 'github/*' --risk read --risk write",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Name = args[0]
			if !empty(grant) {
				request.Grants = []*adminv1.Grant{grant}
			}
			response, err := c.api().roles.CreateRole(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printRoles(w, []*adminv1.Role{response.Msg.GetRole()}) })
		},
	}
	cmd.Flags().StringVar(&request.Description, "description", "", "what the role is for")
	grantFlags(cmd, grant)
	return cmd
}

func (c *cli) roleGrant() *cobra.Command {
	request := &adminv1.GrantRoleRequest{Grant: &adminv1.Grant{}}
	var everything bool
	cmd := &cobra.Command{
		Use:   "grant NAME --tools GLOB… --prompts GLOB… --resources GLOB… --risk RISK…",
		Short: "Grant more to a role",
		Long: `Grant more to a role: what matches any glob of its kind and any of --risk. Globs
of one kind only say nothing of the other kinds; without any, the grant speaks of
everything. Without --risk it speaks of any risk.`,
		Example: "  warder role grant release --tools 'jira/create_*'",
		Args:    exactly("NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if empty(request.Grant) && !everything {
				return usageError(errors.New("say what to grant with --tools, --prompts, --resources or --risk, or --everything"))
			}
			request.Name = args[0]
			response, err := c.api().roles.GrantRole(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printRoles(w, []*adminv1.Role{response.Msg.GetRole()}) })
		},
	}
	cmd.Flags().BoolVar(&everything, "everything", false, "grant everything")
	grantFlags(cmd, request.Grant)
	return cmd
}

func grantFlags(cmd *cobra.Command, grant *adminv1.Grant) {
	cmd.Flags().StringArrayVar(&grant.Tools, "tools", nil, "a `glob` on SERVER/TOOL; may be given again")
	cmd.Flags().StringArrayVar(&grant.Prompts, "prompts", nil, "a `glob` on SERVER/PROMPT; may be given again")
	cmd.Flags().StringArrayVar(&grant.Resources, "resources", nil, "a `glob` on SERVER/URI; may be given again")
	chooseSome(cmd, &grant.Risks, "risk", "a risk category", risk.Names()...)
}
