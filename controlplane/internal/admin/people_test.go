package admin

import (
	"slices"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/warder-gateway/warder/internal/apikey"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func TestUsers(t *testing.T) {
	r := newRig(t)
	create := func(m *adminv1.CreateUserRequest) result[adminv1.CreateUserResponse] {
		return must(r.local.users.CreateUser(t.Context(), connect.NewRequest(m)))
	}
	ben := create(&adminv1.CreateUserRequest{Name: "ben", Roles: []string{"viewer", "operator"}}).or(t).GetUser()
	create(&adminv1.CreateUserRequest{Name: "ana@example.com", Password: password}).or(t)
	want := &adminv1.User{Name: "ben", Roles: []string{"operator", "viewer"}, CreatedAt: ben.GetCreatedAt()}
	if diff := cmp.Diff(want, ben, protocmp.Transform()); diff != "" || ben.GetCreatedAt() == nil {
		t.Error(diff)
	}
	all := must(r.local.users.ListUsers(t.Context(), connect.NewRequest(&adminv1.ListUsersRequest{}))).or(t).GetUsers()
	if len(all) != 2 || all[0].GetName() != "ana@example.com" || !all[0].GetHasPassword() || all[1].GetHasPassword() {
		t.Errorf("users %v", all)
	}
	create(&adminv1.CreateUserRequest{Name: "ben"}).refused(t, connect.CodeAlreadyExists, "user of this name")
	create(&adminv1.CreateUserRequest{Name: "@local"}).refused(t, connect.CodeInvalidArgument, "name: a user's name is")
	create(&adminv1.CreateUserRequest{Name: "carl", Roles: []string{"viewr"}}).
		refused(t, connect.CodeInvalidArgument, `no role "viewr"; the roles are operator, owner, viewer`)
	create(&adminv1.CreateUserRequest{Name: "carl", Roles: []string{"viewer", "viewer"}}).refused(t, connect.CodeInvalidArgument, "roles:")
	create(&adminv1.CreateUserRequest{Name: "carl", Password: "short"}).refused(t, connect.CodeInvalidArgument, "12 to 1024 bytes")
}

func TestApplications(t *testing.T) {
	r := newRig(t)
	create := func(name string) result[adminv1.CreateApplicationResponse] {
		return must(r.local.applications.CreateApplication(t.Context(), connect.NewRequest(&adminv1.CreateApplicationRequest{Name: name})))
	}
	create("cursor").or(t)
	create("cursor").refused(t, connect.CodeAlreadyExists, "application of this name")
	create("Cursor").refused(t, connect.CodeInvalidArgument, "name: an application's name is")
	all := must(r.local.applications.ListApplications(t.Context(), connect.NewRequest(&adminv1.ListApplicationsRequest{}))).or(t)
	if len(all.GetApplications()) != 1 || all.GetApplications()[0].GetCreatedAt() == nil {
		t.Errorf("applications %v", all)
	}
}

func TestRoles(t *testing.T) {
	r := newRig(t)
	grant := &adminv1.Grant{Tools: []string{"github/*"}, Risks: []string{"read", "write"}}
	create := func(name string, grants ...*adminv1.Grant) result[adminv1.CreateRoleResponse] {
		return must(r.local.roles.CreateRole(t.Context(), connect.NewRequest(&adminv1.CreateRoleRequest{Name: name, Description: "Builds.", Grants: grants})))
	}
	give := func(name string, g *adminv1.Grant) result[adminv1.GrantRoleResponse] {
		return must(r.local.roles.GrantRole(t.Context(), connect.NewRequest(&adminv1.GrantRoleRequest{Name: name, Grant: g})))
	}
	create("developer", grant).or(t)
	more := &adminv1.Grant{Tools: []string{"*/get_*"}}
	granted := give("developer", more).or(t).GetRole()
	want := &adminv1.Role{Name: "developer", Description: "Builds.", Grants: []*adminv1.Grant{grant, more}}
	if diff := cmp.Diff(want, granted, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	all := must(r.local.roles.ListRoles(t.Context(), connect.NewRequest(&adminv1.ListRolesRequest{}))).or(t).GetRoles()
	if len(all) != 4 || !all[0].GetBuiltIn() || all[3].GetName() != "developer" {
		t.Errorf("roles %v", all)
	}
	create("developer").refused(t, connect.CodeAlreadyExists, "role of this name")
	create("Dev").refused(t, connect.CodeInvalidArgument, "name: a role's name is")
	create("other", &adminv1.Grant{Risks: []string{"harmless"}}).refused(t, connect.CodeInvalidArgument, "grants[0].risks[0]")
	create("other", &adminv1.Grant{Tools: []string{"github"}}).refused(t, connect.CodeInvalidArgument, "has no \"/\"")
	give("developer", &adminv1.Grant{Tools: []string{"a/[b]"}}).refused(t, connect.CodeInvalidArgument, "only * is special")
	give("owner", more).refused(t, connect.CodeFailedPrecondition, "built in")
	give("nothing", more).refused(t, connect.CodeNotFound, `no role "nothing"`)
	give("developer", nil).refused(t, connect.CodeInvalidArgument, "grant:")
	if r.CurrentSet() == nil {
		t.Error("the roles do not compile")
	}
}

func TestKeys(t *testing.T) {
	r := newRig(t)
	r.person(t, "ana", "viewer")
	create := func(m *adminv1.CreateKeyRequest) result[adminv1.CreateKeyResponse] {
		return must(r.local.keys.CreateKey(t.Context(), connect.NewRequest(m)))
	}
	made := create(&adminv1.CreateKeyRequest{User: "ana", Application: "cursor", ExpiresIn: durationpb.New(time.Hour)}).or(t)
	key, err := apikey.Parse(made.GetKey())
	if err != nil || key.ID != made.GetDetails().GetId() {
		t.Fatalf("key %v, %v", key, err)
	}
	item, served := r.CurrentSet().Get("key/" + key.ID)
	if !served || string(item.GetKey().GetHash()) != string(apikey.Hash(r.Pepper, key.Secret)) || item.GetKey().GetUser() != "ana" {
		t.Fatalf("item %v", item)
	}
	left := time.Until(made.GetDetails().GetExpiresAt().AsTime())
	if left < 59*time.Minute || left > time.Hour || made.GetDetails().GetCreatedBy() != "@local" {
		t.Errorf("details %v", made.GetDetails())
	}
	create(&adminv1.CreateKeyRequest{User: "ana", Application: "cursor"}).or(t)
	if got := r.actions(t); !slices.Contains(got, "application.create cursor") {
		t.Errorf("actions %v", got)
	}
	create(&adminv1.CreateKeyRequest{User: "bob", Application: "cursor"}).refused(t, connect.CodeNotFound, "warder user create")
	create(&adminv1.CreateKeyRequest{User: "ana", Application: "Cur sor"}).refused(t, connect.CodeInvalidArgument, "application:")
	create(&adminv1.CreateKeyRequest{User: "ana", Application: "a", ExpiresIn: durationpb.New(-time.Hour)}).refused(t, connect.CodeInvalidArgument, "expires_in:")
	list := func(user string) result[adminv1.ListKeysResponse] {
		return must(r.local.keys.ListKeys(t.Context(), connect.NewRequest(&adminv1.ListKeysRequest{User: user})))
	}
	if all := list("ana").or(t).GetKeys(); len(all) != 2 || all[1].GetId() != key.ID {
		t.Errorf("keys %v", all)
	}
	list("bob").refused(t, connect.CodeNotFound, `no user "bob"`)
}

func TestP08_RevokedKeyIsInTheOverlayAndOutOfTheSnapshot(t *testing.T) {
	r := newRig(t)
	r.person(t, "ana", "viewer")
	made := must(r.local.keys.CreateKey(t.Context(), connect.NewRequest(&adminv1.CreateKeyRequest{User: "ana", Application: "cursor"}))).or(t)
	id := made.GetDetails().GetId()
	revoke := func(id, reason string) result[adminv1.RevokeKeyResponse] {
		return must(r.local.keys.RevokeKey(t.Context(), connect.NewRequest(&adminv1.RevokeKeyRequest{Id: id, Reason: reason})))
	}
	first := revoke(id, "left the company").or(t).GetKey()
	set := r.CurrentSet()
	deny, denied := set.Get("deny/key/" + id)
	if _, served := set.Get("key/" + id); served || !denied || deny.GetDeny().GetReason() != "left the company" {
		t.Errorf("served %t, deny %v", served, deny)
	}
	second := revoke(id, "again").or(t).GetKey()
	if diff := cmp.Diff(first, second, protocmp.Transform()); diff != "" || first.GetRevokedAt() == nil {
		t.Errorf("revoked twice: %s", diff)
	}
	if after := r.CurrentSet(); after.Revision() != set.Revision() {
		t.Error("to revoke again made a revision")
	}
	revoke("nosuchkey000", "").refused(t, connect.CodeNotFound, `no key "nosuchkey000"`)
}
