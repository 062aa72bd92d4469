package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

type users struct{ *API }

// CreateUser saves a user. The roles must exist and be the caller's to give.
func (u users) CreateUser(ctx context.Context, r *connect.Request[adminv1.CreateUserRequest]) (*connect.Response[adminv1.CreateUserResponse], error) {
	m := r.Msg
	if err := u.knownRoles(ctx, m.GetRoles()); err != nil {
		return nil, err
	}
	if err := groupNames(m.GetGroups()); err != nil {
		return nil, err
	}
	// Before the password is hashed, which is work; and again when it is done.
	made := person{user: m.GetName(), roles: sorted(m.GetRoles()), groups: sorted(m.GetGroups())}
	if err := giving(ctx, u.Store.Queries, made); err != nil {
		return nil, err
	}
	hash, err := u.hash(ctx, m.GetPassword())
	if err != nil {
		return nil, err
	}
	user := &adminv1.User{Name: made.user, Roles: made.roles, Groups: made.groups, HasPassword: hash != nil}
	_, err = u.change(ctx, func(tx *store.Tx) error {
		if err := giving(ctx, tx.Queries, made); err != nil {
			return err
		}
		row, err := tx.InsertUser(ctx, db.InsertUserParams{Name: made.user, PasswordHash: hash, Groups: made.groups})
		if err != nil {
			return err
		}
		user.CreatedAt = timestamppb.New(row.CreatedAt)
		tx.Record("user.create", made.user, map[string]any{"roles": made.roles, "groups": made.groups, "password": hash != nil})
		return tx.InsertUserRoles(ctx, db.InsertUserRolesParams{UserID: row.ID, Roles: made.roles})
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.CreateUserResponse{User: user}), nil
}

// giving holds the caller to P-16 for what he makes somebody.
func giving(ctx context.Context, q *db.Queries, made ...person) error {
	g, err := newGiver(ctx, q)
	if err != nil {
		return err
	}
	for _, p := range made {
		if err := g.mayGive(p); err != nil {
			return err
		}
	}
	return nil
}

// hash returns the hash of a password; nil for none.
func (u users) hash(ctx context.Context, password string) (*string, error) {
	if password == "" {
		return nil, nil
	}
	hash, err := u.Desk.Hasher().Hash(ctx, password)
	return &hash, err
}

func sorted(names []string) []string {
	out := append([]string{}, names...)
	slices.Sort(out)
	return out
}

// maxGroup bounds the name of a group, in bytes.
const maxGroup = 256

func groupNames(names []string) error {
	for _, name := range names {
		if name == "" || len(name) > maxGroup || strings.IndexFunc(name, unicode.IsControl) >= 0 {
			return fault.Newf(fault.Invalid, "a group's name is 1 to %d bytes without control characters; %q is not", maxGroup, name)
		}
	}
	return nil
}

// ListUsers returns all, by name, also those who were removed.
func (u users) ListUsers(ctx context.Context, _ *connect.Request[adminv1.ListUsersRequest]) (*connect.Response[adminv1.ListUsersResponse], error) {
	rows, err := u.Store.ListUsers(ctx)
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListUsersResponse)
	for _, row := range rows {
		response.Users = append(response.Users, &adminv1.User{
			Name: row.Name, Roles: row.Roles, Groups: row.Groups, HasPassword: row.HasPassword, Provider: row.Provider,
			CreatedAt: timestamppb.New(row.CreatedAt), SignedInAt: timestamp(row.SignedInAt),
			Disabled: row.DisabledAt != nil, DisabledReason: row.DisabledReason, Removed: row.RemovedAt != nil,
		})
	}
	return reply(response), nil
}

func userMessage(row db.GetUserRow) *adminv1.User {
	return &adminv1.User{
		Name: row.Name, Roles: row.Roles, Groups: row.Groups, HasPassword: row.PasswordHash != nil, Provider: row.Provider,
		CreatedAt: timestamppb.New(row.CreatedAt), SignedInAt: timestamp(row.SignedInAt),
		Disabled: row.DisabledAt != nil, DisabledReason: row.DisabledReason, Removed: row.RemovedAt != nil,
	}
}

// withUser changes one user: it locks all of them, finds him, holds the caller to
// P-16, and afterwards the change to the last owner. What change returns stands in
// the answer.
func (u users) withUser(ctx context.Context, name string, change func(tx *store.Tx, row db.GetUserRow) error) (*adminv1.User, error) {
	var after db.GetUserRow
	err := u.changed(ctx, func(tx *store.Tx) error {
		if err := tx.LockUsers(ctx); err != nil {
			return err
		}
		row, err := tx.GetUser(ctx, name)
		if err != nil {
			return store.Missing(err, fmt.Sprintf("user %q; 'warder user list' shows the users", name))
		}
		if err := mayActFor(ctx, tx.Queries, row); err != nil {
			return err
		}
		if row.RemovedAt != nil {
			return fault.Newf(fault.Precondition, "the user %s was removed, for good; create another one", name)
		}
		err = keepingOwner(ctx, tx, func() error { return change(tx, row) })
		if err != nil && !errors.Is(err, errUnchanged) {
			return err
		}
		var read error
		if after, read = tx.GetUser(ctx, name); read != nil {
			return read
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return userMessage(after), nil
}

// keepingOwner refuses a change after which nobody could sign in as an owner any
// more. The caller holds the lock on users, so that two changes that are each
// right do not take away the last two.
func keepingOwner(ctx context.Context, tx *store.Tx, change func() error) error {
	before, err := tx.AdministratorExists(ctx)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	after, err := tx.AdministratorExists(ctx)
	if err != nil {
		return err
	}
	if before && !after {
		return fault.New(fault.Precondition, "after that nobody could sign in as an owner; make somebody else an owner first, with a password or by a provider")
	}
	return nil
}

// UpdateUser replaces roles or groups. Sessions of who has other roles then end,
// but for the caller's own, which goes on under another cookie.
func (u users) UpdateUser(ctx context.Context, r *connect.Request[adminv1.UpdateUserRequest]) (*connect.Response[adminv1.UpdateUserResponse], error) {
	m := r.Msg
	if err := u.knownRoles(ctx, m.GetRoles().GetNames()); err != nil {
		return nil, err
	}
	if err := groupNames(m.GetGroups().GetNames()); err != nil {
		return nil, err
	}
	rotate := false
	user, err := u.withUser(ctx, m.GetName(), func(tx *store.Tx, row db.GetUserRow) error {
		then := personOf(row)
		if m.GetRoles() != nil {
			then.roles = sorted(m.GetRoles().GetNames())
		}
		if m.GetGroups() != nil {
			then.groups = sorted(m.GetGroups().GetNames())
		}
		otherRoles := !slices.Equal(then.roles, row.Roles)
		if !otherRoles && slices.Equal(then.groups, row.Groups) {
			return errUnchanged
		}
		if err := giving(ctx, tx.Queries, then); err != nil {
			return err
		}
		tx.Record("user.update", row.Name, map[string]any{"roles": then.roles, "groups": then.groups})
		if err := tx.SetUserGroups(ctx, db.SetUserGroupsParams{ID: row.ID, Groups: then.groups}); err != nil || !otherRoles {
			return err
		}
		rotate = true
		if err := setRoles(ctx, tx, row.ID, then.roles); err != nil {
			return err
		}
		_, err := endOthers(ctx, tx, row.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	response := reply(&adminv1.UpdateUserResponse{User: user})
	if rotate && login.From(ctx).Name == m.GetName() {
		return response, u.rotate(ctx, response.Header())
	}
	return response, nil
}

func setRoles(ctx context.Context, tx *store.Tx, user int64, roles []string) error {
	if err := tx.DeleteUserRoles(ctx, user); err != nil {
		return err
	}
	return tx.InsertUserRoles(ctx, db.InsertUserRolesParams{UserID: user, Roles: roles})
}

// endOthers ends the sessions of a user but for the one that asks.
func endOthers(ctx context.Context, tx *store.Tx, user int64) (ended int64, err error) {
	var but []byte
	if s := login.From(ctx).Session(); s != nil {
		but = s.Hash[:]
	}
	return tx.DeleteLoginSessionsOf(ctx, db.DeleteLoginSessionsOfParams{UserID: user, But: but})
}

// rotate gives the caller's session another cookie, with the answer of this header.
func (a *API) rotate(ctx context.Context, header http.Header) error {
	cookie, err := a.Desk.Rotate(ctx)
	if err != nil {
		return err
	}
	setCookies(header, cookie)
	return nil
}

// knownRoles refuses roles that do not exist, naming those that do.
func (a *API) knownRoles(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
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
