package admin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// overlayLife is how long a revocation stays in the deny overlay. The key leaves
// the snapshot at once; the overlay is for nodes that have not heard of that.
const overlayLife = 30 * 24 * time.Hour

// defaultOverlap is how long a rotated key goes on working, unless somebody says
// otherwise.
const defaultOverlap = 24 * time.Hour

type keys struct{ *API }

// CreateKey makes a key; this answer is the only place that has its secret.
func (k keys) CreateKey(ctx context.Context, r *connect.Request[adminv1.CreateKeyRequest]) (*connect.Response[adminv1.CreateKeyResponse], error) {
	m := r.Msg
	order := keyOrder{user: m.GetUser(), application: m.GetApplication(), servers: m.GetServers(), expiresIn: m.GetExpiresIn()}
	var made *newKey
	_, err := k.change(ctx, func(tx *store.Tx) (err error) {
		if made, err = k.make(ctx, tx, order); err != nil {
			return err
		}
		tx.Record("key.create", made.details.GetId(), order.detail())
		return nil
	})
	if err != nil {
		return nil, err
	}
	return secretly(&adminv1.CreateKeyResponse{Key: made.text, Details: made.details}), nil
}

// RotateKey makes a successor of a key that still works, and lets the old one end.
func (k keys) RotateKey(ctx context.Context, r *connect.Request[adminv1.RotateKeyRequest]) (*connect.Response[adminv1.RotateKeyResponse], error) {
	m := r.Msg
	overlap := defaultOverlap
	if m.GetOverlap() != nil {
		overlap = m.GetOverlap().AsDuration()
	}
	var made *newKey
	var old db.GetAPIKeyRow
	_, err := k.change(ctx, func(tx *store.Tx) (err error) {
		if old, err = lockKey(ctx, tx, m.GetId()); err != nil {
			return err
		}
		if err := rotatable(ctx, tx, &old, time.Now()); err != nil {
			return err
		}
		order := keyOrder{user: old.UserName, application: old.Application, servers: old.Servers, expiresIn: m.GetExpiresIn()}
		if order.expiresIn == nil && old.ExpiresAt != nil {
			order.expiresIn = durationpb.New(old.ExpiresAt.Sub(old.CreatedAt))
		}
		if made, err = k.make(ctx, tx, order); err != nil {
			return err
		}
		old.Successor = new(made.details.GetId())
		old.ExpiresAt, err = tx.SucceedAPIKey(ctx, db.SucceedAPIKeyParams{ID: old.ID, Successor: old.Successor, EndsAt: time.Now().Add(overlap)})
		tx.Record("key.rotate", old.ID, map[string]any{
			"user": old.UserName, "application": old.Application, "successor": made.details.GetId(), "overlap": overlap.String(),
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return secretly(&adminv1.RotateKeyResponse{Key: made.text, Details: made.details, Old: keyMessage(old)}), nil
}

// rotatable refuses to rotate a key that does not work any more, or that somebody
// rotated already: it would leave two successors, of which one is forgotten. A
// server of it that was removed is not left out of the successor's list either: of
// an empty one it would come to mean all.
func rotatable(ctx context.Context, tx *store.Tx, row *db.GetAPIKeyRow, now time.Time) error {
	switch {
	case row.RevokedAt != nil:
		return fault.Newf(fault.Precondition, "the key %s is revoked, which is final; make a new one with 'warder key create'", row.ID)
	case row.Successor != nil:
		return fault.Newf(fault.Precondition, "the key %s was rotated already; its successor is %s, rotate that one", row.ID, *row.Successor)
	case row.ExpiresAt != nil && !now.Before(*row.ExpiresAt):
		return fault.Newf(fault.Precondition, "the key %s has expired; make a new one with 'warder key create'", row.ID)
	}
	gone, err := missingServer(ctx, tx, row.Servers)
	if gone != "" {
		return fault.Newf(fault.Precondition, "the key is good for the server %s, which was removed; make a new one with 'warder key create', for servers that there are", gone)
	}
	return err
}

// lockKey reads a key, locked.
func lockKey(ctx context.Context, tx *store.Tx, id string) (db.GetAPIKeyRow, error) {
	row, err := tx.GetAPIKey(ctx, id)
	return row, store.Missing(err, fmt.Sprintf("key %q; the id is the part between the first two _ of a key", id))
}

// keyOrder says what key to make.
type keyOrder struct {
	user, application string
	servers           []string
	expiresIn         *durationpb.Duration // nil: does not expire
}

// detail is what the audit of administrators has of it.
func (o *keyOrder) detail() map[string]any {
	return map[string]any{
		"user": o.user, "application": o.application, "servers": o.servers, "expires_in": o.expiresIn.AsDuration().String(),
	}
}

// newKey is a key that was made.
type newKey struct {
	text    string // the whole key. Secret.
	details *adminv1.Key
}

// make makes a key, if the caller may give what its user has.
func (k keys) make(ctx context.Context, tx *store.Tx, o keyOrder) (*newKey, error) {
	user, err := tx.GetUser(ctx, o.user)
	if err != nil {
		return nil, store.Missing(err, fmt.Sprintf("user %q; create it first: warder user create NAME --role ROLE", o.user))
	}
	if err := mayActFor(ctx, tx.Queries, user); err != nil {
		return nil, err
	}
	if err := usable(user); err != nil {
		return nil, err
	}
	if err := knownServers(ctx, tx, o.servers); err != nil {
		return nil, err
	}
	if err := ensureApplication(ctx, tx, o.application); err != nil {
		return nil, err
	}
	key, err := apikey.New()
	if err != nil {
		return nil, err
	}
	row := db.InsertAPIKeyParams{
		ID: key.ID, Hash: apikey.Hash(k.Pepper, key.Secret), UserID: user.ID, Application: o.application,
		CreatedBy: tx.Actor(), Servers: slices.Sorted(slices.Values(o.servers)),
	}
	if o.expiresIn != nil {
		row.ExpiresAt = new(time.Now().Add(o.expiresIn.AsDuration()))
	}
	created, err := tx.InsertAPIKey(ctx, row)
	if err != nil {
		return nil, err
	}
	return &newKey{text: key.String(), details: &adminv1.Key{
		Id: key.ID, User: user.Name, Application: o.application, CreatedAt: timestamppb.New(created), CreatedBy: tx.Actor(),
		ExpiresAt: timestamp(row.ExpiresAt), Servers: row.Servers,
	}}, nil
}

// usable refuses a user whose keys no node would take.
func usable(user db.GetUserRow) error {
	switch {
	case user.RemovedAt != nil:
		return fault.Newf(fault.Precondition, "the user %s was removed, which is final; make the key for somebody else", user.Name)
	case user.DisabledAt != nil:
		return fault.Newf(fault.Precondition, "the user %s is disabled, so that a key of his would be refused; first: warder user enable %[1]s", user.Name)
	}
	return nil
}

// knownServers refuses slugs of which there is no server: a key that was meant for
// one must not turn out to be good for nothing, or for a server that comes later.
func knownServers(ctx context.Context, tx *store.Tx, slugs []string) error {
	slug, err := missingServer(ctx, tx, slugs)
	if slug != "" {
		return fault.Newf(fault.Invalid, "there is no server named %q; 'warder server list' shows the servers", slug)
	}
	return err
}

// missingServer returns the first of the slugs of which there is no server, or "".
func missingServer(ctx context.Context, tx *store.Tx, slugs []string) (string, error) {
	for _, slug := range slugs {
		if _, err := tx.GetServer(ctx, slug); fault.Is(err, fault.NotFound) {
			return slug, nil
		} else if err != nil {
			return "", err
		}
	}
	return "", nil
}

// secretly wraps an answer that holds a secret: nothing on the way keeps it.
func secretly[T any](message *T) *connect.Response[T] {
	response := reply(message)
	response.Header().Set("Cache-Control", "no-store")
	return response
}

// ensureApplication saves an application that is new, and refuses one that is
// disabled: no node would take a key of it.
func ensureApplication(ctx context.Context, tx *store.Tx, name string) error {
	added, err := tx.EnsureApplication(ctx, name)
	if err != nil {
		return err
	}
	if added > 0 {
		tx.Note("application.create", name, nil)
		return nil
	}
	row, err := tx.GetApplication(ctx, name)
	if err != nil {
		return err
	}
	if row.Disabled {
		return fault.Newf(fault.Precondition, "the application %s is disabled, so that a key of it would be refused; first: warder app enable %[1]s", name)
	}
	return nil
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
		if row, err = lockKey(ctx, tx, id); err != nil {
			return err
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
		Kind: "key", Name: row.ID, Reason: shown, CreatedBy: actor, ExpiresAt: new(time.Now().Add(overlayLife)), Cause: causeRevoked,
	})
	tx.Record("key.revoke", row.ID, map[string]any{"user": row.UserName, "application": row.Application, "reason": reason})
	return err
}

func keyMessage(row db.GetAPIKeyRow) *adminv1.Key {
	return &adminv1.Key{
		Id: row.ID, User: row.UserName, Application: row.Application, CreatedBy: row.CreatedBy,
		CreatedAt: timestamppb.New(row.CreatedAt), ExpiresAt: timestamp(row.ExpiresAt), RevokedAt: timestamp(row.RevokedAt),
		Servers: row.Servers, LastUsedAt: timestamp(row.LastUsedAt), Successor: optional(row.Successor),
	}
}
