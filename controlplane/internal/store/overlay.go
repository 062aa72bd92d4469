package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
)

// maxOverlayChanges bounds the changes that an Overlay has. Where there are more,
// whoever reads it learns of the rest from ReadConfig.
const maxOverlayChanges = 1000

// Overlay is the deny overlay as it was at one revision, and what changed since an
// earlier one: all that a revocation needs, in a fraction of the time that
// ReadConfig takes.
type Overlay struct {
	Epoch    string
	Revision uint64
	Denies   []db.Deny
	// Changes are those since, in order; of many, the first.
	Changes []db.ConfigChange
}

// ReadOverlay reads the overlay, and what changed after a revision, in one
// transaction that sees one state of the database.
func (s *Store) ReadOverlay(ctx context.Context, after uint64) (*Overlay, error) {
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	overlay := new(Overlay)
	err := s.transact(ctx, options, func(tx pgx.Tx) error {
		q := db.New(translated{tx})
		position, err := q.GetRevision(ctx)
		if err != nil {
			return fmt.Errorf("revision: %w", err)
		}
		overlay.Epoch, overlay.Revision = position.Epoch, uint64(position.Revision)
		overlay.Changes, err = q.ListConfigChanges(ctx, db.ListConfigChangesParams{After: int64(after), RowLimit: maxOverlayChanges})
		if err != nil {
			return fmt.Errorf("changes: %w", err)
		}
		if overlay.Denies, err = q.ListDenies(ctx); err != nil {
			return fmt.Errorf("denies: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read deny overlay: %w", err)
	}
	return overlay, nil
}
