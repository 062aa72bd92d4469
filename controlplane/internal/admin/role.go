package admin

import (
	"context"
	"fmt"
	"slices"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/risk"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

type roles struct{ *API }

// ListRoles returns all, the built-in ones first.
func (r roles) ListRoles(ctx context.Context, _ *connect.Request[adminv1.ListRolesRequest]) (*connect.Response[adminv1.ListRolesResponse], error) {
	all, err := readRoles(ctx, r.Store.Queries)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.ListRolesResponse{Roles: all}), nil
}

// ListPermissions returns all permissions that a role can carry.
func (r roles) ListPermissions(ctx context.Context, _ *connect.Request[adminv1.ListPermissionsRequest]) (*connect.Response[adminv1.ListPermissionsResponse], error) {
	caller, response := login.From(ctx), new(adminv1.ListPermissionsResponse)
	for _, d := range login.Permissions() {
		response.Permissions = append(response.Permissions, &adminv1.Permission{
			Name: string(d.Permission), Description: d.Allows, Held: caller.Holds(d.Permission),
		})
	}
	return reply(response), nil
}

// CreateRole saves a role. What it carries must be the caller's to give.
func (r roles) CreateRole(ctx context.Context, request *connect.Request[adminv1.CreateRoleRequest]) (*connect.Response[adminv1.CreateRoleResponse], error) {
	m := request.Msg
	role := &adminv1.Role{Name: m.GetName(), Description: m.GetDescription(), Grants: m.GetGrants(), Permissions: sorted(m.GetPermissions())}
	if err := compiles(role); err != nil {
		return nil, err
	}
	_, err := r.change(ctx, func(tx *store.Tx) error {
		if err := making(ctx, tx, role); err != nil {
			return err
		}
		err := tx.InsertRole(ctx, db.InsertRoleParams{Name: role.GetName(), Description: role.GetDescription(), Permissions: role.GetPermissions()})
		if err != nil {
			return err
		}
		tx.Record("role.create", role.GetName(), roleDetails(role))
		return insertGrants(ctx, tx, role)
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.CreateRoleResponse{Role: role}), nil
}

// making holds the caller to P-16 for what he makes of a role, and for what it is.
func making(ctx context.Context, tx *store.Tx, roles ...*adminv1.Role) error {
	g, err := newGiver(ctx, tx.Queries)
	if err != nil {
		return err
	}
	for _, role := range roles {
		if err := g.mayMake(role); err != nil {
			return err
		}
	}
	return nil
}

// GrantRole adds a grant to a role that is not built in.
func (r roles) GrantRole(ctx context.Context, request *connect.Request[adminv1.GrantRoleRequest]) (*connect.Response[adminv1.GrantRoleResponse], error) {
	grant := request.Msg.GetGrant()
	role, err := r.withRole(ctx, request.Msg.GetName(), func(tx *store.Tx, role *adminv1.Role) error {
		role.Grants = append(role.Grants, grant)
		tx.Record("role.grant", role.GetName(), map[string]any{"grants": grantDetails([]*adminv1.Grant{grant})})
		return insertGrant(ctx, tx, role.GetName(), grant)
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.GrantRoleResponse{Role: role}), nil
}

// UpdateRole replaces what is given of a role that is not built in. It holds at
// once for everybody who has it.
func (r roles) UpdateRole(ctx context.Context, request *connect.Request[adminv1.UpdateRoleRequest]) (*connect.Response[adminv1.UpdateRoleResponse], error) {
	m := request.Msg
	role, err := r.withRole(ctx, m.GetName(), func(tx *store.Tx, role *adminv1.Role) error {
		if m.Description != nil {
			role.Description = m.GetDescription()
		}
		if m.GetPermissions() != nil {
			role.Permissions = sorted(m.GetPermissions().GetPermissions())
		}
		if m.GetGrants() != nil {
			role.Grants = m.GetGrants().GetGrants()
		}
		err := tx.UpdateRole(ctx, db.UpdateRoleParams{Name: role.GetName(), Description: role.GetDescription(), Permissions: role.GetPermissions()})
		if err != nil {
			return err
		}
		if err := tx.DeleteRoleGrants(ctx, role.GetName()); err != nil {
			return err
		}
		tx.Record("role.update", role.GetName(), roleDetails(role))
		return insertGrants(ctx, tx, role)
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.UpdateRoleResponse{Role: role}), nil
}

// RemoveRole removes a role that nobody holds.
func (r roles) RemoveRole(ctx context.Context, request *connect.Request[adminv1.RemoveRoleRequest]) (*connect.Response[adminv1.RemoveRoleResponse], error) {
	_, err := r.withRole(ctx, request.Msg.GetName(), func(tx *store.Tx, role *adminv1.Role) error {
		holders, err := tx.ListRoleHolders(ctx, role.GetName())
		if err != nil {
			return err
		}
		if len(holders) > 0 {
			return fault.Newf(fault.Precondition, "the role %s is held by the %s %s; take it away first", role.GetName(), holders[0].Kind, holders[0].Holder)
		}
		tx.Record("role.remove", role.GetName(), roleDetails(role))
		return tx.DeleteRole(ctx, role.GetName())
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RemoveRoleResponse{}), nil
}

// withRole changes one role that is not built in, under its lock. It holds the
// caller to P-16 for the role as it is and as change leaves it, and the role to
// what nodes understand.
func (r roles) withRole(ctx context.Context, name string, change func(*store.Tx, *adminv1.Role) error) (role *adminv1.Role, err error) {
	_, err = r.change(ctx, func(tx *store.Tx) error {
		row, err := tx.GetRole(ctx, name)
		if err != nil {
			return store.Missing(err, fmt.Sprintf("role %q; 'warder role list' shows the roles", name))
		}
		if row.BuiltIn {
			return fault.Newf(fault.Precondition, "the role %s is built in and stays as it is; create one of your own", name)
		}
		all, err := readRoles(ctx, tx.Queries)
		if err != nil {
			return err
		}
		role = all[slices.IndexFunc(all, func(r *adminv1.Role) bool { return r.GetName() == name })]
		g, err := newGiver(ctx, tx.Queries)
		if err != nil {
			return err
		}
		if err := g.mayMake(role); err != nil {
			return err
		}
		if err := change(tx, role); err != nil {
			return err
		}
		if err := compiles(role); err != nil {
			return err
		}
		return g.mayMake(role)
	})
	return role, err
}

// insertGrants saves the grants of a role that has none yet.
func insertGrants(ctx context.Context, tx *store.Tx, role *adminv1.Role) error {
	for _, grant := range role.GetGrants() {
		if err := insertGrant(ctx, tx, role.GetName(), grant); err != nil {
			return err
		}
	}
	return nil
}

func roleDetails(role *adminv1.Role) map[string]any {
	return map[string]any{"permissions": role.GetPermissions(), "grants": grantDetails(role.GetGrants())}
}

func insertGrant(ctx context.Context, tx *store.Tx, role string, g *adminv1.Grant) error {
	return tx.InsertRoleGrant(ctx, db.InsertRoleGrantParams{
		Role: role, Tools: append([]string{}, g.GetTools()...), Risks: append([]string{}, g.GetRisks()...),
		Prompts: append([]string{}, g.GetPrompts()...), Resources: append([]string{}, g.GetResources()...),
	})
}

func grantDetails(grants []*adminv1.Grant) []map[string]any {
	details := make([]map[string]any, 0, len(grants))
	for _, g := range grants {
		details = append(details, map[string]any{
			"tools": g.GetTools(), "risks": g.GetRisks(), "prompts": g.GetPrompts(), "resources": g.GetResources(),
		})
	}
	return details
}

// readRoles returns every role with its grants.
func readRoles(ctx context.Context, q *db.Queries) ([]*adminv1.Role, error) {
	rows, err := q.ListRoles(ctx)
	if err != nil {
		return nil, err
	}
	grants, err := q.ListRoleGrants(ctx)
	if err != nil {
		return nil, err
	}
	byRole := make(map[string][]*adminv1.Grant)
	for _, g := range grants {
		byRole[g.Role] = append(byRole[g.Role], &adminv1.Grant{
			Tools: g.Tools, Risks: g.Risks, Prompts: g.Prompts, Resources: g.Resources,
		})
	}
	all := make([]*adminv1.Role, 0, len(rows))
	for _, row := range rows {
		role := &adminv1.Role{Name: row.Name, BuiltIn: row.BuiltIn, Description: row.Description, Grants: byRole[row.Name], Permissions: row.Permissions}
		if row.BuiltIn {
			permissions, _ := login.BuiltIn(row.Name)
			for _, p := range permissions {
				role.Permissions = append(role.Permissions, string(p))
			}
		}
		all = append(all, role)
	}
	return all, nil
}

// compiles refuses a role that nodes would refuse, since a glob that means nothing
// must not hold up every later snapshot; and permissions that there are not.
func compiles(role *adminv1.Role) error {
	for _, p := range role.GetPermissions() {
		if !login.Permission(p).Known() {
			return fault.Newf(fault.Invalid, "there is no permission %q; 'warder role permissions' shows them", p)
		}
	}
	compiled, err := snapshotRole(role)
	if err != nil {
		return err
	}
	_, err = policy.Compile(0, nil, []*snapshotv1.Role{compiled}, nil)
	return err
}

// snapshotRole returns a role as nodes know it.
func snapshotRole(role *adminv1.Role) (*snapshotv1.Role, error) {
	out := &snapshotv1.Role{Name: role.GetName()}
	for _, g := range role.GetGrants() {
		grant := &snapshotv1.Grant{Tools: g.GetTools(), Prompts: g.GetPrompts(), Resources: g.GetResources()}
		for _, name := range g.GetRisks() {
			category, err := risk.Parse(name)
			if err != nil {
				return nil, err
			}
			grant.Risks = append(grant.Risks, category)
		}
		out.Grants = append(out.Grants, grant)
	}
	return out, nil
}
