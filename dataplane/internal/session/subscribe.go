package session

import (
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

// keepSubscription subscribes or unsubscribes the session at the board of this
// node, whose stream hears of updates.
func (x *exchange) keepSubscription() *upstream.Answer {
	server := x.entry.Server.Name()
	if x.req.Method == mcp.MethodResourcesUnsubscribe {
		x.board.Unsubscribe(x.legacy.ID, server, x.own)
	} else if err := x.board.Subscribe(x.legacy.ID, server, x.own); err != nil {
		return &upstream.Answer{
			Body:    mcp.WriteError(nil, x.id(), mcp.CodeUnavailable, fault.Text(err), nil),
			Outcome: auditv1.Outcome_OUTCOME_SERVER_FAILED,
			Error:   fault.Text(err),
		}
	}
	return &upstream.Answer{Body: mcp.WriteResult(nil, x.id(), []byte("{}")), Outcome: auditv1.Outcome_OUTCOME_OK}
}
