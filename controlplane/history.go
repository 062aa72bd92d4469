package controlplane

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
)

// epochPause is the least time between two epochs, so that a node that says
// anything cannot make every other one take a snapshot without end.
const epochPause = 10 * time.Second

// history is a place that somebody has seen: this replica, or a node.
type history struct {
	epoch    string
	revision uint64
}

// suspect notes that somebody has seen a revision that is not there. It does not
// block: who sees it again says so again.
func (p *Plane) suspect(epoch string, revision uint64) {
	select {
	case p.lost <- history{epoch, revision}:
	default:
	}
}

// watchHistory begins a new epoch where the database was restored from a backup.
// Otherwise the numbers of the revisions that were lost would be given again,
// and nodes that are at them would refuse what comes under them, revocations
// too, until the numbers had passed theirs.
func (p *Plane) watchHistory(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case seen := <-p.lost:
			began, err := p.beginEpoch(ctx, seen)
			if err != nil && ctx.Err() == nil {
				p.log.Error("the database may lack a revision that was in force, and no new epoch could be begun; tries again", "error", err)
				p.suspect(seen.epoch, seen.revision)
			}
			if !began && err == nil {
				continue
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(epochPause):
		}
	}
}

// beginEpoch begins a new epoch if the database really lacks what was seen: a
// replica may just be late.
func (p *Plane) beginEpoch(ctx context.Context, seen history) (began bool, err error) {
	arg := db.BeginEpochParams{
		Epoch: seen.epoch, Seen: int64(min(seen.revision, math.MaxInt64)), AtLeast: int64(p.feed.Revision()),
	}
	revision, err := p.store.Change(ctx, "system", func(tx *store.Tx) error {
		n, err := tx.BeginEpoch(ctx, arg)
		if err == nil && n == 0 {
			err = errNothing
		}
		tx.Record("epoch.begin", seen.epoch, map[string]any{"seen": arg.Seen})
		return err
	})
	if errors.Is(err, errNothing) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("begin epoch: %w", err)
	}
	p.log.Error("the database lacks a revision that was in force: it was restored from a backup. A new epoch of the configuration "+
		"begins, and every node takes it whole. What was changed after the backup, revocations too, has to be done again",
		"seen", seen.revision, "revision", revision)
	return true, nil
}
