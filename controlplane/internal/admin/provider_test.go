package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// newIssuer serves the metadata of a provider, and returns it as it is added.
func newIssuer(t *testing.T) *adminv1.Provider {
	t.Helper()
	return newSlowIssuer(t, func() {})
}

// newSlowIssuer is newIssuer of one that is asked, and meanwhile something happens.
func newSlowIssuer(t *testing.T, meanwhile func()) *adminv1.Provider {
	t.Helper()
	var url string
	url = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		meanwhile()
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":%q,"token_endpoint":%q,"jwks_uri":%q}`, url, url+"/a", url+"/t", url+"/k")
	}))
	return &adminv1.Provider{Name: "corp", Url: url, ClientId: "warder", Private: true, Scopes: []string{"profile"}}
}

func groupRoles(mapped ...string) (all []*adminv1.GroupRole) {
	for _, m := range mapped {
		group, role, _ := strings.Cut(m, "=")
		all = append(all, &adminv1.GroupRole{Group: group, Role: role})
	}
	return all
}

func addProvider(t *testing.T, c *client, m *adminv1.Provider, secret string) result[adminv1.AddProviderResponse] {
	t.Helper()
	return must(c.providers.AddProvider(t.Context(), connect.NewRequest(&adminv1.AddProviderRequest{Provider: m, ClientSecret: secret})))
}

func updateProvider(t *testing.T, c *client, m *adminv1.Provider, secret *string) result[adminv1.UpdateProviderResponse] {
	t.Helper()
	return must(c.providers.UpdateProvider(t.Context(), connect.NewRequest(&adminv1.UpdateProviderRequest{Provider: m, ClientSecret: secret})))
}

func TestAProviderIsAddedChangedAndRemoved(t *testing.T) {
	r := newRig(t)
	m := newIssuer(t)
	m.GroupRoles = groupRoles("devs=viewer", "devs=operator", "ops=owner")
	added := addProvider(t, r.local, m, "CANARY-client-secret").or(t)
	if added.GetRedirectUrl() != "https://warder.example/login/oidc/corp/callback" || !added.GetProvider().GetHasClientSecret() {
		t.Errorf("added %v", added)
	}
	addProvider(t, r.local, m, "").refused(t, connect.CodeAlreadyExists, "a provider of this name exists already")
	ways := must(r.stranger(t).login.ListSignOns(t.Context(), connect.NewRequest(&adminv1.ListSignOnsRequest{}))).or(t)
	if !ways.GetPassword() || len(ways.GetProviders()) != 1 || ways.GetProviders()[0].GetPath() != "/login/oidc/corp" || ways.GetProviders()[0].GetTitle() != "corp" {
		t.Errorf("ways to sign in: %v", ways)
	}

	changed := proto.CloneOf(added.GetProvider())
	changed.Title, changed.GroupRoles = "Corp", groupRoles("ops=owner")
	if got := updateProvider(t, r.local, changed, nil).or(t).GetProvider(); got.GetTitle() != "Corp" || len(got.GetGroupRoles()) != 1 || !got.GetHasClientSecret() {
		t.Errorf("changed %v", got)
	}
	if got := updateProvider(t, r.local, changed, new("")).or(t).GetProvider(); got.GetHasClientSecret() {
		t.Errorf("still a secret: %v", got)
	}
	moved := proto.CloneOf(changed)
	moved.Url += "/other"
	updateProvider(t, r.local, moved, nil).refused(t, connect.CodeInvalidArgument, "another URL is another provider")

	listed := must(r.local.providers.ListProviders(t.Context(), connect.NewRequest(&adminv1.ListProvidersRequest{}))).or(t)
	changes := must(r.local.audit.ListChanges(t.Context(), connect.NewRequest(&adminv1.ListChangesRequest{}))).or(t)
	if text := protojson.Format(listed) + protojson.Format(changes) + r.log.String(); strings.Contains(text, "CANARY") || !strings.Contains(text, "provider.update") {
		t.Error("the client's secret is in answers or logs, or nothing was searched")
	}
	remove := connect.NewRequest(&adminv1.RemoveProviderRequest{Name: "corp"})
	must(r.local.providers.RemoveProvider(t.Context(), remove)).or(t)
	must(r.local.providers.RemoveProvider(t.Context(), remove)).refused(t, connect.CodeNotFound, `there is no provider "corp"`)
}

func TestAProviderThatCannotBeRightIsNotSaved(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		change func(*adminv1.Provider)
		code   connect.Code
		text   string
	}{
		"loopback, not private": {func(m *adminv1.Provider) { m.Private = false }, connect.CodeInvalidArgument, "--private"},
		"another issuer":        {func(m *adminv1.Provider) { m.Url += "/" }, connect.CodeFailedPrecondition, "names another issuer"},
		"nobody there":          {func(m *adminv1.Provider) { m.Url = "http://127.0.0.1:1" }, connect.CodeUnavailable, "does not answer as it should"},
		"a user in the URL":     {func(m *adminv1.Provider) { m.Url = "https://a:b@corp.example" }, connect.CodeInvalidArgument, "must not carry a user"},
		"a query":               {func(m *adminv1.Provider) { m.Url += "?x=y" }, connect.CodeInvalidArgument, "no query"},
		"no URL":                {func(m *adminv1.Provider) { m.Url = "corp" }, connect.CodeInvalidArgument, "must begin with https://"},
		"clear text":            {func(m *adminv1.Provider) { m.Private, m.Url = false, "http://corp.example" }, connect.CodeInvalidArgument, "http://"},
		"two scopes in one":     {func(m *adminv1.Provider) { m.Scopes = []string{"profile groups"} }, connect.CodeInvalidArgument, "one word"},
		"no such role":          {func(m *adminv1.Provider) { m.GroupRoles = groupRoles("devs=nobody") }, connect.CodeInvalidArgument, "there is no role"},
		"the name of passwords": {func(m *adminv1.Provider) { m.Name = "password" }, connect.CodeInvalidArgument, "cannot be called password"},
		"authorities":           {func(m *adminv1.Provider) { m.CaCertificates = "x" }, connect.CodeInvalidArgument, "holds no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newIssuer(t)
			c.change(m)
			addProvider(t, r.local, m, "").refused(t, c.code, c.text)
		})
	}
	if all := must(r.local.providers.ListProviders(t.Context(), connect.NewRequest(&adminv1.ListProvidersRequest{}))).or(t); len(all.GetProviders()) != 0 {
		t.Errorf("saved %v", all)
	}
}

// P-16: whoever may say who is trusted must not become more by it.
func TestP16_AProviderGivesNoMoreThanWhoAddsIt(t *testing.T) {
	r := newRig(t)
	must(r.local.roles.CreateRole(t.Context(), connect.NewRequest(&adminv1.CreateRoleRequest{Name: "identity", Permissions: []string{"read", "providers:write"}}))).or(t)
	ivo := r.person(t, "ivo", "identity", "viewer")
	m := newIssuer(t)
	m.GroupRoles = groupRoles("all=owner")
	addProvider(t, ivo, m, "").refused(t, connect.CodePermissionDenied, "so you cannot give it")
	addProvider(t, r.local, m, "s").or(t)
	m.GroupRoles = groupRoles("all=viewer")
	updateProvider(t, ivo, m, nil).refused(t, connect.CodePermissionDenied, "so you cannot give it")
	link := &adminv1.LinkUserRequest{Provider: "corp", User: "ivo", Subject: "s-1"}
	must(ivo.providers.LinkUser(t.Context(), connect.NewRequest(link))).refused(t, connect.CodePermissionDenied, "so you cannot give it")
	updateProvider(t, r.local, m, nil).or(t)
	r.person(t, "ana", "owner")
	link.User = "ana"
	must(ivo.providers.LinkUser(t.Context(), connect.NewRequest(link))).refused(t, connect.CodePermissionDenied, "ask an owner")
	link.User = "ivo"
	must(ivo.providers.LinkUser(t.Context(), connect.NewRequest(link))).or(t)
	must(r.local.providers.LinkUser(t.Context(), connect.NewRequest(link))).refused(t, connect.CodeAlreadyExists, "is the user ivo already")
	m.GroupRoles = groupRoles("all=viewer", "some=operator")
	updateProvider(t, ivo, m, nil).refused(t, connect.CodePermissionDenied, "so you cannot give it")
}

// What the caller lost, or the provider got, while the provider was asked counts too.
func TestP16_AProviderIsHeldToWhatIsTrueWhenItIsSaved(t *testing.T) {
	r := newRig(t)
	must(r.local.roles.CreateRole(t.Context(), connect.NewRequest(&adminv1.CreateRoleRequest{Name: "identity", Permissions: []string{"read", "providers:write"}}))).or(t)
	ivo := r.person(t, "ivo", "identity", "operator")
	var meanwhile func()
	m := newSlowIssuer(t, func() { meanwhile() })
	set := func(roles ...string) {
		row, err := r.Store.GetUser(t.Context(), "ivo")
		if err == nil {
			err = r.Store.DeleteUserRoles(t.Context(), row.ID)
		}
		if err == nil {
			err = r.Store.InsertUserRoles(t.Context(), db.InsertUserRolesParams{UserID: row.ID, Roles: roles})
		}
		if err != nil {
			t.Error(err)
		}
	}
	m.GroupRoles = groupRoles("all=operator")
	meanwhile = func() { set("identity") }
	addProvider(t, ivo, m, "").refused(t, connect.CodePermissionDenied, "so you cannot give it")
	meanwhile = func() {}
	addProvider(t, r.local, m, "").or(t)
	set("identity", "operator")
	meanwhile = func() { set("identity") }
	updateProvider(t, ivo, m, nil).refused(t, connect.CodePermissionDenied, "so you cannot give it")
	set("identity", "operator")
	meanwhile = func() {
		err := r.Store.InsertProviderGroupRoles(t.Context(), db.InsertProviderGroupRolesParams{Provider: "corp", Groups: []string{"bosses"}, Roles: []string{"owner"}})
		if err != nil {
			t.Error(err)
		}
	}
	updateProvider(t, ivo, m, nil).refused(t, connect.CodePermissionDenied, "so you cannot give it")
}

// A provider that is down, or takes requests and never answers, keeps nobody from
// his password, nor from the page that asks for it.
func TestPasswordsOpenWhileAProviderIsDown(t *testing.T) {
	r := newRig(t)
	silent, waits := make(chan struct{}), make(chan struct{}, 100)
	var added atomic.Bool
	var url string
	url = serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if added.Load() {
			waits <- struct{}{}
			<-silent
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"issuer":%q,"authorization_endpoint":%q,"token_endpoint":%q,"jwks_uri":%q}`, url, url+"/a", url+"/t", url+"/k")
	}))
	t.Cleanup(func() { close(silent) })
	m := &adminv1.Provider{Name: "corp", Url: url, ClientId: "warder", Private: true, GroupRoles: groupRoles("ops=viewer")}
	addProvider(t, r.local, m, "").or(t)
	added.Store(true)
	ana := r.person(t, "ana", "viewer")
	ways := must(r.stranger(t).login.ListSignOns(t.Context(), connect.NewRequest(&adminv1.ListSignOnsRequest{}))).or(t)
	if !ways.GetPassword() || len(ways.GetProviders()) != 1 || ana.whoAmI(t).or(t).GetName() != "ana" {
		t.Errorf("ways to sign in: %v", ways)
	}
	if len(waits) != 0 {
		t.Error("to sign in by password asked the provider")
	}
	// Whoever needs the provider waits for it, and nobody else does.
	ctx, leave := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	waiting.Go(func() {
		settings := providerSettings(m, "")
		settings.ClientID = "another"
		if err := r.SignOn.Check(ctx, settings); err == nil {
			t.Error("a provider that says nothing is right")
		}
	})
	<-waits
	r.signIn(t, "ana").whoAmI(t).or(t)
	leave()
	waiting.Wait()
}

func TestTheOnlyWayOfTheLastOwnerIsNotRemoved(t *testing.T) {
	r := newRig(t)
	addProvider(t, r.local, newIssuer(t), "").or(t)
	must(r.local.users.CreateUser(t.Context(), connect.NewRequest(&adminv1.CreateUserRequest{Name: "ana", Roles: []string{"owner"}}))).or(t)
	must(r.local.providers.LinkUser(t.Context(), connect.NewRequest(&adminv1.LinkUserRequest{Provider: "corp", User: "ana", Subject: "s-1"}))).or(t)
	remove := connect.NewRequest(&adminv1.RemoveProviderRequest{Name: "corp"})
	must(r.local.providers.RemoveProvider(t.Context(), remove)).refused(t, connect.CodeFailedPrecondition, "nobody could sign in as an owner")
	r.person(t, "root", "owner")
	must(r.local.providers.RemoveProvider(t.Context(), remove)).or(t)
	if got := r.actions(t); !slices.Contains(got, "provider.remove corp") || !slices.Contains(got, "provider.link corp") {
		t.Errorf("actions %v", got)
	}
}
