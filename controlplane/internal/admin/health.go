package admin

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

type healths struct{ *API }

// GetHealth answers also while the database is away: that is what it is for.
func (h healths) GetHealth(ctx context.Context, _ *connect.Request[adminv1.GetHealthRequest]) (*connect.Response[adminv1.GetHealthResponse], error) {
	health := &adminv1.GetHealthResponse{Version: h.Version, StartedAt: timestamppb.New(h.StartedAt)}
	if set := h.CurrentSet(); set != nil {
		health.Revision = set.Revision()
	}
	needed, err := h.Desk.SetupNeeded(ctx)
	if err != nil {
		h.Log.WarnContext(ctx, "health: database not ready", "error", err)
		return reply(health), nil
	}
	health.DatabaseReady, health.SetupNeeded = true, needed
	rows, err := h.Store.ListNodes(ctx)
	if err != nil {
		return nil, err
	}
	for _, row := range rows {
		if row.Connected {
			health.NodesConnected++
		}
	}
	return reply(health), nil
}
