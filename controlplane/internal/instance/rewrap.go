package instance

import (
	"context"
	"fmt"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/seal"
)

// MaxPasses bounds how often to Rewrap until nothing is left. A secret that changed
// under its hands was sealed anew by whoever changed it; a replica that still seals
// with an older key could keep it busy for ever.
const MaxPasses = 10

// Rewrap goes once through the secrets that an older key-encryption key sealed, seals
// them under the newest one, and returns how many those were and how many it renewed:
// others changed meanwhile. A secret whose key is not here is fault.Precondition; what
// was sealed anew before it is right. q belongs to the transaction that audits it.
func Rewrap(ctx context.Context, q *db.Queries, vault *seal.Vault) (rewrapped, older int64, err error) {
	newest := vault.IDs()[0]
	rows, err := q.ListSealed(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, row := range rows {
		if seal.KeyOf(row.Sealed) == newest {
			continue
		}
		older++
		n, err := reseal(ctx, q, vault, row)
		if err != nil {
			return rewrapped, older, err
		}
		rewrapped += n
	}
	return rewrapped, older, nil
}

// reseal seals one secret anew, unless it has changed since it was read.
func reseal(ctx context.Context, q *db.Queries, vault *seal.Vault, row db.ListSealedRow) (int64, error) {
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
		return q.ResealInstanceSecret(ctx, db.ResealInstanceSecretParams{Name: row.InRow, Was: row.Sealed, Renewed: renewed})
	case "seal_key":
		return q.ResealSealKey(ctx, db.ResealSealKeyParams{Name: row.InRow, Was: row.Sealed, Renewed: renewed})
	case "authority":
		return q.ResealAuthority(ctx, db.ResealAuthorityParams{Fingerprint: row.InRow, Was: row.Sealed, Renewed: renewed})
	case "server":
		if row.InColumn == "environment_sealed" {
			return q.ResealServerEnvironment(ctx, db.ResealServerEnvironmentParams{Name: row.InRow, Was: row.Sealed, Renewed: renewed})
		}
		return q.ResealServerHeaders(ctx, db.ResealServerHeadersParams{Name: row.InRow, Was: row.Sealed, Renewed: renewed})
	case "provider":
		return q.ResealProviderSecret(ctx, db.ResealProviderSecretParams{Name: row.InRow, Was: row.Sealed, Renewed: renewed})
	}
	return 0, fmt.Errorf("secret in %s: the table is not known", row.InTable)
}
