package admin

import (
	"context"
	"net/http"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

type logins struct {
	*API
	adminv1connect.UnimplementedLoginServiceHandler // until each method is here
}

// SetUp creates the first owner and signs in.
func (l logins) SetUp(ctx context.Context, r *connect.Request[adminv1.SetUpRequest]) (*connect.Response[adminv1.SetUpResponse], error) {
	cookie, err := l.Desk.SetUp(ctx, r.Msg.GetToken(), r.Msg.GetName(), r.Msg.GetPassword())
	if err != nil {
		return nil, err
	}
	return withCookie(reply(&adminv1.SetUpResponse{Name: r.Msg.GetName()}), cookie), nil
}

// SignIn opens a session.
func (l logins) SignIn(ctx context.Context, r *connect.Request[adminv1.SignInRequest]) (*connect.Response[adminv1.SignInResponse], error) {
	cookie, account, err := l.Desk.SignIn(ctx, r.Msg.GetName(), r.Msg.GetPassword())
	if err != nil {
		return nil, err
	}
	return withCookie(reply(&adminv1.SignInResponse{Name: account.Name, Roles: account.Roles}), cookie), nil
}

// SignOut ends the session.
func (l logins) SignOut(ctx context.Context, _ *connect.Request[adminv1.SignOutRequest]) (*connect.Response[adminv1.SignOutResponse], error) {
	cookie, err := l.Desk.SignOut(ctx)
	if err != nil {
		return nil, err
	}
	return withCookie(reply(&adminv1.SignOutResponse{}), cookie), nil
}

// WhoAmI returns the caller.
func (l logins) WhoAmI(ctx context.Context, _ *connect.Request[adminv1.WhoAmIRequest]) (*connect.Response[adminv1.WhoAmIResponse], error) {
	c := login.From(ctx)
	return reply(&adminv1.WhoAmIResponse{Name: c.Name, Roles: c.Roles, Local: c.Local}), nil
}

// withCookie sets a cookie, if there is one; an answer that does is not for any
// cache.
func withCookie[T any](response *connect.Response[T], cookie *http.Cookie) *connect.Response[T] {
	if cookie != nil {
		response.Header().Add("Set-Cookie", cookie.String())
		response.Header().Set("Cache-Control", "no-store")
	}
	return response
}
