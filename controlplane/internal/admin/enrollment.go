package admin

import (
	"context"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/enrollment"
	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

type enrollments struct{ *API }

// CreateJoinToken makes a token, which is shown once. The act is audited before it is
// handed out.
func (e enrollments) CreateJoinToken(ctx context.Context, r *connect.Request[adminv1.CreateJoinTokenRequest]) (*connect.Response[adminv1.CreateJoinTokenResponse], error) {
	m := r.Msg
	var token identity.Token
	var row db.InsertJoinTokenRow
	err := e.act(ctx, func(tx *store.Tx) (err error) {
		token, row, err = e.Authority.CreateToken(ctx, tx, enrollment.NewToken{
			Peer: identity.Peer{Kind: identity.Kind(m.GetKind()), Name: m.GetName()}, Region: m.GetRegion(), Life: m.GetLife().AsDuration(),
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	response := reply(&adminv1.CreateJoinTokenResponse{Token: token.Reveal(), ControlPlane: e.ForPeers, JoinToken: &adminv1.JoinToken{
		Id: token.ID, Kind: m.GetKind(), Name: m.GetName(), Region: m.GetRegion(), CreatedBy: login.From(ctx).Name,
		CreatedAt: timestamppb.New(row.CreatedAt), ExpiresAt: timestamppb.New(row.ExpiresAt),
	}})
	response.Header().Set("Cache-Control", "no-store")
	return response, nil
}

// ListJoinTokens returns those of the last day that were not revoked.
func (e enrollments) ListJoinTokens(ctx context.Context, _ *connect.Request[adminv1.ListJoinTokensRequest]) (*connect.Response[adminv1.ListJoinTokensResponse], error) {
	rows, err := e.Store.ListJoinTokens(ctx)
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListJoinTokensResponse)
	for _, row := range rows {
		if row.RevokedAt != nil {
			continue
		}
		response.JoinTokens = append(response.JoinTokens, &adminv1.JoinToken{
			Id: row.ID, Kind: row.Kind, Name: row.Name, Region: row.Region, CreatedBy: row.CreatedBy,
			CreatedAt: timestamppb.New(row.CreatedAt), ExpiresAt: timestamppb.New(row.ExpiresAt), UsedAt: timestamp(row.UsedAt),
		})
	}
	return reply(response), nil
}

// RevokeJoinToken makes a token that was not used yet worthless.
func (e enrollments) RevokeJoinToken(ctx context.Context, r *connect.Request[adminv1.RevokeJoinTokenRequest]) (*connect.Response[adminv1.RevokeJoinTokenResponse], error) {
	err := e.act(ctx, func(tx *store.Tx) error {
		row, err := tx.RevokeJoinToken(ctx, r.Msg.GetId())
		if fault.Is(err, fault.NotFound) {
			return fault.Newf(fault.NotFound, "there is no unused join token %q; whom a used one let in is revoked with 'warder node revoke' or 'warder agent revoke'", r.Msg.GetId())
		}
		if err != nil {
			return err
		}
		tx.Note("join-token.revoke", r.Msg.GetId(), map[string]any{"kind": row.Kind, "name": row.Name})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RevokeJoinTokenResponse{}), nil
}

// ListAuthorities returns all that is trusted, in the order in which they sign.
func (e enrollments) ListAuthorities(ctx context.Context, _ *connect.Request[adminv1.ListAuthoritiesRequest]) (*connect.Response[adminv1.ListAuthoritiesResponse], error) {
	rows, err := e.Store.ListAuthorities(ctx)
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListAuthoritiesResponse)
	for _, row := range rows {
		if row.RetiresAt == nil || row.RetiresAt.After(time.Now()) {
			response.Authorities = append(response.Authorities, authorityMessage(row))
		}
	}
	return reply(response), nil
}

// RotateAuthority makes an authority that takes over in its time.
func (e enrollments) RotateAuthority(ctx context.Context, _ *connect.Request[adminv1.RotateAuthorityRequest]) (*connect.Response[adminv1.RotateAuthorityResponse], error) {
	made, err := e.Authority.Rotate(ctx, login.From(ctx).Name)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RotateAuthorityResponse{Authority: authorityMessage(made)}), nil
}

func authorityMessage(row db.Authority) *adminv1.Authority {
	return &adminv1.Authority{
		Fingerprint: row.Fingerprint, CreatedAt: timestamppb.New(row.CreatedAt), ExpiresAt: timestamppb.New(row.ExpiresAt),
		SignsFrom: timestamppb.New(row.SignsFrom), RetiresAt: timestamp(row.RetiresAt),
	}
}
