package admin

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/instance"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

type sealKeys struct{ *API }

// ListSealKeys returns the keys that seal what clients carry, by their turn.
func (s sealKeys) ListSealKeys(ctx context.Context, _ *connect.Request[adminv1.ListSealKeysRequest]) (*connect.Response[adminv1.ListSealKeysResponse], error) {
	held, err := s.held(ctx)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.ListSealKeysResponse{Keys: held}), nil
}

// RotateSealKeys makes a key that takes over.
func (s sealKeys) RotateSealKeys(ctx context.Context, r *connect.Request[adminv1.RotateSealKeysRequest]) (*connect.Response[adminv1.RotateSealKeysResponse], error) {
	how := instance.Rotation{Now: r.Msg.GetNow(), Forget: r.Msg.GetForget()}
	_, err := s.change(ctx, func(tx *store.Tx) error {
		return instance.RotateSealKeys(ctx, tx, s.Keys, time.Now(), how)
	})
	if err != nil {
		return nil, err
	}
	held, err := s.held(ctx)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RotateSealKeysResponse{Keys: held}), nil
}

// held returns what may be known of the keys.
func (s sealKeys) held(ctx context.Context) ([]*adminv1.SealKey, error) {
	rows, err := s.Store.ListSealKeys(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]*adminv1.SealKey, len(rows))
	for i, row := range rows {
		keys[i] = &adminv1.SealKey{
			Name: row.Name, CreatedAt: timestamppb.New(row.CreatedAt), SealsFrom: timestamppb.New(row.SealsFrom),
			Seals: i == instance.Seals(rows, time.Now()),
		}
	}
	return keys, nil
}
