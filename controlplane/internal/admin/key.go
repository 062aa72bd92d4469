package admin

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/apikey"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

// overlayLife is how long a revocation stays in the deny overlay. The key leaves
// the snapshot at once; the overlay is for nodes that have not heard of that.
const overlayLife = 30 * 24 * time.Hour

type keys struct {
	*API
	adminv1connect.UnimplementedKeyServiceHandler // until each method is here
}

// CreateKey makes a key; this answer is the only place that has its secret.
func (k keys) CreateKey(ctx context.Context, r *connect.Request[adminv1.CreateKeyRequest]) (*connect.Response[adminv1.CreateKeyResponse], error) {
	m := r.Msg
	user, err := k.Store.GetUser(ctx, m.GetUser())
	if err != nil {
		return nil, store.Missing(err, fmt.Sprintf("user %q; create it first: warder user create NAME --role ROLE", m.GetUser()))
	}
	if err := mayGive(ctx, user.Roles); err != nil {
		return nil, err
	}
	key, err := apikey.New()
	if err != nil {
		return nil, err
	}
	details := &adminv1.Key{Id: key.ID, User: user.Name, Application: m.GetApplication(), CreatedBy: login.From(ctx).Name}
	var expires *time.Time
	if m.GetExpiresIn() != nil {
		expires = new(time.Now().Add(m.GetExpiresIn().AsDuration()))
		details.ExpiresAt = timestamppb.New(*expires)
	}
	_, err = k.change(ctx, func(tx *store.Tx) error {
		if err := ensureApplication(ctx, tx, m.GetApplication()); err != nil {
			return err
		}
		created, err := tx.InsertAPIKey(ctx, db.InsertAPIKeyParams{
			ID: key.ID, Hash: apikey.Hash(k.Pepper, key.Secret), UserID: user.ID,
			Application: m.GetApplication(), CreatedBy: details.GetCreatedBy(), ExpiresAt: expires,
		})
		details.CreatedAt = timestamppb.New(created)
		tx.Record("key.create", key.ID, map[string]any{
			"user": user.Name, "application": m.GetApplication(), "expires_in": m.GetExpiresIn().AsDuration().String(),
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	response := reply(&adminv1.CreateKeyResponse{Key: key.String(), Details: details})
	response.Header().Set("Cache-Control", "no-store")
	return response, nil
}

// ensureApplication saves an application that is new.
func ensureApplication(ctx context.Context, tx *store.Tx, name string) error {
	added, err := tx.EnsureApplication(ctx, name)
	if added > 0 {
		tx.Note("application.create", name, nil)
	}
	return err
}

// ListKeys returns keys without secrets, newest first.
func (k keys) ListKeys(ctx context.Context, r *connect.Request[adminv1.ListKeysRequest]) (*connect.Response[adminv1.ListKeysResponse], error) {
	if name := r.Msg.GetUser(); name != "" {
		if _, err := k.Store.GetUser(ctx, name); err != nil {
			return nil, store.Missing(err, fmt.Sprintf("user %q", name))
		}
	}
	rows, err := k.Store.ListAPIKeys(ctx, r.Msg.GetUser())
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListKeysResponse)
	for _, row := range rows {
		response.Keys = append(response.Keys, keyMessage(db.GetAPIKeyRow(row)))
	}
	return reply(response), nil
}

// RevokeKey refuses a key from now on, for good: the row says so, and the deny
// overlay carries it ahead of everything else. A key that is revoked already
// stays as it is.
func (k keys) RevokeKey(ctx context.Context, r *connect.Request[adminv1.RevokeKeyRequest]) (*connect.Response[adminv1.RevokeKeyResponse], error) {
	id := r.Msg.GetId()
	var row db.GetAPIKeyRow
	err := k.changed(ctx, func(tx *store.Tx) (err error) {
		if row, err = tx.GetAPIKey(ctx, id); err != nil {
			return store.Missing(err, fmt.Sprintf("key %q; the id is the part between the first two _ of a key", id))
		}
		if row.RevokedAt != nil {
			return errUnchanged
		}
		return k.revoke(ctx, tx, &row, r.Msg.GetReason())
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RevokeKeyResponse{Key: keyMessage(row)}), nil
}

func (k keys) revoke(ctx context.Context, tx *store.Tx, row *db.GetAPIKeyRow, reason string) (err error) {
	actor := tx.Actor()
	row.RevokedAt, err = tx.RevokeAPIKey(ctx, db.RevokeAPIKeyParams{ID: row.ID, RevokedBy: &actor, Reason: reason})
	if err != nil {
		return err
	}
	shown := reason
	if shown == "" {
		shown = "the key was revoked"
	}
	err = tx.InsertDeny(ctx, db.InsertDenyParams{
		Kind: "key", Name: row.ID, Reason: shown, CreatedBy: actor, ExpiresAt: new(time.Now().Add(overlayLife)), Cause: "revoked",
	})
	tx.Record("key.revoke", row.ID, map[string]any{"user": row.UserName, "application": row.Application, "reason": reason})
	return err
}

func keyMessage(row db.GetAPIKeyRow) *adminv1.Key {
	return &adminv1.Key{
		Id: row.ID, User: row.UserName, Application: row.Application, CreatedBy: row.CreatedBy,
		CreatedAt: timestamppb.New(row.CreatedAt), ExpiresAt: timestamp(row.ExpiresAt), RevokedAt: timestamp(row.RevokedAt),
	}
}
