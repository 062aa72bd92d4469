package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/signon"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

type logins struct{ *API }

// SetUp creates the first owner and signs in.
func (l logins) SetUp(ctx context.Context, r *connect.Request[adminv1.SetUpRequest]) (*connect.Response[adminv1.SetUpResponse], error) {
	cookies, err := l.Desk.SetUp(ctx, r.Msg.GetToken(), r.Msg.GetName(), r.Msg.GetPassword())
	if err != nil {
		return nil, err
	}
	response := reply(&adminv1.SetUpResponse{Name: r.Msg.GetName()})
	setCookies(response.Header(), cookies...)
	return response, nil
}

// SignIn opens a session.
func (l logins) SignIn(ctx context.Context, r *connect.Request[adminv1.SignInRequest]) (*connect.Response[adminv1.SignInResponse], error) {
	cookies, account, err := l.Desk.SignIn(ctx, r.Msg.GetName(), r.Msg.GetPassword())
	if err != nil {
		return nil, err
	}
	response := reply(&adminv1.SignInResponse{Name: account.Name, Roles: account.Roles})
	setCookies(response.Header(), cookies...)
	return response, nil
}

// SignOut ends the session.
func (l logins) SignOut(ctx context.Context, _ *connect.Request[adminv1.SignOutRequest]) (*connect.Response[adminv1.SignOutResponse], error) {
	cookie, err := l.Desk.SignOut(ctx)
	if err != nil {
		return nil, err
	}
	response := reply(&adminv1.SignOutResponse{})
	setCookies(response.Header(), cookie)
	return response, nil
}

// WhoAmI returns the caller.
func (l logins) WhoAmI(ctx context.Context, _ *connect.Request[adminv1.WhoAmIRequest]) (*connect.Response[adminv1.WhoAmIResponse], error) {
	c := login.From(ctx)
	response := &adminv1.WhoAmIResponse{Name: c.Name, Roles: c.Roles, Local: c.Local}
	for _, p := range c.Permissions() {
		response.Permissions = append(response.Permissions, string(p))
	}
	return reply(response), nil
}

// ListSignOns returns the ways to sign in.
func (l logins) ListSignOns(ctx context.Context, _ *connect.Request[adminv1.ListSignOnsRequest]) (*connect.Response[adminv1.ListSignOnsResponse], error) {
	rows, err := l.Store.ListProviders(ctx)
	if err != nil {
		return nil, err
	}
	response := &adminv1.ListSignOnsResponse{Password: true}
	for _, row := range rows {
		response.Providers = append(response.Providers, &adminv1.SignOn{
			Name: row.Name, Title: cmp.Or(row.Title, row.Name), Path: signon.Path(row.Name),
		})
	}
	return reply(response), nil
}

// setCookies sets those that are there; an answer that does is not for any cache.
func setCookies(header http.Header, cookies ...*http.Cookie) {
	for _, cookie := range cookies {
		if cookie != nil {
			header.Add("Set-Cookie", cookie.String())
			header.Set("Cache-Control", "no-store")
		}
	}
}

// everybody is the user to list sessions of all.
const everybody = "*"

// maxSessions bounds a list of sessions; the ones used last come first.
const maxSessions = 1000

// ListSessions returns the sessions that live: one's own, or with users:write
// those of others.
func (l logins) ListSessions(ctx context.Context, r *connect.Request[adminv1.ListSessionsRequest]) (*connect.Response[adminv1.ListSessionsResponse], error) {
	caller, name := login.From(ctx), r.Msg.GetUser()
	if name == "" {
		name = caller.Name
	}
	if name != caller.Name && !caller.Holds(login.WriteUsers) {
		return nil, errOthersSessions()
	}
	if name == everybody {
		name = ""
	}
	rows, err := l.Store.ListLoginSessions(ctx, db.ListLoginSessionsParams{UserName: name, RowLimit: maxSessions})
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListSessionsResponse)
	for _, row := range rows {
		if time.Since(row.SeenAt) >= login.SessionIdle {
			continue
		}
		response.Sessions = append(response.Sessions, &adminv1.Session{
			Id: row.ID, User: row.Name, Address: row.Address, UserAgent: row.UserAgent, Method: row.Method,
			CreatedAt: timestamppb.New(row.CreatedAt), SeenAt: timestamppb.New(row.SeenAt), ExpiresAt: timestamppb.New(row.ExpiresAt),
			Current: caller.Session() != nil && caller.Session().ID == row.ID,
		})
	}
	return reply(response), nil
}

func errOthersSessions() error {
	return fault.Newf(fault.Denied, "sessions of others need the permission %s, which none of your roles holds; ask an owner", login.WriteUsers)
}

// RevokeSession ends one session, or all of a user but the one that asks. To end
// those of others, the caller must hold what they hold, as for DisableUser: whoever
// ends sessions again and again keeps somebody out.
func (l logins) RevokeSession(ctx context.Context, r *connect.Request[adminv1.RevokeSessionRequest]) (*connect.Response[adminv1.RevokeSessionResponse], error) {
	id, name := r.Msg.GetId(), r.Msg.GetUser()
	if (id == "") == (name == "") {
		return nil, fault.New(fault.Invalid, "name one session by its id, or the user whose sessions shall end")
	}
	var ended int64
	err := l.act(ctx, func(tx *store.Tx) (err error) {
		if id != "" {
			ended, err = endSession(ctx, tx, id)
		} else {
			ended, err = endSessions(ctx, tx, name)
		}
		return err
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		return nil, err
	}
	return reply(&adminv1.RevokeSessionResponse{Ended: int32(ended)}), nil
}

// endSession ends one by its id. Whose it is learns only who may end it.
func endSession(ctx context.Context, tx *store.Tx, id string) (int64, error) {
	row, err := tx.GetLoginSessionByID(ctx, id)
	caller := login.From(ctx)
	if err == nil && row.Name != caller.Name && !caller.Holds(login.WriteUsers) {
		err = fault.New(fault.NotFound, "not found")
	}
	if err != nil {
		return 0, store.Missing(err, "such session; it may have ended already")
	}
	if _, err := sessionsOf(ctx, tx, row.Name); err != nil {
		return 0, err
	}
	tx.Note("login.revoke_session", row.Name, map[string]any{"session": id})
	return tx.DeleteLoginSession(ctx, row.Hash)
}

// endSessions ends those of a user, but for the one that asks.
func endSessions(ctx context.Context, tx *store.Tx, name string) (int64, error) {
	caller := login.From(ctx)
	if name != caller.Name && !caller.Holds(login.WriteUsers) {
		return 0, errOthersSessions()
	}
	row, err := sessionsOf(ctx, tx, name)
	if err != nil {
		return 0, err
	}
	ended, err := endOthers(ctx, tx, row.ID)
	if err != nil || ended == 0 {
		return 0, cmp.Or(err, errUnchanged)
	}
	tx.Note("login.revoke_sessions", name, map[string]any{"ended": ended})
	return ended, nil
}

// sessionsOf returns the user whose sessions the caller ends: himself, or one for
// whom he may act (P-16).
func sessionsOf(ctx context.Context, tx *store.Tx, name string) (db.GetUserRow, error) {
	row, err := tx.GetUser(ctx, name)
	if err != nil {
		return row, store.Missing(err, fmt.Sprintf("user %q; 'warder user list' shows the users", name))
	}
	if name == login.From(ctx).Name {
		return row, nil
	}
	return row, mayActFor(ctx, tx.Queries, row)
}
