package admin

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

type alerts struct{ *API }

// maxAlerts bounds a list of alerts.
const maxAlerts = 500

// ListAlerts returns open alerts, the newest first, and on request those that are
// closed after them.
func (a alerts) ListAlerts(ctx context.Context, r *connect.Request[adminv1.ListAlertsRequest]) (*connect.Response[adminv1.ListAlertsResponse], error) {
	rows, err := a.Store.ListAlerts(ctx, db.ListAlertsParams{Closed: r.Msg.GetClosed(), RowLimit: maxAlerts})
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListAlertsResponse)
	for _, row := range rows {
		response.Alerts = append(response.Alerts, alertMessage(row))
	}
	return reply(response), nil
}

// CloseAlert closes one. One that is closed already stays as it is: somebody else
// was faster.
func (a alerts) CloseAlert(ctx context.Context, r *connect.Request[adminv1.CloseAlertRequest]) (*connect.Response[adminv1.CloseAlertResponse], error) {
	var row db.Alert
	err := a.act(ctx, func(tx *store.Tx) (err error) {
		row, err = tx.CloseAlert(ctx, db.CloseAlertParams{ID: r.Msg.GetId(), ClosedBy: tx.Actor()})
		if err != nil {
			return err
		}
		tx.Note("alert.close", row.Target, map[string]any{"alert": row.ID, "kind": row.Kind, "count": row.Count, "reason": r.Msg.GetReason()})
		return nil
	})
	if fault.Is(err, fault.NotFound) {
		row, err = a.Store.GetAlert(ctx, r.Msg.GetId())
	}
	if fault.Is(err, fault.NotFound) {
		return nil, fault.Newf(fault.NotFound, "there is no alert %d; 'warder alert list' shows the alerts", r.Msg.GetId())
	}
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.CloseAlertResponse{Alert: alertMessage(row)}), nil
}

func alertMessage(row db.Alert) *adminv1.Alert {
	return &adminv1.Alert{
		Id: row.ID, Kind: row.Kind, Target: row.Target, Text: row.Text, FirstAt: timestamppb.New(row.FirstAt),
		LastAt: timestamppb.New(row.LastAt), Count: row.Count, ClosedAt: timestamp(row.ClosedAt), ClosedBy: optional(row.ClosedBy),
	}
}
