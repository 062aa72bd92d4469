package ledger

import (
	"context"
	"sync"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
)

const (
	// useEvery is how often last uses of keys are written.
	useEvery = 15 * time.Second
	// useStep is how exactly a last use is known: a key in use costs one write in
	// each.
	useStep = time.Minute
	// maxUses bounds the keys whose last use waits to be written. A use more is not
	// remembered; the next one of its key is.
	maxUses = 100_000
)

// uses is when keys were last used, as far as it has not been written. The zero
// value is empty.
type uses struct {
	mu sync.Mutex
	at map[string]time.Time // by key id, in whole steps
}

// add notes the uses that a committed batch told of.
func (u *uses) add(calls []db.CopyAuditCallsParams) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range calls {
		u.note(calls[i].KeyID, calls[i].At.Truncate(useStep))
	}
}

// note notes one use. The caller holds the lock.
func (u *uses) note(key string, at time.Time) {
	before, known := u.at[key]
	if key == "" || known && !at.After(before) || !known && len(u.at) >= maxUses {
		return
	}
	if u.at == nil {
		u.at = make(map[string]time.Time)
	}
	u.at[key] = at
}

// take returns what there is to write, and forgets it.
func (u *uses) take() (arg db.TouchAPIKeysParams) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for key, at := range u.at {
		arg.Ids, arg.Ats = append(arg.Ids, key), append(arg.Ats, at)
	}
	u.at = nil
	return arg
}

// putBack notes again what could not be written.
func (u *uses) putBack(arg db.TouchAPIKeysParams) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, key := range arg.Ids {
		u.note(key, arg.Ats[i])
	}
}

// writeUses writes the last uses of keys: beside the intake, which must not wait
// for the rows of keys.
func (l *Ledger) writeUses(ctx context.Context) {
	arg := l.uses.take()
	if len(arg.Ids) == 0 {
		return
	}
	if err := l.store.TouchAPIKeys(ctx, arg); err != nil {
		l.uses.putBack(arg)
		l.log.Warn("cannot write when keys were last used; tries again", "keys", len(arg.Ids), "error", err)
	}
}
