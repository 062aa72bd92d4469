package admin

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

type applications struct{ *API }

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
		response.Applications = append(response.Applications, applicationMessage(db.GetApplicationRow(row)))
	}
	return reply(response), nil
}

// DisableApplication refuses whoever uses the application, by the deny overlay. One
// that is disabled already stays as it is.
func (a applications) DisableApplication(ctx context.Context, r *connect.Request[adminv1.DisableApplicationRequest]) (*connect.Response[adminv1.DisableApplicationResponse], error) {
	name, reason := r.Msg.GetName(), r.Msg.GetReason()
	row, err := a.turn(ctx, name, true, func(tx *store.Tx) error {
		actor := tx.Actor()
		if err := tx.DisableApplication(ctx, db.DisableApplicationParams{Name: name, DisabledBy: &actor, Reason: reason}); err != nil {
			return err
		}
		tx.Record("application.disable", name, map[string]any{"reason": reason})
		return tx.InsertDeny(ctx, db.InsertDenyParams{
			Kind: "application", Name: name, CreatedBy: actor, Cause: causeDisabled,
			Reason: cmp.Or(reason, "the application "+name+" is disabled"),
		})
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.DisableApplicationResponse{Application: applicationMessage(row)}), nil
}

// EnableApplication lets it be used again. What a person denied besides stays
// denied.
func (a applications) EnableApplication(ctx context.Context, r *connect.Request[adminv1.EnableApplicationRequest]) (*connect.Response[adminv1.EnableApplicationResponse], error) {
	name := r.Msg.GetName()
	row, err := a.turn(ctx, name, false, func(tx *store.Tx) error {
		if err := tx.EnableApplication(ctx, name); err != nil {
			return err
		}
		tx.Record("application.enable", name, nil)
		_, err := tx.DeleteDeny(ctx, db.DeleteDenyParams{Kind: "application", Name: name, Cause: causeDisabled})
		return err
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.EnableApplicationResponse{Application: applicationMessage(row)}), nil
}

// turn switches an application, unless it is so already, and returns it as it is
// then.
func (a applications) turn(ctx context.Context, name string, off bool, fn func(*store.Tx) error) (row db.GetApplicationRow, err error) {
	err = a.changed(ctx, func(tx *store.Tx) (err error) {
		if row, err = tx.GetApplication(ctx, name); err != nil {
			return store.Missing(err, fmt.Sprintf("application %q; 'warder app list' shows them", name))
		}
		if row.Disabled == off {
			return errUnchanged
		}
		if err := fn(tx); err != nil {
			return err
		}
		row, err = tx.GetApplication(ctx, name)
		return err
	})
	return row, err
}

func applicationMessage(row db.GetApplicationRow) *adminv1.Application {
	return &adminv1.Application{
		Name: row.Name, CreatedAt: timestamppb.New(row.CreatedAt), Disabled: row.Disabled, DisabledReason: row.DisabledReason,
	}
}
