package session

import (
	"context"

	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// kept reports whether a subscription of a legacy client is kept by this node. A
// server with which the client has a session of its own keeps it itself, and tells
// of updates in that session.
func (x *exchange) kept() bool {
	subscribes := x.req.Method == mcp.MethodResourcesSubscribe || x.req.Method == mcp.MethodResourcesUnsubscribe
	return subscribes && x.call.Session == nil
}

// wish does what the client says of its session, here and at all other nodes that
// are reached: its next request, or its stream, may be at any of them. The error is
// that of Board.Grant, here.
func (x *exchange) wish(ctx context.Context, wish notice.Wish) error {
	if err := x.board.Grant(x.legacy.ID, wish); err != nil {
		return err
	}
	if x.config.Peers != nil {
		x.config.Peers.Wish(ctx, x.legacy.ID, wish)
	}
	return nil
}

// keepSubscription subscribes or unsubscribes the session at the boards of nodes,
// one of which has its stream.
func (x *exchange) keepSubscription() *upstream.Answer {
	ctx := x.lifetime()
	defer ctx.End(nil)
	x.flights.enter(x, ctx)
	defer x.flights.leave(&x.flight)
	if answer := x.withheld(ctx); answer != nil {
		return answer
	}
	over := x.req.Method == mcp.MethodResourcesUnsubscribe
	if err := x.wish(ctx, notice.Wish{Server: x.entry.Server.Name(), URI: x.own, Over: over}); err != nil {
		return &upstream.Answer{
			Body:    mcp.WriteError(nil, x.id(), mcp.CodeUnavailable, fault.Text(err), nil),
			Outcome: auditv1.Outcome_OUTCOME_SERVER_FAILED,
			Error:   fault.Text(err),
		}
	}
	return &upstream.Answer{Body: mcp.WriteResult(nil, x.id(), []byte("{}")), Outcome: auditv1.Outcome_OUTCOME_OK}
}
