package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
)

// Channel is where a new revision is notified, with the revision as payload.
const Channel = "warder_config"

// Mistakes in the program: a mutation that says nothing of what it did, and one
// whose record nobody would write.
var (
	errUnaudited = errors.New("mutation recorded nothing: rolled back")
	errMisplaced = errors.New("audited mutation outside of Change and Act: rolled back")
)

// Tx is one transaction of a mutation. It is valid until the function that got
// it returns, and must not be used concurrently.
type Tx struct {
	*db.Queries
	conn    pgx.Tx
	actor   string
	records []entry // concern nodes
	notes   []entry // do not
}

// entry is one act, for admin_audit and config_change.
type entry struct{ action, target, detail string }

// newTx returns a transaction for a mutation by actor.
func newTx(conn pgx.Tx, actor string) *Tx {
	return &Tx{Queries: db.New(translated{conn}), conn: conn, actor: actor}
}

// Attempt runs fn under a savepoint: if it returns an error, what it did is
// undone and the transaction goes on.
func (tx *Tx) Attempt(ctx context.Context, fn func(*db.Queries) error) error {
	point, err := tx.conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("set savepoint: %w", translate(err))
	}
	if err := fn(db.New(translated{point})); err != nil {
		if undo := point.Rollback(ctx); undo != nil {
			return fmt.Errorf("return to savepoint: %w", translate(undo))
		}
		return err
	}
	if err := point.Commit(ctx); err != nil {
		return fmt.Errorf("release savepoint: %w", translate(err))
	}
	return nil
}

// Record says what the transaction did, where nodes are concerned: it takes a
// revision. The action is "noun.verb", the target what it was done to; detail
// becomes a JSON object (nil: an empty one) and must hold no secret. Several
// records of one transaction share its revision.
func (tx *Tx) Record(action, target string, detail map[string]any) {
	tx.records = append(tx.records, newEntry(action, target, detail))
}

// Note says what the transaction did, where nodes are not concerned: it is
// audited and takes no revision.
func (tx *Tx) Note(action, target string, detail map[string]any) {
	tx.notes = append(tx.notes, newEntry(action, target, detail))
}

// Actor returns who does it.
func (tx *Tx) Actor() string { return tx.actor }

// newEntry encodes detail. What cannot be encoded is a mistake in the program;
// the act is audited all the same, and the mistake with it.
func newEntry(action, target string, detail map[string]any) entry {
	if detail == nil {
		return entry{action, target, "{}"}
	}
	encoded, err := json.Marshal(detail, json.Deterministic(true))
	if err != nil {
		return entry{action, target, `{"error":"detail could not be encoded"}`}
	}
	return entry{action, target, string(encoded)}
}

// Change is the one way to change configuration: it runs fn in a transaction and
// commits, with the rows that fn writes, what fn recorded, under the next
// revision. It returns that revision; 0 if fn only noted. If fn records and
// notes nothing, or returns an error, nothing is written.
//
// The revision is taken after fn, under the lock of one row that is held until
// commit, so fn should do its slow work before it writes.
func (s *Store) Change(ctx context.Context, actor string, fn func(*Tx) error) (uint64, error) {
	var revision int64
	err := s.transact(ctx, pgx.TxOptions{}, func(conn pgx.Tx) error {
		tx := newTx(conn, actor)
		if err := fn(tx); err != nil {
			return err
		}
		var err error
		revision, err = tx.seal(ctx)
		return err
	})
	if err != nil {
		return 0, err
	}
	return uint64(revision), nil
}

// Act is Change for what does not concern nodes, such as a person's password:
// audited, without a revision. What fn records is noted.
func (s *Store) Act(ctx context.Context, actor string, fn func(*Tx) error) error {
	_, err := s.Change(ctx, actor, func(tx *Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		tx.notes, tx.records = append(tx.notes, tx.records...), nil
		return nil
	})
	return err
}

// seal writes what was recorded and noted; the revision is the last thing it
// waits for. It returns 0 if none was needed.
func (tx *Tx) seal(ctx context.Context) (int64, error) {
	if len(tx.records)+len(tx.notes) == 0 {
		return 0, errUnaudited
	}
	if err := tx.audit(ctx, tx.notes, nil); err != nil {
		return 0, err
	}
	if len(tx.records) == 0 {
		return 0, nil
	}
	revision, err := tx.AdvanceRevision(ctx)
	if err != nil {
		return 0, fmt.Errorf("take revision: %w", err)
	}
	if err := tx.audit(ctx, tx.records, &revision); err != nil {
		return 0, err
	}
	actions, targets, _ := columns(tx.records)
	err = tx.InsertConfigChanges(ctx, db.InsertConfigChangesParams{Revision: revision, Actions: actions, Targets: targets})
	if err != nil {
		return 0, fmt.Errorf("record change: %w", err)
	}
	if err := tx.NotifyRevision(ctx, fmt.Sprint(revision)); err != nil {
		return 0, fmt.Errorf("notify revision: %w", err)
	}
	return revision, nil
}

// audit writes entries to the audit of administrators.
func (tx *Tx) audit(ctx context.Context, entries []entry, revision *int64) error {
	if len(entries) == 0 {
		return nil
	}
	actions, targets, details := columns(entries)
	err := tx.InsertAdminAudit(ctx, db.InsertAdminAuditParams{
		Actor: tx.actor, Actions: actions, Targets: targets, Details: details, Revision: revision,
	})
	if err != nil {
		return fmt.Errorf("audit change: %w", err)
	}
	return nil
}

// columns turns entries into arrays, to insert them in one statement.
func columns(entries []entry) (actions, targets, details []string) {
	for _, e := range entries {
		actions = append(actions, e.action)
		targets = append(targets, e.target)
		details = append(details, e.detail)
	}
	return actions, targets, details
}
