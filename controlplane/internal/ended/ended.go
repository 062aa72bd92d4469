// Package ended keeps which sessions MCP clients ended before their time.
//
//	node ─EndedSessions─▶ List.End ─▶ ended_session ─NOTIFY, poll─▶ List.Wait ─▶ List.After ─▶ every node
//
// Sessions are sealed tokens that any node opens, so that nothing is stored for
// one that lives; only those that a client ended have to be known, everywhere,
// until they would have expired. The table is the truth: replicas keep none of
// it in memory, and each stream to a node reads it from its own position.
//
// The list is bounded. When it is full, further sessions are refused, and stay
// ended at the node alone at which they were ended; it says so again until there
// is room.
package ended

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/feed"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

const (
	// channel is where a new ended session is notified.
	channel = "warder_ended"
	// maxLife is how far from now a session may expire: no node seals any for
	// longer.
	maxLife = 8 * 24 * time.Hour
	// Limit is how many sessions are kept.
	Limit = 1_000_000
	// chunk is how many sessions After returns at most, and End writes at a time.
	chunk = 4096
	// lock is the key of the advisory lock of inserts: "ended" in ASCII.
	lock = 0x656e646564
)

// Config is what a List is made of. Store is required.
type Config struct {
	Store *store.Store
	Limit int          // 0: Limit
	Log   *slog.Logger // nil: discarded
}

// List is the table of ended sessions. It is safe for concurrent use. It hears
// of what other replicas wrote while Run runs.
type List struct {
	store *store.Store
	limit int
	feed  *feed.Feed
	now   func() time.Time
}

// New returns a list.
func New(c Config) *List {
	if c.Limit == 0 {
		c.Limit = Limit
	}
	l := &List{store: c.Store, limit: c.Limit, now: time.Now}
	l.feed = feed.New(feed.Config{Store: c.Store, Channel: channel, Position: l.position, Log: c.Log})
	return l
}

// Run follows the table until ctx ends.
func (l *List) Run(ctx context.Context) { l.feed.Run(ctx) }

// position returns how far the table has come.
func (l *List) position(ctx context.Context) (uint64, error) {
	position, err := l.store.GetEndedPosition(ctx)
	return uint64(position), err
}

// End keeps sessions that a node reported. Those that are known, that have
// expired, or that no node could have sealed are passed over. Where the list is
// full, it fails with fault.Exhausted and keeps nothing more.
func (l *List) End(ctx context.Context, sessions []*syncv1.EndedSession) error {
	for len(sessions) > 0 {
		n := min(len(sessions), chunk)
		batch := l.fit(sessions[:n])
		sessions = sessions[n:]
		if len(batch.Ids) == 0 {
			continue
		}
		if err := l.store.InTx(ctx, func(tx *store.Tx) error { return l.insert(ctx, tx, batch) }); err != nil {
			return fmt.Errorf("keep ended sessions: %w", err)
		}
	}
	return nil
}

// fit returns the sessions that can be ones.
func (l *List) fit(sessions []*syncv1.EndedSession) (batch db.InsertEndedSessionsParams) {
	now := l.now()
	for _, s := range sessions {
		expires := s.GetExpiresAt().AsTime()
		if len(s.GetId()) != 16 || s.GetExpiresAt().CheckValid() != nil || !expires.After(now) || expires.Sub(now) > maxLife {
			continue
		}
		batch.Ids, batch.ExpiresAt = append(batch.Ids, s.GetId()), append(batch.ExpiresAt, expires)
	}
	return batch
}

// insert writes a batch, and tells the replicas.
func (l *List) insert(ctx context.Context, tx *store.Tx, batch db.InsertEndedSessionsParams) error {
	if err := tx.LockEndedSessions(ctx, lock); err != nil {
		return err
	}
	held, err := tx.CountEndedSessions(ctx, int32(l.limit))
	if err != nil {
		return err
	}
	if held+int64(len(batch.Ids)) > int64(l.limit) {
		return fault.Newf(fault.Exhausted, "%d ended sessions are kept already; there is no room until some of them expire", held)
	}
	fresh, err := tx.InsertEndedSessions(ctx, batch)
	if err != nil || fresh == 0 {
		return err
	}
	return tx.NotifyEndedSessions(ctx)
}

// Wait blocks until the table has come beyond seen, and returns how far. It fails
// only when ctx ends. What it returns is good for the next Wait alone.
func (l *List) Wait(ctx context.Context, seen uint64) (uint64, error) { return l.feed.Wait(ctx, seen) }

// After returns a chunk of the sessions behind a position that still matter, and
// the position to go on from; there is no more when it returns none. Where the
// table has come less far than the position, it goes on from the beginning: what
// is there may have come after the database was restored. That the latest
// expired looks the same, and costs a repetition.
func (l *List) After(ctx context.Context, position uint64) ([]*syncv1.EndedSession, uint64, error) {
	rows, err := l.store.ListEndedSessions(ctx, db.ListEndedSessionsParams{After: int64(position), Now: l.now(), AtMost: chunk})
	if err != nil {
		return nil, position, fmt.Errorf("read ended sessions: %w", err)
	}
	if len(rows) == 0 {
		reached, err := l.position(ctx)
		if err == nil && reached < position {
			position = 0
		}
		return nil, position, err
	}
	sessions := make([]*syncv1.EndedSession, len(rows))
	for i, row := range rows {
		sessions[i] = &syncv1.EndedSession{Id: row.ID, ExpiresAt: timestamppb.New(row.ExpiresAt)}
	}
	return sessions, uint64(rows[len(rows)-1].Sequence), nil
}

// Sweep forgets sessions that would have expired by now anyhow.
func (l *List) Sweep(ctx context.Context) error {
	if _, err := l.store.DeleteExpiredEndedSessions(ctx, l.now()); err != nil {
		return fmt.Errorf("forget ended sessions: %w", err)
	}
	return nil
}
