package admin

import (
	"bytes"
	"context"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

const (
	maxTails  = 64 // streams at once; one more is refused
	tailPage  = 500
	tailPoll  = 250 * time.Millisecond
	tailCheck = time.Second // how soon a stream ends whose caller may not read it any more
	heartbeat = 15 * time.Second
)

// tail is one stream of calls. Its position is where in the order of outcomes it
// stands: what was sent lies at or before it, so that nothing comes twice and,
// because it never passes the oldest running transaction, nothing is missed:
// while any database of the cluster has an older one that writes, calls come
// late, after the backlog too. A slow reader slows its own queries and nobody else's; nothing is queued for it.
type tail struct {
	api     *API
	stream  *connect.ServerStream[adminv1.TailCallsResponse]
	filter  *adminv1.CallFilter
	settled int64
	id      []byte
}

// TailCalls streams calls in the order in which they got their outcome, until
// the client leaves or its session ends.
func (a audits) TailCalls(ctx context.Context, r *connect.Request[adminv1.TailCallsRequest], stream *connect.ServerStream[adminv1.TailCallsResponse]) error {
	select {
	case a.tails <- struct{}{}:
		defer func() { <-a.tails }()
	default:
		return fault.Newf(fault.Exhausted, "%d people follow the ledger already; list it instead, or try again later", maxTails)
	}
	t := &tail{api: a.API, stream: stream, filter: r.Msg.GetFilter()}
	if err := t.begin(ctx, r.Msg.GetBacklog()); err != nil {
		return err
	}
	return t.follow(ctx)
}

// begin sends the backlog, oldest first, and takes its position behind it.
func (t *tail) begin(ctx context.Context, backlog int32) error {
	horizon, err := t.api.Store.AuditHorizon(ctx)
	if err != nil {
		return err
	}
	server, tool := toolFilter(t.filter.GetTool())
	rows, err := t.api.Store.RecentAuditCalls(ctx, db.RecentAuditCallsParams{
		Horizon: horizon, UserName: t.filter.GetUser(), Application: t.filter.GetApplication(),
		Server: server, Tool: tool, Decision: t.filter.GetDecision(), Outcome: t.filter.GetOutcome(), RowLimit: backlog,
	})
	if err != nil {
		return err
	}
	t.passTo(horizon)
	// An empty message makes the headers go out, so that the client knows that it
	// is connected.
	if err := t.stream.Send(&adminv1.TailCallsResponse{}); err != nil {
		return err
	}
	for _, row := range slices.Backward(rows) {
		if err := t.send(db.TailAuditCallsRow(row)); err != nil {
			return err
		}
	}
	return nil
}

// follow sends what comes, and a heartbeat where nothing does.
func (t *tail) follow(ctx context.Context) error {
	poll := time.NewTicker(tailPoll)
	defer poll.Stop()
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	check := time.NewTicker(tailCheck)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-check.C:
			if err := t.api.Desk.Still(ctx, adminv1connect.AuditServiceTailCallsProcedure); err != nil {
				return err
			}
		case <-beat.C:
			if err := t.stream.Send(&adminv1.TailCallsResponse{}); err != nil {
				return err
			}
		case <-poll.C:
			if err := t.drain(ctx); err != nil {
				return err
			}
		}
	}
}

// drain sends what got an outcome since, page by page.
func (t *tail) drain(ctx context.Context) error {
	horizon, err := t.api.Store.AuditHorizon(ctx)
	if err != nil {
		return err
	}
	server, tool := toolFilter(t.filter.GetTool())
	for {
		rows, err := t.api.Store.TailAuditCalls(ctx, db.TailAuditCallsParams{
			AfterSettled: t.settled, AfterID: t.id, Horizon: horizon,
			UserName: t.filter.GetUser(), Application: t.filter.GetApplication(), Server: server, Tool: tool,
			Decision: t.filter.GetDecision(), Outcome: t.filter.GetOutcome(), RowLimit: tailPage,
		})
		if err != nil {
			return err
		}
		for _, row := range rows {
			if err := t.send(row); err != nil {
				return err
			}
		}
		if len(rows) < tailPage {
			t.passTo(horizon)
			return nil
		}
		last := rows[len(rows)-1]
		t.settled, t.id = *last.Settled, last.ID
	}
}

// passTo takes the position behind everything that lies before the horizon.
func (t *tail) passTo(horizon int64) {
	if last := horizon - 1; last >= t.settled {
		t.settled, t.id = last, bytes.Repeat([]byte{0xff}, callIDSize)
	}
}

func (t *tail) send(row db.TailAuditCallsRow) error {
	if !t.within(row.At) {
		return nil
	}
	return t.stream.Send(&adminv1.TailCallsResponse{Call: callMessage(row)})
}

// within holds a call to the filter's times, which the queries of a tail do not
// know.
func (t *tail) within(at time.Time) bool {
	since, until := moment(t.filter.GetSince()), moment(t.filter.GetUntil())
	return (since == nil || !at.Before(*since)) && (until == nil || at.Before(*until))
}
