package admin

import (
	"context"
	"slices"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/instance"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/internal/seal"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

type secrets struct{ *API }

// ListKeyEncryptionKeys returns the keys of this replica, the one that seals first,
// and those that secrets need and it has not.
func (s secrets) ListKeyEncryptionKeys(ctx context.Context, _ *connect.Request[adminv1.ListKeyEncryptionKeysRequest]) (*connect.Response[adminv1.ListKeyEncryptionKeysResponse], error) {
	keys, err := s.held(ctx)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.ListKeyEncryptionKeysResponse{Keys: keys}), nil
}

// RewrapSecrets seals all under the newest key.
func (s secrets) RewrapSecrets(ctx context.Context, _ *connect.Request[adminv1.RewrapSecretsRequest]) (*connect.Response[adminv1.RewrapSecretsResponse], error) {
	rewrapped, trouble := instance.Rewrap(ctx, s.Store, s.Keys)
	if rewrapped > 0 {
		err := s.act(context.WithoutCancel(ctx), func(tx *store.Tx) error {
			tx.Note("secret.rewrap", s.Keys.IDs()[0], map[string]any{"rewrapped": rewrapped})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if trouble != nil {
		return nil, trouble
	}
	keys, err := s.held(ctx)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RewrapSecretsResponse{Rewrapped: rewrapped, Keys: keys}), nil
}

// held returns what may be known of the keys.
func (s secrets) held(ctx context.Context) ([]*adminv1.KeyEncryptionKey, error) {
	rows, err := s.Store.ListSealed(ctx)
	if err != nil {
		return nil, err
	}
	counts := make(map[string]int64)
	for _, row := range rows {
		counts[seal.KeyOf(row.Sealed)]++
	}
	present := s.Keys.IDs()
	ids := slices.Clone(present)
	for _, row := range rows {
		if id := seal.KeyOf(row.Sealed); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	keys := make([]*adminv1.KeyEncryptionKey, len(ids))
	for i, id := range ids {
		keys[i] = &adminv1.KeyEncryptionKey{Id: id, Seals: i == 0, Secrets: counts[id], Present: slices.Contains(present, id)}
	}
	return keys, nil
}
