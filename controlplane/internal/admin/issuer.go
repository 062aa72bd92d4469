package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/issuer"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

type issuers struct{ *API }

// AddIssuer finds the issuer's keys and saves it. One whose keys cannot be had is
// not saved.
func (i issuers) AddIssuer(ctx context.Context, r *connect.Request[adminv1.AddIssuerRequest]) (*connect.Response[adminv1.AddIssuerResponse], error) {
	m, err := i.prepare(ctx, r.Msg.GetIssuer())
	if err != nil {
		return nil, err
	}
	_, err = i.change(ctx, func(tx *store.Tx) error {
		row := issuerRow(m)
		created, err := tx.InsertIssuer(ctx, row)
		if fault.Is(err, fault.Exists) {
			return fault.Newf(fault.Exists, "there is an issuer named %q, or one with this URL, already; 'warder issuer list' shows them, 'warder issuer set' changes one", m.GetName())
		}
		if err != nil {
			return err
		}
		m.CreatedAt = timestamppb.New(created)
		tx.Record("issuer.add", m.GetName(), issuerDetails(m))
		if err := mayTrust(ctx, tx.Queries, m); err != nil { // Once more: to find keys takes time.
			return err
		}
		return giveGroupRoles(ctx, tx, m)
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.AddIssuerResponse{Issuer: m}), nil
}

// UpdateIssuer replaces an issuer, after its keys were found as they will be.
func (i issuers) UpdateIssuer(ctx context.Context, r *connect.Request[adminv1.UpdateIssuerRequest]) (*connect.Response[adminv1.UpdateIssuerResponse], error) {
	m, err := i.prepare(ctx, r.Msg.GetIssuer())
	if err != nil {
		return nil, err
	}
	_, err = i.change(ctx, func(tx *store.Tx) error {
		if err := mayReplace(ctx, tx, m); err != nil {
			return err
		}
		created, err := tx.UpdateIssuer(ctx, db.UpdateIssuerParams{
			Name: m.GetName(), URL: m.GetUrl(), Audiences: list(m.GetAudiences()), JwksURL: m.GetJwksUrl(), Algorithms: list(m.GetAlgorithms()),
			UserClaim: m.GetUserClaim(), GroupsClaim: m.GetGroupsClaim(), ApplicationClaim: m.GetApplicationClaim(),
			UserPrefix: m.GetUserPrefix(), Private: m.GetPrivate(), CaCertificates: m.GetCaCertificates(), Scopes: list(m.GetScopes()),
		})
		switch {
		case fault.Is(err, fault.Exists):
			return fault.New(fault.Exists, "another issuer has this URL")
		case err != nil:
			return noIssuer(err, m.GetName())
		}
		m.CreatedAt = timestamppb.New(created)
		if err := tx.DeleteIssuerGroupRoles(ctx, m.GetName()); err != nil {
			return err
		}
		tx.Record("issuer.update", m.GetName(), issuerDetails(m))
		return giveGroupRoles(ctx, tx, m)
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.UpdateIssuerResponse{Issuer: m}), nil
}

func noIssuer(err error, name string) error {
	return store.Missing(err, fmt.Sprintf("issuer %q; 'warder issuer list' shows the issuers", name))
}

// ListIssuers returns all, by name.
func (i issuers) ListIssuers(ctx context.Context, _ *connect.Request[adminv1.ListIssuersRequest]) (*connect.Response[adminv1.ListIssuersResponse], error) {
	rows, err := i.Store.ListIssuers(ctx)
	if err != nil {
		return nil, err
	}
	given, err := i.Store.ListIssuerGroupRoles(ctx)
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListIssuersResponse)
	for _, row := range rows {
		response.Issuers = append(response.Issuers, issuerMessage(row, given))
	}
	return reply(response), nil
}

// RemoveIssuer refuses its tokens from now on.
func (i issuers) RemoveIssuer(ctx context.Context, r *connect.Request[adminv1.RemoveIssuerRequest]) (*connect.Response[adminv1.RemoveIssuerResponse], error) {
	_, err := i.change(ctx, func(tx *store.Tx) error {
		row, err := tx.LockIssuer(ctx, r.Msg.GetName())
		if err != nil {
			return noIssuer(err, r.Msg.GetName())
		}
		tx.Record("issuer.remove", row.Name, map[string]any{"url": row.URL})
		_, err = tx.DeleteIssuer(ctx, row.Name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RemoveIssuerResponse{}), nil
}

// prepare returns an issuer as it is to be saved: defaults filled in, what the
// caller may not give refused, and the keys found.
func (i issuers) prepare(ctx context.Context, asked *adminv1.Issuer) (*adminv1.Issuer, error) {
	m := proto.CloneOf(asked)
	m.UserClaim = cmp.Or(m.GetUserClaim(), "sub")
	if len(m.GetAlgorithms()) == 0 {
		m.Algorithms = []string{"RS256", "ES256"}
	}
	if err := checkIssuer(m); err != nil {
		return nil, err
	}
	if err := i.knownRoles(ctx, rolesOf(m)); err != nil {
		return nil, err
	}
	if err := mayTrust(ctx, i.Store.Queries, m); err != nil {
		return nil, err
	}
	found, err := issuer.Find(ctx, issuer.Source{
		URL: m.GetUrl(), JWKSURL: m.GetJwksUrl(), Private: m.GetPrivate(), CACertificates: m.GetCaCertificates(),
	}, m.GetAlgorithms())
	if err != nil {
		i.Log.InfoContext(ctx, "the keys of an issuer were not found", "issuer", m.GetName(), "error", err)
		return nil, err
	}
	m.JwksUrl = found
	return m, nil
}

// checkIssuer refuses settings that cannot be right.
func checkIssuer(m *adminv1.Issuer) error {
	for _, name := range m.GetAlgorithms() {
		if !slices.Contains(issuer.Algorithms(), name) {
			return fault.Newf(fault.Invalid, "the algorithm %q is not one that tokens may be signed with; they are %s", name, strings.Join(issuer.Algorithms(), ", "))
		}
	}
	for _, audience := range m.GetAudiences() {
		if !plain(audience) {
			return fault.New(fault.Invalid, "an audience is empty, or has characters that cannot be seen")
		}
	}
	for _, scope := range m.GetScopes() {
		if scope == "offline_access" {
			return fault.New(fault.Invalid, "offline_access is not for a resource to ask for; clients that want it ask by themselves")
		}
		if scope == "" || strings.ContainsFunc(scope, func(c rune) bool { return c < '!' || c > '~' || c == '"' || c == '\\' }) {
			return fault.Newf(fault.Invalid, "%q is no scope: it has a space, a quote or another character that scopes cannot have; give each scope by itself", scope)
		}
	}
	if prefix := m.GetUserPrefix(); prefix != "" && !plain(prefix) {
		return fault.New(fault.Invalid, "the user prefix has white space around it, or characters that cannot be seen")
	}
	if len(m.GetGroupRoles()) > 0 && m.GetGroupsClaim() == "" {
		return fault.New(fault.Invalid, "roles for groups need the claim that names the groups: --groups-claim")
	}
	return nil
}

// plain reports whether a text can be seen whole.
func plain(s string) bool {
	return s != "" && strings.TrimSpace(s) == s && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// mayTrust holds the caller to P-16. Tokens of an issuer may have the roles of its
// groups, and what the policy allows to users and groups by name; and unless its
// prefix keeps them apart, what any user here has: whoever says which issuer names
// the users says who they are.
func mayTrust(ctx context.Context, q *db.Queries, m *adminv1.Issuer) error {
	g, err := newGiver(ctx, q)
	if err != nil || g.owner {
		return err
	}
	if !apart(m.GetUserPrefix()) {
		return fault.New(fault.Denied, "without a user prefix that no user here can begin with (one with a ':', for example --user-prefix corp:), its tokens could name any user here; only an owner may say so")
	}
	bearers := person{} // Of any name, and any groups.
	if m.GetGroupsClaim() == "" {
		bearers.groups = []string{}
	}
	if err := g.mayGive(bearers); err != nil {
		return err
	}
	return mayGive(ctx, q, rolesOf(m))
}

// mayReplace is mayTrust of an issuer that is there already: the caller must hold
// what its tokens have until now as well, for he says to whom they go on.
func mayReplace(ctx context.Context, tx *store.Tx, m *adminv1.Issuer) error {
	row, err := tx.LockIssuer(ctx, m.GetName())
	if err != nil {
		return noIssuer(err, m.GetName())
	}
	given, err := tx.ListIssuerGroupRoles(ctx)
	if err != nil {
		return err
	}
	if err := mayTrust(ctx, tx.Queries, issuerMessage(row, given)); err != nil {
		return err
	}
	return mayTrust(ctx, tx.Queries, m)
}

// rolesOf returns the roles that tokens of an issuer may have.
func rolesOf(m *adminv1.Issuer) (roles []string) {
	for _, given := range m.GetGroupRoles() {
		roles = append(roles, given.GetRole())
	}
	return roles
}

// apart reports whether no user of this installation can have a name that begins
// with the prefix: names have none but these characters.
func apart(prefix string) bool {
	return strings.Trim(prefix, "abcdefghijklmnopqrstuvwxyz0123456789._@+-") != ""
}

func giveGroupRoles(ctx context.Context, tx *store.Tx, m *adminv1.Issuer) error {
	for _, given := range m.GetGroupRoles() {
		err := tx.InsertIssuerGroupRole(ctx, db.InsertIssuerGroupRoleParams{Issuer: m.GetName(), GroupName: given.GetGroup(), Role: given.GetRole()})
		if fault.Is(err, fault.Exists) {
			return fault.Newf(fault.Invalid, "the group %q is given the role %s twice", given.GetGroup(), given.GetRole())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// list makes of an absent list an empty one, as columns have it.
func list(texts []string) []string { return append([]string{}, texts...) }

func issuerRow(m *adminv1.Issuer) db.InsertIssuerParams {
	return db.InsertIssuerParams{
		Name: m.GetName(), URL: m.GetUrl(), Audiences: list(m.GetAudiences()), JwksURL: m.GetJwksUrl(), Algorithms: list(m.GetAlgorithms()),
		UserClaim: m.GetUserClaim(), GroupsClaim: m.GetGroupsClaim(), ApplicationClaim: m.GetApplicationClaim(),
		UserPrefix: m.GetUserPrefix(), Private: m.GetPrivate(), CaCertificates: m.GetCaCertificates(), Scopes: list(m.GetScopes()),
	}
}

func issuerMessage(row db.Issuer, given []db.IssuerGroupRole) *adminv1.Issuer {
	m := &adminv1.Issuer{
		Name: row.Name, Url: row.URL, Audiences: row.Audiences, JwksUrl: row.JwksURL, Algorithms: row.Algorithms,
		UserClaim: row.UserClaim, GroupsClaim: row.GroupsClaim, ApplicationClaim: row.ApplicationClaim, UserPrefix: row.UserPrefix,
		Private: row.Private, CaCertificates: row.CaCertificates, Scopes: row.Scopes, CreatedAt: timestamppb.New(row.CreatedAt),
	}
	for _, g := range given {
		if g.Issuer == row.Name {
			m.GroupRoles = append(m.GroupRoles, &adminv1.GroupRole{Group: g.GroupName, Role: g.Role})
		}
	}
	return m
}

// issuerDetails is what the audit says of an issuer: all that says who its tokens
// are.
func issuerDetails(m *adminv1.Issuer) map[string]any {
	roles := make([]string, 0, len(m.GetGroupRoles()))
	for _, g := range m.GetGroupRoles() {
		roles = append(roles, g.GetGroup()+"="+g.GetRole())
	}
	return map[string]any{
		"url": m.GetUrl(), "jwks_url": withoutQuery(m.GetJwksUrl()), "audiences": m.GetAudiences(), "algorithms": m.GetAlgorithms(),
		"user_claim": m.GetUserClaim(), "groups_claim": m.GetGroupsClaim(), "application_claim": m.GetApplicationClaim(),
		"user_prefix": m.GetUserPrefix(), "group_roles": roles, "private": m.GetPrivate(), "scopes": m.GetScopes(),
		"ca_certificates": m.GetCaCertificates() != "",
	}
}
