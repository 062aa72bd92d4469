package admin

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/instance"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/internal/fault"
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
	rewrapped, err := s.rewrap(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := s.held(ctx)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RewrapSecretsResponse{Rewrapped: rewrapped, Keys: keys}), nil
}

// rewrap goes through the secrets until all are sealed under the newest key, and
// returns how many it renewed. Each pass is one transaction with its audit row, so
// that none is renewed unrecorded.
func (s secrets) rewrap(ctx context.Context) (rewrapped int64, err error) {
	for range instance.MaxPasses {
		var n, older int64
		var trouble error
		err := s.act(ctx, func(tx *store.Tx) error {
			if n, older, trouble = instance.Rewrap(ctx, tx.Queries, s.Keys); n == 0 {
				return cmp.Or(trouble, errUnchanged)
			}
			tx.Note("secret.rewrap", s.Keys.IDs()[0], map[string]any{"rewrapped": n})
			return nil // What was renewed before the trouble stays so.
		})
		if err != nil && !errors.Is(err, errUnchanged) {
			return 0, err
		}
		if trouble != nil {
			return 0, trouble
		}
		if rewrapped += n; older == 0 {
			return rewrapped, nil
		}
	}
	return 0, fault.New(fault.Unavailable, "secrets are sealed with an older key faster than they can be renewed; put the new key first at every replica, restart it, and try again")
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
