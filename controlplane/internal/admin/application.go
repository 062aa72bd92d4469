package admin

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

type applications struct {
	*API
	adminv1connect.UnimplementedApplicationServiceHandler // until each method is here
}

// CreateApplication saves an application.
func (a applications) CreateApplication(ctx context.Context, r *connect.Request[adminv1.CreateApplicationRequest]) (*connect.Response[adminv1.CreateApplicationResponse], error) {
	var created time.Time
	err := a.act(ctx, func(tx *store.Tx) (err error) {
		tx.Note("application.create", r.Msg.GetName(), nil)
		created, err = tx.InsertApplication(ctx, r.Msg.GetName())
		return err
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.CreateApplicationResponse{
		Application: &adminv1.Application{Name: r.Msg.GetName(), CreatedAt: timestamppb.New(created)},
	}), nil
}

// ListApplications returns all, by name.
func (a applications) ListApplications(ctx context.Context, _ *connect.Request[adminv1.ListApplicationsRequest]) (*connect.Response[adminv1.ListApplicationsResponse], error) {
	rows, err := a.Store.ListApplications(ctx)
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListApplicationsResponse)
	for _, row := range rows {
		response.Applications = append(response.Applications,
			&adminv1.Application{Name: row.Name, CreatedAt: timestamppb.New(row.CreatedAt)})
	}
	return reply(response), nil
}
