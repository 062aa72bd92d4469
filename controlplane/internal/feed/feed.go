// Package feed follows the revision of configuration.
//
//	NOTIFY warder_config ──wake──┐
//	poll, every second ──────────┼─▶ read the revision ─▶ newer? ─▶ Wait returns, Follow calls
//	reconcile, every few minutes ┘                                  (the latest; never a queue)
//
// A notification only wakes: what the revision is, the table says. A lost one
// costs a turn of the poll. Because revisions follow commit order (package
// store), who has seen N need not look back below it. Readers get the latest
// revision, however many passed by in between.
package feed

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warder-gateway/warder/controlplane/internal/store"
)

const (
	// DefaultPoll is how long a lost notification can go unnoticed.
	DefaultPoll = time.Second
	// DefaultReconcile is how often Follow calls although nothing changed.
	DefaultReconcile = 5 * time.Minute
	// readTimeout bounds one reading of the revision.
	readTimeout = 5 * time.Second
)

// Config is what a Feed is made of. Store is required. With Channel and Position
// it follows something else than configuration in the same way.
type Config struct {
	Store     *store.Store
	Poll      time.Duration // 0: DefaultPoll
	Reconcile time.Duration // 0: DefaultReconcile
	// Channel is what is listened to. Empty: store.Channel.
	Channel string
	// Position reads how far what is followed has come; whatever is written later
	// must have a higher number. Nil: the revision of configuration.
	Position func(context.Context) (uint64, error)
	// WentBack is told that the database is at an earlier revision than seen, in
	// whatever epoch it is now; nil: nobody is. It must not block.
	WentBack func(epoch string, seen uint64)
	Log      *slog.Logger // nil: discarded
}

// Feed knows the latest revision. Its methods may be called concurrently; it
// knows nothing until Run runs.
type Feed struct {
	config Config
	wake   chan struct{} // capacity 1: a second wake-up says no more than the first

	mu       sync.Mutex
	revision uint64
	moved    chan struct{} // closed, and replaced, when revision moves
}

// New returns a feed.
func New(c Config) *Feed {
	if c.Poll == 0 {
		c.Poll = DefaultPoll
	}
	if c.Reconcile == 0 {
		c.Reconcile = DefaultReconcile
	}
	if c.Channel == "" {
		c.Channel = store.Channel
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.WentBack == nil {
		c.WentBack = func(string, uint64) {}
	}
	return &Feed{config: c, wake: make(chan struct{}, 1), moved: make(chan struct{})}
}

// Revision returns the latest revision that was seen; 0 before the first.
func (f *Feed) Revision() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.revision
}

// Wait blocks until there is a revision above after, and returns the latest. It
// fails only when ctx ends.
func (f *Feed) Wait(ctx context.Context, after uint64) (uint64, error) {
	for {
		revision, moved := f.current()
		if revision > after {
			return revision, nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// current returns the latest revision and what is closed when it moves.
func (f *Feed) current() (uint64, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.revision, f.moved
}

// Follow calls fn whenever the revision has moved beyond what the last
// successful call was for, and once in each reconcile interval whether or not it
// moved. After an error of fn it waits a turn of the poll, and calls again if
// there is still a revision to apply. It returns when ctx ends.
//
// What is already applied is given as from; fn returns the revision that it
// applied, which may be newer than the one that made Follow call.
func (f *Feed) Follow(ctx context.Context, from uint64, fn func(ctx context.Context) (uint64, error)) {
	reconcile := time.NewTicker(f.config.Reconcile)
	defer reconcile.Stop()
	done := from
	var said string // what failed, when it was logged last
	for {
		if !f.waitOr(ctx, done, reconcile.C) {
			return
		}
		applied, err := fn(ctx)
		if err == nil {
			done, said = max(done, applied), ""
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if text := err.Error(); text != said {
			said = text
			f.config.Log.Error("cannot apply the configuration; the last one stays in force", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(f.config.Poll):
		}
	}
}

// waitOr waits for a revision above done or for tick, and reports whether ctx
// goes on.
func (f *Feed) waitOr(ctx context.Context, done uint64, tick <-chan time.Time) bool {
	for {
		revision, moved := f.current()
		if revision > done {
			return ctx.Err() == nil
		}
		select {
		case <-moved:
		case <-tick:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// Run follows the database until ctx ends. A database that is away is waited
// for.
func (f *Feed) Run(ctx context.Context) {
	var wg sync.WaitGroup
	wg.Go(func() { f.listen(ctx) })
	f.poll(ctx)
	wg.Wait()
}

// poll reads the revision at each wake-up and each tick.
func (f *Feed) poll(ctx context.Context) {
	ticker := time.NewTicker(f.config.Poll)
	defer ticker.Stop()
	var failing bool
	for {
		err := f.read(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !failing:
			f.config.Log.Warn("cannot follow the database; nodes keep what they have", "channel", f.config.Channel, "error", err)
		case err == nil && failing:
			f.config.Log.Info("follows the database again", "channel", f.config.Channel)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		case <-ticker.C:
		}
	}
}

// read reads the revision and tells those who wait.
func (f *Feed) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	if f.config.Position != nil {
		reached, err := f.config.Position(ctx)
		if err != nil {
			return fmt.Errorf("read position: %w", err)
		}
		f.set(reached)
		return nil
	}
	position, err := f.config.Store.GetRevision(ctx)
	if err != nil {
		return fmt.Errorf("read revision: %w", err)
	}
	if seen := f.set(uint64(position.Revision)); seen > uint64(position.Revision) {
		f.config.WentBack(position.Epoch, seen)
	}
	return nil
}

// set moves the revision forward, and returns the latest. It never moves back: a
// database that was restored to an earlier state has to go on above it.
func (f *Feed) set(revision uint64) (latest uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if revision > f.revision {
		f.revision = revision
		close(f.moved)
		f.moved = make(chan struct{})
	}
	return f.revision
}

// listen keeps a connection that listens, and makes it again when it breaks.
func (f *Feed) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := f.listenOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		f.config.Log.Debug("lost the connection that listens for changes; the poll goes on", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(f.config.Poll):
		}
	}
}

// hangUp closes a connection, which a context that ended may be closing already
// in the background, and waits until the database knows.
func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), readTimeout)
	defer cancel()
	_ = conn.Close(ctx) // Nothing is lost with it.
	select {
	case <-conn.PgConn().CleanupDone():
	case <-ctx.Done():
	}
}

// listenOnce listens on a connection of its own until it breaks. It wakes once
// after LISTEN took effect, since what came before was not heard.
func (f *Feed) listenOnce(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, f.config.Store.Pool().Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer hangUp(conn)
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{f.config.Channel}.Sanitize()); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	for {
		select {
		case f.wake <- struct{}{}:
		default:
		}
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return fmt.Errorf("wait for notification: %w", err)
		}
	}
}
