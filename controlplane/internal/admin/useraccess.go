package admin

import (
	"context"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// SetPassword sets a password or takes it away. The user's sessions end, and his
// devices are not known any more; one's own go on under other cookies.
func (u users) SetPassword(ctx context.Context, r *connect.Request[adminv1.SetPasswordRequest]) (*connect.Response[adminv1.SetPasswordResponse], error) {
	m, caller := r.Msg, login.From(ctx)
	own := m.GetName() == caller.Name
	switch {
	case own:
		if err := u.Desk.Confirm(ctx, m.GetOldPassword()); err != nil {
			return nil, err
		}
	case !caller.Holds(login.WriteUsers):
		return nil, fault.Newf(fault.Denied, "to set the password of somebody else needs the permission %s, which none of your roles holds; ask an owner", login.WriteUsers)
	}
	hash, err := u.hash(ctx, m.GetNewPassword())
	if err != nil {
		return nil, err
	}
	_, err = u.withUser(ctx, m.GetName(), func(tx *store.Tx, row db.GetUserRow) error {
		if hash == nil && row.PasswordHash == nil {
			return errUnchanged
		}
		tx.Note("user.set_password", row.Name, map[string]any{"password": hash != nil})
		if _, err := tx.SetPassword(ctx, db.SetPasswordParams{ID: row.ID, PasswordHash: hash}); err != nil {
			return err
		}
		_, err := endOthers(ctx, tx, row.ID)
		return err
	})
	if err != nil {
		return nil, err
	}
	response := reply(&adminv1.SetPasswordResponse{})
	if !own {
		return response, nil
	}
	if err := u.rotate(ctx, response.Header()); err != nil || hash == nil {
		return response, err
	}
	device, err := u.Desk.Remember(ctx, *hash)
	setCookies(response.Header(), device)
	return response, err
}

// disabled is the cause of what the deny overlay says of who is disabled.
const disabled = "disabled"

// DisableUser refuses a user everywhere: his sessions end, and by the deny overlay
// every node refuses his keys and tokens.
func (u users) DisableUser(ctx context.Context, r *connect.Request[adminv1.DisableUserRequest]) (*connect.Response[adminv1.DisableUserResponse], error) {
	user, err := u.withUser(ctx, r.Msg.GetName(), func(tx *store.Tx, row db.GetUserRow) error {
		if row.DisabledAt != nil {
			return errUnchanged
		}
		tx.Record("user.disable", row.Name, map[string]any{"reason": r.Msg.GetReason()})
		return disable(ctx, tx, row, r.Msg.GetReason())
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.DisableUserResponse{User: user}), nil
}

// disable does it, whether he was disabled before or not.
func disable(ctx context.Context, tx *store.Tx, row db.GetUserRow, reason string) error {
	err := tx.DisableUser(ctx, db.DisableUserParams{ID: row.ID, Actor: tx.Actor(), Reason: reason})
	if err != nil {
		return err
	}
	if _, err := tx.DeleteLoginSessionsOf(ctx, db.DeleteLoginSessionsOfParams{UserID: row.ID}); err != nil {
		return err
	}
	if reason == "" {
		reason = "the user is disabled"
	}
	return tx.InsertDeny(ctx, db.InsertDenyParams{
		Kind: "user", Name: row.Name, Reason: reason, CreatedBy: tx.Actor(), Cause: disabled,
	})
}

// EnableUser lets a user who was disabled in again. What else denies him stays.
func (u users) EnableUser(ctx context.Context, r *connect.Request[adminv1.EnableUserRequest]) (*connect.Response[adminv1.EnableUserResponse], error) {
	user, err := u.withUser(ctx, r.Msg.GetName(), func(tx *store.Tx, row db.GetUserRow) error {
		if row.DisabledAt == nil {
			return errUnchanged
		}
		tx.Record("user.enable", row.Name, nil)
		if _, err := tx.EnableUser(ctx, row.ID); err != nil {
			return err
		}
		// One that was made while he was being disabled must not come back to life.
		if _, err := tx.DeleteLoginSessionsOf(ctx, db.DeleteLoginSessionsOfParams{UserID: row.ID}); err != nil {
			return err
		}
		_, err := tx.DeleteDeny(ctx, db.DeleteDenyParams{Kind: "user", Name: row.Name, Cause: disabled})
		return err
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.EnableUserResponse{User: user}), nil
}

// RemoveUser disables a user for good. Whoever looks at the audit still finds who
// he was; the name is nobody's again.
func (u users) RemoveUser(ctx context.Context, r *connect.Request[adminv1.RemoveUserRequest]) (*connect.Response[adminv1.RemoveUserResponse], error) {
	reason := r.Msg.GetReason()
	user, err := u.withUser(ctx, r.Msg.GetName(), func(tx *store.Tx, row db.GetUserRow) error {
		tx.Record("user.remove", row.Name, map[string]any{"reason": reason, "roles": row.Roles})
		if err := disable(ctx, tx, row, reason); err != nil {
			return err
		}
		if err := u.revokeAll(ctx, tx, row.ID); err != nil {
			return err
		}
		if err := tx.DeleteUserRoles(ctx, row.ID); err != nil {
			return err
		}
		return tx.RemoveUser(ctx, row.ID)
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RemoveUserResponse{User: user}), nil
}

// revokeAll revokes every key of a user.
func (u users) revokeAll(ctx context.Context, tx *store.Tx, user int64) error {
	ids, err := tx.ListUnrevokedKeyIDs(ctx, user)
	if err != nil {
		return err
	}
	for _, id := range ids {
		row, err := tx.GetAPIKey(ctx, id)
		if err != nil {
			return err
		}
		if err := keys(u).revoke(ctx, tx, &row, "the user was removed"); err != nil {
			return err
		}
	}
	return nil
}
