package compiler

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/instance"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/seal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// sealKeys opens the keys that seal what clients carry. All of them go to nodes,
// those whose time has not come too: a node must be able to open what another,
// whose clock is ahead, seals.
func (b *builder) sealKeys(rows []db.SealKey, kek *seal.Vault) []*snapshotv1.SealKey {
	keys := make([]*snapshotv1.SealKey, 0, len(rows))
	for _, row := range rows {
		key, err := instance.OpenSealKey(kek, row)
		if err != nil {
			b.fail("%w", err)
			return nil
		}
		keys = append(keys, &snapshotv1.SealKey{Key: key, SealsFrom: timestamppb.New(row.SealsFrom)})
	}
	return keys
}
