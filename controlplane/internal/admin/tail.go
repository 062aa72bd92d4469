package admin

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"sync"
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
	tailSend  = 30 * time.Second // how long a reader may take no message
)

type writerKey struct{}

// withWriter keeps the writer of an answer, so that a stream can bound its sends.
func withWriter(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), writerKey{}, http.NewResponseController(w))))
	})
}

// tail is one stream of calls. Its position is where in the order of outcomes it
// stands: what was sent lies at or before it, so that nothing comes twice and,
// because it never passes the oldest running transaction, nothing is missed:
// while any database of the cluster has an older one that writes, calls come
// late, after the backlog too. A slow reader slows its own queries and nobody else's; nothing is queued for it.
type tail struct {
	api     *API
	stream  *connect.ServerStream[adminv1.TailCallsResponse]
	writer  *http.ResponseController // nil: sends are not bounded
	filter  *adminv1.CallFilter
	settled int64
	id      []byte
}

// TailCalls streams calls in the order in which they got their outcome, until
// the client leaves, takes nothing for half a minute, or its session ends, whether
// a send blocks then or not.
func (a audits) TailCalls(ctx context.Context, r *connect.Request[adminv1.TailCallsRequest], stream *connect.ServerStream[adminv1.TailCallsResponse]) error {
	select {
	case a.tails <- struct{}{}:
		defer func() { <-a.tails }()
	default:
		return fault.Newf(fault.Exhausted, "%d people follow the ledger already; list it instead, or try again later", maxTails)
	}
	t := &tail{api: a.API, stream: stream, filter: r.Msg.GetFilter()}
	t.writer, _ = ctx.Value(writerKey{}).(*http.ResponseController)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var watching sync.WaitGroup
	sent := make(chan struct{})
	watching.Go(func() { t.watch(ctx, stop, sent) })
	err := t.begin(ctx, r.Msg.GetBacklog())
	if err == nil {
		err = t.follow(ctx)
	}
	close(sent)
	watching.Wait()
	if ctx.Err() != nil { // Why it was stopped says more than what stopping broke.
		return context.Cause(ctx)
	}
	return err
}

// watch stops the stream once its caller may not read any more, and breaks a send that
// blocks then. Whoever reads is told why: the connection of a send that does not block
// is left alone. It returns when nothing more is sent.
func (t *tail) watch(ctx context.Context, stop context.CancelCauseFunc, sent <-chan struct{}) {
	check := time.NewTicker(tailCheck)
	defer check.Stop()
	for {
		select {
		case <-sent:
			return
		case <-ctx.Done():
			return
		case <-check.C:
		}
		if err := t.api.Desk.Still(ctx, adminv1connect.AuditServiceTailCallsProcedure); err != nil {
			stop(err)
			select {
			case <-sent:
			case <-check.C:
				t.bound(time.Now())
			}
			return
		}
	}
}

// bound sets when a send fails that its reader does not take.
func (t *tail) bound(at time.Time) {
	if t.writer != nil {
		// The writers of a real server have deadlines.
		_ = t.writer.SetWriteDeadline(at)
	}
}

// give sends one message. That the stream was stopped is looked at after the
// deadline is set, and stopping comes before its own deadline: either one is seen.
func (t *tail) give(ctx context.Context, m *adminv1.TailCallsResponse) error {
	t.bound(time.Now().Add(tailSend))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := t.stream.Send(m); err != nil {
		return err
	}
	t.bound(time.Time{}) // An answer that ends well leaves its connection as it was.
	return nil
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
	if err := t.give(ctx, &adminv1.TailCallsResponse{}); err != nil {
		return err
	}
	for _, row := range slices.Backward(rows) {
		if err := t.send(ctx, db.TailAuditCallsRow(row)); err != nil {
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
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-beat.C:
			if err := t.give(ctx, &adminv1.TailCallsResponse{}); err != nil {
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
			if err := t.send(ctx, row); err != nil {
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

func (t *tail) send(ctx context.Context, row db.TailAuditCallsRow) error {
	if !t.within(row.At) {
		return nil
	}
	return t.give(ctx, &adminv1.TailCallsResponse{Call: callMessage(row)})
}

// within holds a call to the filter's times, which the queries of a tail do not
// know.
func (t *tail) within(at time.Time) bool {
	since, until := moment(t.filter.GetSince()), moment(t.filter.GetUntil())
	return (since == nil || !at.Before(*since)) && (until == nil || at.Before(*until))
}
