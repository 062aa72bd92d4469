package ledger

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
)

// Call is one call as it is stored. A nil Outcome means that it runs.
type Call = db.ListAuditCallsRow

// Running is the outcome by which a filter finds calls that have none yet.
const Running = "running"

// Filter narrows calls; an empty field matches all.
type Filter struct {
	User, Application string
	// Server and Tool are the slug and the name that the server knows.
	Server, Tool string
	// Decision is allow or deny.
	Decision string
	// Outcome is that of a call, or Running.
	Outcome string
	// Since and Until bound the time, the latter not included. For List only.
	Since, Until *time.Time
}

// Cursor is a place in the list of calls: the last one of a page. Its text is
// opaque to those who carry it.
type Cursor struct {
	at time.Time
	id []byte
}

// String returns the text of a cursor; that of the zero cursor is empty.
func (c Cursor) String() string {
	if c.id == nil {
		return ""
	}
	text := binary.BigEndian.AppendUint64(nil, uint64(c.at.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(text, c.id...))
}

// ParseCursor reads what String wrote. It fails with fault.Invalid.
func ParseCursor(text string) (Cursor, error) {
	if text == "" {
		return Cursor{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(raw) != 8+callIDSize {
		return Cursor{}, fault.New(fault.Invalid, "the page token is not one of this list; begin again without it")
	}
	at := time.UnixMicro(int64(binary.BigEndian.Uint64(raw)))
	return Cursor{at: at, id: raw[8:]}, nil
}

// List returns one page of calls, newest first, and the cursor of the next; the
// zero cursor begins and ends.
func (l *Ledger) List(ctx context.Context, f Filter, after Cursor, size int) ([]Call, Cursor, error) {
	arg := db.ListAuditCallsParams{
		UserName: f.User, Application: f.Application, Server: f.Server, Tool: f.Tool, Decision: f.Decision,
		Outcome: f.Outcome, Since: f.Since, Until: f.Until,
		// One more than asked for tells whether there is a next page.
		RowLimit: int32(size + 1),
	}
	if after.id != nil {
		arg.BeforeAt, arg.BeforeID = &after.at, after.id
	}
	calls, err := l.store.ListAuditCalls(ctx, arg)
	if err != nil {
		return nil, Cursor{}, fmt.Errorf("list calls: %w", err)
	}
	if len(calls) <= size {
		return calls, Cursor{}, nil
	}
	calls = calls[:size]
	last := calls[size-1]
	return calls, Cursor{at: last.At, id: last.ID}, nil
}

// tailPage is how many calls a tail reads at once.
const tailPage = 500

// position is a place in the order in which outcomes were committed.
type position struct {
	settled int64
	id      []byte
}

// beyond is the position behind everything that lies before a horizon.
func beyond(horizon int64) position {
	return position{horizon - 1, bytes.Repeat([]byte{0xff}, callIDSize)}
}

// Tail gives fn the last calls that match, at most backlog of them and oldest
// first, and from then on every call that gets its outcome, until ctx ends or fn
// fails; it returns why. Each outcome comes once. Fn is called from one
// goroutine; while it blocks, calls wait in the database.
func (l *Ledger) Tail(ctx context.Context, f Filter, backlog int, fn func(Call) error) error {
	from, err := l.recent(ctx, f, backlog, fn)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	for {
		news := l.news()
		if from, err = l.advance(ctx, f, from, fn); err != nil {
			return err
		}
		select {
		case <-news:
		case <-ticker.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// recent gives the backlog and returns where to go on.
func (l *Ledger) recent(ctx context.Context, f Filter, backlog int, fn func(Call) error) (position, error) {
	horizon, err := l.store.AuditHorizon(ctx)
	if err != nil {
		return position{}, fmt.Errorf("read horizon: %w", err)
	}
	if backlog == 0 {
		return beyond(horizon), nil
	}
	rows, err := l.store.RecentAuditCalls(ctx, db.RecentAuditCallsParams{
		Horizon: horizon, UserName: f.User, Application: f.Application, Server: f.Server, Tool: f.Tool,
		Decision: f.Decision, Outcome: f.Outcome, RowLimit: int32(backlog),
	})
	if err != nil {
		return position{}, fmt.Errorf("read recent calls: %w", err)
	}
	for _, row := range slices.Backward(rows) {
		if err := fn(Call(row)); err != nil {
			return position{}, err
		}
	}
	return beyond(horizon), nil
}

// advance gives what lies between from and the horizon, and returns how far it
// came. Whatever commits later than the horizon was read lies behind it.
func (l *Ledger) advance(ctx context.Context, f Filter, from position, fn func(Call) error) (position, error) {
	horizon, err := l.store.AuditHorizon(ctx)
	if err != nil {
		return from, fmt.Errorf("read horizon: %w", err)
	}
	for {
		rows, err := l.store.TailAuditCalls(ctx, db.TailAuditCallsParams{
			AfterSettled: from.settled, AfterID: from.id, Horizon: horizon,
			UserName: f.User, Application: f.Application, Server: f.Server, Tool: f.Tool,
			Decision: f.Decision, Outcome: f.Outcome, RowLimit: tailPage,
		})
		if err != nil {
			return from, fmt.Errorf("read calls: %w", err)
		}
		for _, row := range rows {
			if err := fn(Call(row)); err != nil {
				return from, err
			}
			from = position{*row.Settled, row.ID}
		}
		if len(rows) < tailPage {
			return beyond(max(horizon, from.settled+1)), nil
		}
	}
}
