package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	"github.com/warder-gateway/warder/internal/risk"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *cli) roleCommand() *cobra.Command {
	return group("role", "Roles and what they grant",
		c.roleList(), c.roleCreate(), c.roleSet(), c.roleGrant(), c.roleRemove(), c.rolePermissions())
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
		rows = append(rows, []string{r.GetName(), kind, grants(r), permitted(r), short(r.GetDescription(), 70)})
	}
	columns(w, []string{"NAME", "KIND", "GRANTS", "PERMISSIONS", "DESCRIPTION"}, rows)
}

// permitted lists what a role permits. That an owner may do all is a rule and not a
// list, and in full it would be wider than a terminal.
func permitted(r *adminv1.Role) string {
	if r.GetBuiltIn() && r.GetName() == "owner" {
		return "all"
	}
	return strings.Join(r.GetPermissions(), ",")
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
		Example: "  warder role create release --tools 'github/*' --risk read --risk write\n  warder role create approver --permission read --permission tools:approve",
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
	cmd.Flags().StringArrayVar(&request.Permissions, "permission", nil, "a `permission` of the administration, as 'warder role permissions' lists them; may be given again")
	grantFlags(cmd, grant)
	return cmd
}

func (c *cli) roleSet() *cobra.Command {
	grant := &adminv1.Grant{}
	var permissions []string
	var description string
	var noGrants, everything bool
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Replace the description, the permissions or the grants of a role",
		Long: `Replace what is given of a role; what is not given stays. An empty --permission
takes all permissions away. A grant takes the place of all that the role has;
'warder role grant' adds one. It holds at once for everybody who has the role.`,
		Example:           "  warder role set approver --permission read --permission tools:approve --permission alerts:write",
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(roleNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			request := &adminv1.UpdateRoleRequest{Name: args[0]}
			if cmd.Flags().Changed("description") {
				request.Description = &description
			}
			if cmd.Flags().Changed("permission") {
				request.Permissions = &adminv1.Permissions{Permissions: spoken(permissions)}
			}
			switch {
			case noGrants && (everything || !empty(grant)):
				return usageError(errors.New("say --no-grants or a grant, not both"))
			case noGrants:
				request.Grants = &adminv1.Grants{}
			case everything || !empty(grant):
				request.Grants = &adminv1.Grants{Grants: []*adminv1.Grant{grant}}
			}
			if request.Description == nil && request.GetPermissions() == nil && request.GetGrants() == nil {
				return usageError(errors.New("say what to change with --description, --permission, --no-grants, --everything, --tools, --prompts, --resources or --risk"))
			}
			response, err := c.api().roles.UpdateRole(cmd.Context(), connect.NewRequest(request))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { printRoles(w, []*adminv1.Role{response.Msg.GetRole()}) })
		},
	}
	cmd.Flags().StringVar(&description, "description", "", "what the role is for")
	cmd.Flags().StringArrayVar(&permissions, "permission", nil, "a `permission` of the administration; may be given again")
	cmd.Flags().BoolVar(&noGrants, "no-grants", false, "take all grants away")
	cmd.Flags().BoolVar(&everything, "everything", false, "grant everything")
	grantFlags(cmd, grant)
	return cmd
}

func (c *cli) roleRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "remove NAME",
		Short:             "Remove a role that nobody holds",
		Args:              exactly("NAME"),
		ValidArgsFunction: c.completeWith(roleNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			response, err := c.api().roles.RemoveRole(cmd.Context(), connect.NewRequest(&adminv1.RemoveRoleRequest{Name: args[0]}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) { fmt.Fprintf(w, "Removed %s.\n", visible(args[0])) })
		},
	}
}

func (c *cli) rolePermissions() *cobra.Command {
	return &cobra.Command{
		Use:   "permissions",
		Short: "List the permissions of the administration, and which of them you hold",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			response, err := c.api().roles.ListPermissions(cmd.Context(), connect.NewRequest(&adminv1.ListPermissionsRequest{}))
			if err != nil {
				return err
			}
			return c.print(response.Msg, func(w io.Writer) {
				var rows [][]string
				for _, p := range response.Msg.GetPermissions() {
					held := "no"
					if p.GetHeld() {
						held = "yes"
					}
					rows = append(rows, []string{p.GetName(), held, p.GetDescription()})
				}
				columns(w, []string{"PERMISSION", "HELD", "ALLOWS TO"}, rows)
			})
		},
	}
}

// roleNames are those of roles that can be changed.
func roleNames(ctx context.Context, a *api) (names []string) {
	response, err := a.roles.ListRoles(ctx, connect.NewRequest(&adminv1.ListRolesRequest{}))
	if err != nil {
		return nil
	}
	for _, r := range response.Msg.GetRoles() {
		if !r.GetBuiltIn() {
			names = append(names, r.GetName())
		}
	}
	return names
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
