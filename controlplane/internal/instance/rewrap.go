package instance

import (
	"context"
	"fmt"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/seal"
)

// maxPasses bounds how often Rewrap goes through all secrets. A secret that changed
// under its hands was sealed anew by whoever changed it; a replica that still seals
// with an older key could keep it busy for ever.
const maxPasses = 10

// Rewrap seals every secret that an older key-encryption key sealed under the newest
// one, row by row, while everything goes on, and returns how many. A secret whose
// key is not here is an error; what was sealed anew before it stays so.
func Rewrap(ctx context.Context, s *store.Store, vault *seal.Vault) (rewrapped int64, err error) {
	newest := vault.IDs()[0]
	for range maxPasses {
		rows, err := s.ListSealed(ctx)
		if err != nil {
			return rewrapped, err
		}
		left := 0
		for _, row := range rows {
			if seal.KeyOf(row.Sealed) == newest {
				continue
			}
			left++
			n, err := reseal(ctx, s, vault, row)
			if err != nil {
				return rewrapped, err
			}
			rewrapped += n
		}
		if left == 0 {
			return rewrapped, nil
		}
	}
	return rewrapped, fault.New(fault.Unavailable, "secrets are sealed with an older key faster than they can be renewed; put the new key first at every replica, restart it, and try again")
}

// reseal seals one secret anew, unless it has changed since it was read.
func reseal(ctx context.Context, s *store.Store, vault *seal.Vault, row db.ListSealedRow) (int64, error) {
	plain, err := vault.Open(row.Sealed, row.InTable, row.InColumn, row.InRow)
	if err != nil {
		return 0, fault.Wrap(fault.Precondition, fmt.Sprintf(
			"no key-encryption key of this replica opens the secret of %s %s, which key %s sealed; add that key again", row.InTable, row.InRow, seal.KeyOf(row.Sealed)), err).Coded(CodeKey)
	}
	defer clear(plain)
	renewed, err := vault.Seal(plain, row.InTable, row.InColumn, row.InRow)
	if err != nil {
		return 0, err
	}
	switch row.InTable {
	case "instance_secret":
		return s.ResealInstanceSecret(ctx, db.ResealInstanceSecretParams{Name: row.InRow, Was: row.Sealed, Renewed: renewed})
	case "seal_key":
		return s.ResealSealKey(ctx, db.ResealSealKeyParams{Name: row.InRow, Was: row.Sealed, Renewed: renewed})
	case "authority":
		return s.ResealAuthority(ctx, db.ResealAuthorityParams{Fingerprint: row.InRow, Was: row.Sealed, Renewed: renewed})
	case "server":
		if row.InColumn == "environment_sealed" {
			return s.ResealServerEnvironment(ctx, db.ResealServerEnvironmentParams{Name: row.InRow, Was: row.Sealed, Renewed: renewed})
		}
		return s.ResealServerHeaders(ctx, db.ResealServerHeadersParams{Name: row.InRow, Was: row.Sealed, Renewed: renewed})
	case "provider":
		return s.ResealProviderSecret(ctx, db.ResealProviderSecretParams{Name: row.InRow, Was: row.Sealed, Renewed: renewed})
	}
	return 0, fmt.Errorf("secret in %s: the table is not known", row.InTable)
}
