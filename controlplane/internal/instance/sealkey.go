package instance

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/seal"
)

const (
	// sealKeyTurn is how long a key seals before the next one takes over by
	// itself.
	sealKeyTurn = 30 * 24 * time.Hour
	// sealKeyLead is how long before its time a new key reaches the nodes, so
	// that each can open what another seals. Clocks may differ by as much.
	sealKeyLead = 5 * time.Minute
	// sealKeyRest is how long a key stays to open what it sealed, after the next
	// one took over. Nodes seal nothing that lives longer than eight days (a
	// session lives seven); a day more is for a node that heard of the next key
	// late.
	sealKeyRest = 9 * 24 * time.Hour
	// maxSealKeys bounds what rotations by hand can pile up: a node tries none in
	// vain, but every snapshot carries all.
	maxSealKeys = 16

	// sealKeyLock is the key of the advisory lock of rotations: "sealkeys" in
	// ASCII.
	sealKeyLock = 0x7365616c6b657973
)

// Rotation says how to rotate the seal keys. The zero value is the careful way:
// nothing that a client holds is lost.
type Rotation struct {
	// Now lets the new key seal at once. A node that has not got it yet refuses,
	// for a moment, what others seal with it.
	Now bool
	// Forget drops all other keys: nothing that was sealed before opens any more.
	// It needs Now.
	Forget bool
}

// KeepSealKeys makes the first key, makes the next one when it is due, and drops
// those that have outlived all they sealed. Replicas may do it at the same time.
func KeepSealKeys(ctx context.Context, s *store.Store, kek *seal.Vault, now time.Time) error {
	_, err := s.Change(ctx, "system", func(tx *store.Tx) error {
		held, err := lockSealKeys(ctx, tx)
		if err != nil {
			return err
		}
		gone, due := outlived(held, now), sealKeyDue(held, now)
		if len(gone) == 0 && !due {
			return errNothingDue
		}
		if err := dropSealKeys(ctx, tx, gone); err != nil || !due {
			return err
		}
		from := now.Add(sealKeyLead)
		if len(held) == 0 {
			from = now
		}
		return addSealKey(ctx, tx, kek, now, from)
	})
	if err != nil && !errors.Is(err, errNothingDue) {
		return fmt.Errorf("keep seal keys: %w", err)
	}
	return nil
}

// errNothingDue rolls back where there was nothing to do.
var errNothingDue = errors.New("nothing is due")

// RotateSealKeys makes a new key as a part of a change, whether or not it is
// due. It is refused with fault.Conflict while another one waits for its time,
// and with fault.Exhausted where there are too many.
func RotateSealKeys(ctx context.Context, tx *store.Tx, kek *seal.Vault, now time.Time, how Rotation) error {
	if how.Forget && !how.Now {
		return fault.New(fault.Invalid, "to forget the old keys, the new one has to seal now: every session ends at once. Say both, or neither")
	}
	held, err := lockSealKeys(ctx, tx)
	if err != nil {
		return err
	}
	gone := outlived(held, now)
	if how.Forget {
		gone = names(held)
	}
	if err := dropSealKeys(ctx, tx, gone); err != nil {
		return err
	}
	left, from := held[len(gone):], now.Add(sealKeyLead)
	if how.Now {
		from = now
	} else if n := len(left); n > 0 && left[n-1].SealsFrom.After(now) {
		return fault.Newf(fault.Conflict, "a new key takes over already, at %s", left[n-1].SealsFrom.UTC().Format(time.RFC3339))
	}
	if len(left) >= maxSealKeys {
		return fault.Newf(fault.Exhausted,
			"%d keys are in use, which are enough; the oldest goes when nothing that it sealed can live any more, %d days after the next took over",
			len(left), int(sealKeyRest/(24*time.Hour)))
	}
	return addSealKey(ctx, tx, kek, now, from)
}

// lockSealKeys returns the keys, which nobody else rotates until tx ends.
func lockSealKeys(ctx context.Context, tx *store.Tx) ([]db.SealKey, error) {
	if err := tx.LockSealKeys(ctx, sealKeyLock); err != nil {
		return nil, fmt.Errorf("lock seal keys: %w", err)
	}
	held, err := tx.ListSealKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("read seal keys: %w", err)
	}
	return held, nil
}

// sealKeyDue reports whether the latest key has sealed for long enough.
func sealKeyDue(held []db.SealKey, now time.Time) bool {
	return len(held) == 0 || !held[len(held)-1].SealsFrom.Add(sealKeyTurn).After(now)
}

// outlived returns the names of the keys whose successor took over so long ago
// that nothing they sealed can live. They are the first ones of held.
func outlived(held []db.SealKey, now time.Time) []string {
	gone := 0
	for gone+1 < len(held) && !held[gone+1].SealsFrom.Add(sealKeyRest).After(now) {
		gone++
	}
	return names(held[:gone])
}

func names(held []db.SealKey) []string {
	var all []string
	for _, key := range held {
		all = append(all, key.Name)
	}
	return all
}

// dropSealKeys deletes keys and records it.
func dropSealKeys(ctx context.Context, tx *store.Tx, gone []string) error {
	if len(gone) == 0 {
		return nil
	}
	if err := tx.DeleteSealKeys(ctx, gone); err != nil {
		return fmt.Errorf("drop seal keys: %w", err)
	}
	for _, name := range gone {
		tx.Record("seal-key.drop", name, nil)
	}
	return nil
}

// addSealKey makes a key that seals from a time on, and records it.
func addSealKey(ctx context.Context, tx *store.Tx, kek *seal.Vault, now, from time.Time) error {
	key, random := make([]byte, 32), make([]byte, 8)
	if _, err := rand.Read(key); err != nil {
		return fmt.Errorf("make seal key: %w", err)
	}
	if _, err := rand.Read(random); err != nil {
		return fmt.Errorf("make seal key: %w", err)
	}
	name := hex.EncodeToString(random)
	sealed, err := kek.Seal(key, sealKeyPlace(name)...)
	if err != nil {
		return fmt.Errorf("seal seal key: %w", err)
	}
	err = tx.InsertSealKey(ctx, db.InsertSealKeyParams{Name: name, Sealed: sealed, SealsFrom: from, CreatedAt: now})
	if err != nil {
		return fmt.Errorf("keep seal key: %w", err)
	}
	tx.Record("seal-key.create", name, map[string]any{"seals_from": from.UTC().Format(time.RFC3339)})
	return nil
}

// OpenSealKey returns the 32 bytes of a key.
func OpenSealKey(kek *seal.Vault, row db.SealKey) ([]byte, error) {
	key, err := kek.Open(row.Sealed, sealKeyPlace(row.Name)...)
	if err != nil {
		return nil, fmt.Errorf("open seal key %s: %w", row.Name, err)
	}
	return key, nil
}

// Seals returns the place in held of the key that seals at a time: of those whose
// time has come the latest, and before that of all of them the first. It is what
// nodes do. held is in the order of the table, and not empty.
func Seals(held []db.SealKey, now time.Time) int {
	for i := len(held) - 1; i > 0; i-- {
		if !held[i].SealsFrom.After(now) {
			return i
		}
	}
	return 0
}

// sealKeyPlace is the context that a key is sealed for: table, column, row.
func sealKeyPlace(name string) []string { return []string{"seal_key", "sealed", name} }
