package admin

import (
	"context"
	"slices"
	"strings"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

type users struct {
	*API
	adminv1connect.UnimplementedUserServiceHandler // until each method is here
}

// CreateUser saves a user. The roles must exist and be the caller's to give.
func (u users) CreateUser(ctx context.Context, r *connect.Request[adminv1.CreateUserRequest]) (*connect.Response[adminv1.CreateUserResponse], error) {
	m := r.Msg
	if err := mayGive(ctx, m.GetRoles()); err != nil {
		return nil, err
	}
	if err := u.knownRoles(ctx, m.GetRoles()); err != nil {
		return nil, err
	}
	var hash *string
	if m.GetPassword() != "" {
		h, err := u.Desk.Hasher().Hash(ctx, m.GetPassword())
		if err != nil {
			return nil, err
		}
		hash = &h
	}
	user := &adminv1.User{Name: m.GetName(), Roles: slices.Sorted(slices.Values(m.GetRoles())), HasPassword: hash != nil}
	err := u.act(ctx, func(tx *store.Tx) error {
		row, err := tx.InsertUser(ctx, db.InsertUserParams{Name: user.GetName(), PasswordHash: hash})
		if err != nil {
			return err
		}
		user.CreatedAt = timestamppb.New(row.CreatedAt)
		tx.Note("user.create", user.GetName(), map[string]any{"roles": user.GetRoles(), "password": hash != nil})
		return tx.InsertUserRoles(ctx, db.InsertUserRolesParams{UserID: row.ID, Roles: user.GetRoles()})
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.CreateUserResponse{User: user}), nil
}

// ListUsers returns all, by name.
func (u users) ListUsers(ctx context.Context, _ *connect.Request[adminv1.ListUsersRequest]) (*connect.Response[adminv1.ListUsersResponse], error) {
	rows, err := u.Store.ListUsers(ctx)
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListUsersResponse)
	for _, row := range rows {
		response.Users = append(response.Users, &adminv1.User{
			Name: row.Name, Roles: row.Roles, HasPassword: row.HasPassword, CreatedAt: timestamppb.New(row.CreatedAt),
		})
	}
	return reply(response), nil
}

// mayGive holds the caller to P-16: nobody hands out a role that he does not
// cover.
func mayGive(ctx context.Context, roles []string) error {
	caller := login.From(ctx)
	for _, role := range roles {
		if !caller.Covers(role) {
			return fault.Newf(fault.Denied, "you do not hold the role %s, so you cannot give it, nor a key that has it; ask an owner", role)
		}
	}
	return nil
}

// knownRoles refuses roles that do not exist, naming those that do.
func (a *API) knownRoles(ctx context.Context, names []string) error {
	rows, err := a.Store.ListRoles(ctx)
	if err != nil {
		return err
	}
	known := make([]string, 0, len(rows))
	for _, row := range rows {
		known = append(known, row.Name)
	}
	for _, name := range names {
		if !slices.Contains(known, name) {
			return fault.Newf(fault.Invalid, "there is no role %q; the roles are %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}
