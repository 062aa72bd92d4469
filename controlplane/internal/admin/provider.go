package admin

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/signon"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

type providers struct{ *API }

// AddProvider saves a provider that answers. Its group roles must be the caller's
// to give.
func (p providers) AddProvider(ctx context.Context, r *connect.Request[adminv1.AddProviderRequest]) (*connect.Response[adminv1.AddProviderResponse], error) {
	m := r.Msg.GetProvider()
	redirect, err := p.SignOn.RedirectURL(m.GetName())
	if err != nil {
		return nil, err
	}
	if err := p.mayMap(ctx, m.GetGroupRoles()); err != nil {
		return nil, err
	}
	settings := providerSettings(m, r.Msg.GetClientSecret())
	if err := settings.Validate(time.Now()); err != nil {
		return nil, err
	}
	if err := p.SignOn.Check(ctx, settings); err != nil {
		return nil, err
	}
	sealed, err := signon.SealSecret(p.Keys, settings.Name, settings.ClientSecret)
	if err != nil {
		return nil, err
	}
	err = p.act(ctx, func(tx *store.Tx) error {
		count, err := tx.CountProviders(ctx)
		if err != nil {
			return err
		}
		if count >= signon.MaxProviders {
			return fault.Newf(fault.Exhausted, "there are %d providers, which is the most there may be; remove one", count)
		}
		_, err = tx.InsertProvider(ctx, db.InsertProviderParams{
			Name: m.GetName(), Title: m.GetTitle(), URL: m.GetUrl(), ClientID: m.GetClientId(), ClientSecretSealed: sealed,
			Scopes: m.GetScopes(), UserClaim: m.GetUserClaim(), GroupsClaim: m.GetGroupsClaim(), Private: m.GetPrivate(),
			CaCertificates: m.GetCaCertificates(),
		})
		if err != nil {
			return err
		}
		tx.Note("provider.add", m.GetName(), providerDetails(m, sealed != nil))
		if err := mayGive(ctx, tx.Queries, rolesIn(m.GetGroupRoles())); err != nil { // Once more: the provider took its time.
			return err
		}
		return insertGroupRoles(ctx, tx, m)
	})
	if err != nil {
		return nil, err
	}
	saved, err := p.saved(ctx, m.GetName())
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.AddProviderResponse{Provider: saved, RedirectUrl: redirect}), nil
}

// ListProviders returns all, by name, without secrets.
func (p providers) ListProviders(ctx context.Context, _ *connect.Request[adminv1.ListProvidersRequest]) (*connect.Response[adminv1.ListProvidersResponse], error) {
	all, err := p.list(ctx)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.ListProvidersResponse{Providers: all}), nil
}

// UpdateProvider replaces a provider but for its URL. Neither the group roles that
// it has nor those that it gets may be more than the caller's to give: whoever
// changes who is trusted could come in with any of them.
func (p providers) UpdateProvider(ctx context.Context, r *connect.Request[adminv1.UpdateProviderRequest]) (*connect.Response[adminv1.UpdateProviderResponse], error) {
	m := r.Msg.GetProvider()
	before, err := p.saved(ctx, m.GetName())
	if err != nil {
		return nil, err
	}
	if m.GetUrl() != before.GetUrl() {
		return nil, fault.Newf(fault.Invalid, "another URL is another provider, with other people; add that under a name of its own, then remove %s", m.GetName())
	}
	if err := p.mayMap(ctx, before.GetGroupRoles(), m.GetGroupRoles()); err != nil {
		return nil, err
	}
	row, err := p.Store.GetProvider(ctx, m.GetName())
	if err != nil {
		return nil, err
	}
	sealed := row.ClientSecretSealed
	if r.Msg.ClientSecret != nil {
		if sealed, err = signon.SealSecret(p.Keys, m.GetName(), r.Msg.GetClientSecret()); err != nil {
			return nil, err
		}
	}
	if err := p.SignOn.Check(ctx, providerSettings(m, "")); err != nil {
		return nil, err
	}
	err = p.act(ctx, func(tx *store.Tx) error {
		now, err := tx.LockProvider(ctx, m.GetName())
		if err != nil {
			return store.Missing(err, fmt.Sprintf("provider %q", m.GetName()))
		}
		if now.URL != m.GetUrl() || string(now.ClientSecretSealed) != string(row.ClientSecretSealed) {
			return fault.New(fault.Conflict, "somebody changed the provider at the same time; look at it again, then repeat the change")
		}
		if err := mayReplaceProvider(ctx, tx, m.GetName(), rolesIn(m.GetGroupRoles())); err != nil { // Once more: the provider took its time.
			return err
		}
		err = tx.UpdateProvider(ctx, db.UpdateProviderParams{
			Name: m.GetName(), Title: m.GetTitle(), ClientID: m.GetClientId(), ClientSecretSealed: sealed, Scopes: m.GetScopes(),
			UserClaim: m.GetUserClaim(), GroupsClaim: m.GetGroupsClaim(), Private: m.GetPrivate(), CaCertificates: m.GetCaCertificates(),
		})
		if err != nil {
			return err
		}
		if err := tx.DeleteProviderGroupRoles(ctx, m.GetName()); err != nil {
			return err
		}
		details := providerDetails(m, sealed != nil)
		details["secret_changed"] = r.Msg.ClientSecret != nil
		tx.Note("provider.update", m.GetName(), details)
		return insertGroupRoles(ctx, tx, m)
	})
	if err != nil {
		return nil, err
	}
	saved, err := p.saved(ctx, m.GetName())
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.UpdateProviderResponse{Provider: saved}), nil
}

// RemoveProvider removes a provider and ends the sessions that it began. Its users
// stay, and cannot sign in by it any more.
func (p providers) RemoveProvider(ctx context.Context, r *connect.Request[adminv1.RemoveProviderRequest]) (*connect.Response[adminv1.RemoveProviderResponse], error) {
	name := r.Msg.GetName()
	err := p.act(ctx, func(tx *store.Tx) error {
		if err := tx.LockUsers(ctx); err != nil {
			return err
		}
		if _, err := tx.LockProvider(ctx, name); err != nil {
			return store.Missing(err, fmt.Sprintf("provider %q; 'warder provider list' shows them", name))
		}
		ended, err := tx.DeleteProviderSessions(ctx, db.DeleteProviderSessionsParams{Provider: name})
		if err != nil {
			return err
		}
		tx.Note("provider.remove", name, map[string]any{"sessions_ended": ended})
		return keepingOwner(ctx, tx, func() error { return tx.DeleteProvider(ctx, name) })
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RemoveProviderResponse{}), nil
}

// LinkUser says whom a subject stands for. The user's roles must be the caller's to
// give, as those of the provider must: he gives both to whoever has the account.
func (p providers) LinkUser(ctx context.Context, r *connect.Request[adminv1.LinkUserRequest]) (*connect.Response[adminv1.LinkUserResponse], error) {
	m := r.Msg
	if _, err := p.saved(ctx, m.GetProvider()); err != nil {
		return nil, err
	}
	err := p.act(ctx, func(tx *store.Tx) error {
		if err := tx.LockUsers(ctx); err != nil {
			return err
		}
		user, err := tx.GetUser(ctx, m.GetUser())
		if err != nil {
			return store.Missing(err, fmt.Sprintf("user %q; 'warder user list' shows them", m.GetUser()))
		}
		if err := mayActFor(ctx, tx.Queries, user); err != nil {
			return err
		}
		if err := mayReplaceProvider(ctx, tx, m.GetProvider(), nil); err != nil {
			return err
		}
		if user.RemovedAt != nil {
			return fault.Newf(fault.Precondition, "the user %s was removed, for good", user.Name)
		}
		taken, err := tx.GetProviderSubject(ctx, db.GetProviderSubjectParams{Provider: m.GetProvider(), Subject: m.GetSubject()})
		if err == nil {
			return fault.Newf(fault.Exists, "this account of %s is the user %s already", m.GetProvider(), taken.Name)
		}
		if !fault.Is(err, fault.NotFound) {
			return err
		}
		tx.Note("provider.link", m.GetProvider(), map[string]any{"user": user.Name, "subject": m.GetSubject()})
		return tx.InsertProviderSubject(ctx, db.InsertProviderSubjectParams{Provider: m.GetProvider(), Subject: m.GetSubject(), UserID: user.ID})
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.LinkUserResponse{}), nil
}

// mayMap refuses roles by group that do not exist or are not the caller's to give.
func (p providers) mayMap(ctx context.Context, all ...[]*adminv1.GroupRole) error {
	roles := rolesIn(all...)
	if err := p.knownRoles(ctx, roles); err != nil {
		return err
	}
	return mayGive(ctx, p.Store.Queries, roles)
}

// mayReplaceProvider holds the caller to P-16 for the roles that a provider gives to
// groups as it stands in the transaction, and for those that it shall give.
func mayReplaceProvider(ctx context.Context, tx *store.Tx, name string, then []string) error {
	mapped, err := tx.ListProviderGroupRoles(ctx, name)
	if err != nil {
		return err
	}
	for _, g := range mapped {
		then = append(then, g.Role)
	}
	return mayGive(ctx, tx.Queries, then)
}

func rolesIn(all ...[]*adminv1.GroupRole) (roles []string) {
	for _, mapped := range all {
		for _, g := range mapped {
			roles = append(roles, g.GetRole())
		}
	}
	return roles
}

// providerSettings returns the provider as sign-on knows it.
func providerSettings(m *adminv1.Provider, secret string) signon.Provider {
	return signon.Provider{
		Name: m.GetName(), URL: m.GetUrl(), ClientID: m.GetClientId(), ClientSecret: secret, Scopes: m.GetScopes(),
		UserClaim: m.GetUserClaim(), GroupsClaim: m.GetGroupsClaim(), Private: m.GetPrivate(), CACertificates: m.GetCaCertificates(),
	}
}

// providerDetails is what is audited of a provider.
func providerDetails(m *adminv1.Provider, secret bool) map[string]any {
	var mapped []string
	for _, g := range m.GetGroupRoles() {
		mapped = append(mapped, g.GetGroup()+"="+g.GetRole())
	}
	return map[string]any{
		"url": m.GetUrl(), "client_id": m.GetClientId(), "client_secret": secret, "scopes": m.GetScopes(), "user_claim": m.GetUserClaim(),
		"groups_claim": m.GetGroupsClaim(), "group_roles": mapped, "private": m.GetPrivate(), "own_authorities": m.GetCaCertificates() != "",
	}
}

func insertGroupRoles(ctx context.Context, tx *store.Tx, m *adminv1.Provider) error {
	params := db.InsertProviderGroupRolesParams{Provider: m.GetName()}
	for _, g := range m.GetGroupRoles() {
		params.Groups, params.Roles = append(params.Groups, g.GetGroup()), append(params.Roles, g.GetRole())
	}
	return tx.InsertProviderGroupRoles(ctx, params)
}

// saved returns one provider.
func (p providers) saved(ctx context.Context, name string) (*adminv1.Provider, error) {
	all, err := p.list(ctx)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		if m.GetName() == name {
			return m, nil
		}
	}
	return nil, fault.Newf(fault.NotFound, "there is no provider %q; 'warder provider list' shows them", name)
}

// list returns all providers: there are few.
func (p providers) list(ctx context.Context) ([]*adminv1.Provider, error) {
	rows, err := p.Store.ListProviders(ctx)
	if err != nil {
		return nil, err
	}
	mapped, err := p.Store.ListProviderGroupRoles(ctx, "")
	if err != nil {
		return nil, err
	}
	roles := make(map[string][]*adminv1.GroupRole)
	for _, g := range mapped {
		roles[g.Provider] = append(roles[g.Provider], &adminv1.GroupRole{Group: g.GroupName, Role: g.Role})
	}
	all := make([]*adminv1.Provider, 0, len(rows))
	for _, row := range rows {
		all = append(all, &adminv1.Provider{
			Name: row.Name, Title: row.Title, Url: row.URL, ClientId: row.ClientID, Scopes: row.Scopes, UserClaim: row.UserClaim,
			GroupsClaim: row.GroupsClaim, GroupRoles: roles[row.Name], Private: row.Private, CaCertificates: row.CaCertificates,
			HasClientSecret: row.HasClientSecret, CreatedAt: timestamppb.New(row.CreatedAt),
		})
	}
	return all, nil
}
