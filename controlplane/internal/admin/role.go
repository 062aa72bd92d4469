package admin

import (
	"context"
	"fmt"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/risk"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

type roles struct {
	*API
	adminv1connect.UnimplementedRoleServiceHandler // until each method is here
}

// ListRoles returns all, the built-in ones first.
func (r roles) ListRoles(ctx context.Context, _ *connect.Request[adminv1.ListRolesRequest]) (*connect.Response[adminv1.ListRolesResponse], error) {
	all, err := readRoles(ctx, r.Store.Queries)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.ListRolesResponse{Roles: all}), nil
}

// CreateRole saves a role with its first grants.
func (r roles) CreateRole(ctx context.Context, request *connect.Request[adminv1.CreateRoleRequest]) (*connect.Response[adminv1.CreateRoleResponse], error) {
	m := request.Msg
	role := &adminv1.Role{Name: m.GetName(), Description: m.GetDescription(), Grants: m.GetGrants()}
	if err := compiles(role); err != nil {
		return nil, err
	}
	_, err := r.change(ctx, func(tx *store.Tx) error {
		if err := tx.InsertRole(ctx, db.InsertRoleParams{Name: m.GetName(), Description: m.GetDescription(), Permissions: append([]string{}, m.GetPermissions()...)}); err != nil {
			return err
		}
		for _, grant := range m.GetGrants() {
			if err := insertGrant(ctx, tx, m.GetName(), grant); err != nil {
				return err
			}
		}
		tx.Record("role.create", m.GetName(), map[string]any{"grants": grantDetails(m.GetGrants())})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.CreateRoleResponse{Role: role}), nil
}

// GrantRole adds a grant to a role that is not built in.
func (r roles) GrantRole(ctx context.Context, request *connect.Request[adminv1.GrantRoleRequest]) (*connect.Response[adminv1.GrantRoleResponse], error) {
	name, grant := request.Msg.GetName(), request.Msg.GetGrant()
	if err := compiles(&adminv1.Role{Name: name, Grants: []*adminv1.Grant{grant}}); err != nil {
		return nil, err
	}
	var role *adminv1.Role
	_, err := r.change(ctx, func(tx *store.Tx) error {
		row, err := tx.GetRole(ctx, name)
		if err != nil {
			return store.Missing(err, fmt.Sprintf("role %q; 'warder role list' shows the roles", name))
		}
		if row.BuiltIn {
			return fault.Newf(fault.Precondition, "the role %s is built in and stays as it is; create one of your own", name)
		}
		if err := insertGrant(ctx, tx, name, grant); err != nil {
			return err
		}
		tx.Record("role.grant", name, map[string]any{"grants": grantDetails([]*adminv1.Grant{grant})})
		all, err := readRoles(ctx, tx.Queries)
		for _, other := range all {
			if other.GetName() == name {
				role = other
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.GrantRoleResponse{Role: role}), nil
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
		all = append(all, &adminv1.Role{
			Name: row.Name, BuiltIn: row.BuiltIn, Description: row.Description, Grants: byRole[row.Name],
		})
	}
	return all, nil
}

// compiles refuses a role that nodes would refuse: a glob that means nothing
// must not hold up every later snapshot.
func compiles(role *adminv1.Role) error {
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
