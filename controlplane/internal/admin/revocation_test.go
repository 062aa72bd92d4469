package admin

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func ask[I, O any](t *testing.T, fn func(context.Context, *connect.Request[I]) (*connect.Response[O], error), m *I) result[O] {
	t.Helper()
	return must(fn(t.Context(), connect.NewRequest(m)))
}

func TestAKeyIsForKnownServersOnly(t *testing.T) {
	r := newRig(t)
	r.add(t, "github", newUpstream(t), false)
	r.add(t, "jira", newUpstream(t), false)
	r.person(t, "ana", "viewer")
	order := &adminv1.CreateKeyRequest{User: "ana", Application: "cursor", Servers: []string{"jira", "gihtub"}}
	ask(t, r.local.keys.CreateKey, order).refused(t, connect.CodeInvalidArgument, `no server named "gihtub"`)
	order.Servers[1] = "github"
	made := ask(t, r.local.keys.CreateKey, order).or(t)
	want := []string{"github", "jira"}
	listed := ask(t, r.local.keys.ListKeys, &adminv1.ListKeysRequest{}).or(t).GetKeys()
	item, _ := r.CurrentSet().Get("key/" + made.GetDetails().GetId())
	for where, got := range map[string][]string{
		"answer": made.GetDetails().GetServers(), "list": listed[0].GetServers(), "snapshot": item.GetKey().GetServers(),
	} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("servers in the %s (-want +got):\n%s", where, diff)
		}
	}
}

func TestARotatedKeyEndsAfterTheOverlapAndHasOneSuccessor(t *testing.T) {
	r := newRig(t)
	r.add(t, "github", newUpstream(t), false)
	r.person(t, "ana", "viewer")
	first := ask(t, r.local.keys.CreateKey, &adminv1.CreateKeyRequest{
		User: "ana", Application: "cursor", Servers: []string{"github"}, ExpiresIn: durationpb.New(100 * time.Hour),
	}).or(t)
	id := first.GetDetails().GetId()
	rotate := func(id string, overlap time.Duration) result[adminv1.RotateKeyResponse] {
		t.Helper()
		return ask(t, r.local.keys.RotateKey, &adminv1.RotateKeyRequest{Id: id, Overlap: durationpb.New(overlap)})
	}
	began := time.Now()
	raw := rotate(id, 2*time.Hour)
	second := raw.or(t)
	if got := raw.response.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("an answer with a secret has Cache-Control %q", got)
	}
	d := second.GetDetails()
	if d.GetUser() != "ana" || d.GetApplication() != "cursor" || !cmp.Equal(d.GetServers(), []string{"github"}) || second.GetKey() == first.GetKey() {
		t.Errorf("successor: %v", d)
	}
	if life := d.GetExpiresAt().AsTime().Sub(began); life < 99*time.Hour || life > 101*time.Hour {
		t.Errorf("the successor lives %v; the old key was given 100 h", life)
	}
	item, _ := r.CurrentSet().Get("key/" + id)
	if left := item.GetKey().GetExpiresAt().AsTime().Sub(began); left < 119*time.Minute || left > 121*time.Minute {
		t.Errorf("at nodes the old key works for %v", left)
	}
	if second.GetOld().GetSuccessor() != d.GetId() {
		t.Errorf("old key: %v", second.GetOld())
	}
	rotate(id, time.Hour).refused(t, connect.CodeFailedPrecondition, "its successor is "+d.GetId())
	third := rotate(d.GetId(), 0).or(t)
	if now := time.Now(); third.GetOld().GetExpiresAt().AsTime().After(now.Add(time.Second)) {
		t.Errorf("without an overlap the old key works until %v", third.GetOld().GetExpiresAt().AsTime())
	}
	ask(t, r.local.keys.RevokeKey, &adminv1.RevokeKeyRequest{Id: third.GetDetails().GetId()}).or(t)
	rotate(third.GetDetails().GetId(), 0).refused(t, connect.CodeFailedPrecondition, "revoked, which is final")
	rotate("nosuchkeyhere", 0).refused(t, connect.CodeNotFound, "nosuchkeyhere")
}

// A key for whom nothing would take it is not made, neither anew nor by rotation.
func TestNoKeyIsMadeForWhoIsDisabledOrRemoved(t *testing.T) {
	r := newRig(t)
	user := func(name string) { ask(t, r.local.users.CreateUser, &adminv1.CreateUserRequest{Name: name}).or(t) }
	for name, test := range map[string]struct {
		off  func()
		text string
	}{
		"disabled": {func() { ask(t, r.local.users.DisableUser, &adminv1.DisableUserRequest{Name: "disabled"}).or(t) }, "warder user enable disabled"},
		"removed":  {func() { ask(t, r.local.users.RemoveUser, &adminv1.RemoveUserRequest{Name: "removed"}).or(t) }, "was removed"},
		"application": {func() {
			ask(t, r.local.applications.DisableApplication, &adminv1.DisableApplicationRequest{Name: "of-application"}).or(t)
		}, "warder app enable of-application"},
	} {
		user(name)
		order := &adminv1.CreateKeyRequest{User: name, Application: "of-" + name}
		id := ask(t, r.local.keys.CreateKey, order).or(t).GetDetails().GetId()
		test.off()
		if name == "removed" { // Its keys are revoked; one that slipped in while he was being removed is not.
			r.exec(t, "UPDATE api_key SET revoked_at = NULL, revoked_by = NULL, revoked_reason = NULL WHERE id = '"+id+"'")
		}
		before := r.actions(t)
		ask(t, r.local.keys.CreateKey, order).refused(t, connect.CodeFailedPrecondition, test.text)
		ask(t, r.local.keys.RotateKey, &adminv1.RotateKeyRequest{Id: id}).refused(t, connect.CodeFailedPrecondition, test.text)
		if diff := cmp.Diff(before, r.actions(t)); diff != "" {
			t.Errorf("%s: refused and done:\n%s", name, diff)
		}
	}
}

// A server that goes away leaves the keys for it good for nothing: their list never
// becomes the one that stands for all servers.
func TestAKeyWhoseServerIsRemovedIsNotForAllServers(t *testing.T) {
	r := newRig(t)
	r.add(t, "github", newUpstream(t), false)
	r.add(t, "jira", newUpstream(t), false)
	r.person(t, "ana", "viewer")
	made := ask(t, r.local.keys.CreateKey, &adminv1.CreateKeyRequest{User: "ana", Application: "cursor", Servers: []string{"github"}}).or(t)
	id := made.GetDetails().GetId()
	ask(t, r.local.servers.RemoveServer, &adminv1.RemoveServerRequest{Name: "github"}).or(t)
	listed := ask(t, r.local.keys.ListKeys, &adminv1.ListKeysRequest{}).or(t).GetKeys()
	item, _ := r.CurrentSet().Get("key/" + id)
	for where, got := range map[string][]string{"list": listed[0].GetServers(), "snapshot": item.GetKey().GetServers()} {
		if diff := cmp.Diff([]string{"github"}, got); diff != "" {
			t.Errorf("servers in the %s (-want +got):\n%s", where, diff)
		}
	}
	ask(t, r.local.keys.RotateKey, &adminv1.RotateKeyRequest{Id: id}).refused(t, connect.CodeFailedPrecondition, "the key is good for the server github, which was removed")
}

// An expiry that a rotation would put off is none.
func TestRotationNeverProlongsAKey(t *testing.T) {
	r := newRig(t)
	r.person(t, "ana", "viewer")
	made := ask(t, r.local.keys.CreateKey, &adminv1.CreateKeyRequest{User: "ana", Application: "a", ExpiresIn: durationpb.New(time.Minute)}).or(t)
	rotated := ask(t, r.local.keys.RotateKey, &adminv1.RotateKeyRequest{Id: made.GetDetails().GetId()}).or(t)
	if !rotated.GetOld().GetExpiresAt().AsTime().Before(time.Now().Add(2 * time.Minute)) {
		t.Errorf("the old key lives until %v", rotated.GetOld().GetExpiresAt().AsTime())
	}
}

func TestNobodyRotatesAKeyThatHeMayNotGive(t *testing.T) {
	r := newRig(t)
	olga := r.person(t, "olga", "operator")
	r.person(t, "root", "owner")
	made := ask(t, r.local.keys.CreateKey, &adminv1.CreateKeyRequest{User: "root", Application: "a"}).or(t)
	ask(t, olga.keys.RotateKey, &adminv1.RotateKeyRequest{Id: made.GetDetails().GetId()}).refused(t, connect.CodePermissionDenied, "owner")
	listed := ask(t, r.local.keys.ListKeys, &adminv1.ListKeysRequest{User: "root"}).or(t).GetKeys()
	if len(listed) != 1 || listed[0].GetSuccessor() != "" {
		t.Errorf("after it: %v", listed)
	}
}

func TestADenialIsLiftedOnlyByWhatItComesFrom(t *testing.T) {
	r := newRig(t)
	r.person(t, "ana", "viewer")
	key := ask(t, r.local.keys.CreateKey, &adminv1.CreateKeyRequest{User: "ana", Application: "cursor"}).or(t).GetDetails().GetId()
	ask(t, r.local.keys.RevokeKey, &adminv1.RevokeKeyRequest{Id: key}).or(t)
	ask(t, r.local.applications.DisableApplication, &adminv1.DisableApplicationRequest{Name: "cursor", Reason: "stolen"}).or(t)
	remove := func(kind, name string) result[adminv1.RemoveDenialResponse] {
		return ask(t, r.local.denials.RemoveDenial, &adminv1.RemoveDenialRequest{Kind: kind, Name: name})
	}
	remove("key", key).refused(t, connect.CodeFailedPrecondition, "warder key create")
	remove("application", "cursor").refused(t, connect.CodeFailedPrecondition, "warder app enable cursor")
	remove("user", "ana").refused(t, connect.CodeNotFound, "warder deny list")

	causes := map[string]string{}
	for _, denial := range ask(t, r.local.denials.ListDenials, &adminv1.ListDenialsRequest{}).or(t).GetDenials() {
		causes[denial.GetKind()] = denial.GetCause()
	}
	if diff := cmp.Diff(map[string]string{"key": "revoked", "application": "disabled"}, causes); diff != "" {
		t.Error("causes (-want +got):\n" + diff)
	}

	// A person denies what is disabled as well: each stands by itself.
	ask(t, r.local.denials.AddDenial, &adminv1.AddDenialRequest{Kind: "application", Name: "cursor", Reason: "incident"}).or(t)
	enabled := ask(t, r.local.applications.EnableApplication, &adminv1.EnableApplicationRequest{Name: "cursor"}).or(t).GetApplication()
	if enabled.GetDisabled() || enabled.GetDisabledReason() != "" {
		t.Errorf("enabled: %v", enabled)
	}
	item, found := r.CurrentSet().Get("deny/application/cursor")
	if !found || item.GetDeny().GetReason() != "incident" {
		t.Errorf("what a person denied is gone with the switch: %v", item)
	}
	remove("application", "cursor").or(t)
	if _, found := r.CurrentSet().Get("deny/application/cursor"); found {
		t.Error("nobody denies it any more, and nodes are told that it is denied")
	}
}

func TestEverythingCanBeDeniedAndNothingByASlip(t *testing.T) {
	r := newRig(t)
	r.add(t, "github", newUpstream(t, tool("get", "reads")), true)
	add := func(kind, name string) result[adminv1.AddDenialResponse] {
		t.Helper()
		return ask(t, r.local.denials.AddDenial, &adminv1.AddDenialRequest{Kind: kind, Name: name, Reason: "x", ExpiresIn: durationpb.New(time.Hour)})
	}
	for key, denial := range map[string][2]string{
		"deny/user/ana": {"user", "ana"}, "deny/application/a": {"application", "a"}, "deny/server/github": {"server", "github"},
		"deny/tool/github/get": {"tool", "github/get"}, "deny/token/corp/j/1": {"token", "corp/j/1"}, "deny/all": {"all", ""},
	} {
		answer := add(denial[0], denial[1]).or(t)
		if _, found := r.CurrentSet().Get(key); !found || answer.GetRevision() == 0 || answer.GetDenial().GetExpiresAt() == nil {
			t.Errorf("%s: nodes have it: %t; answer %v", key, found, answer)
		}
	}
	add("server", "gihtub").refused(t, connect.CodeNotFound, "gihtub")
	add("tool", "github/gte").refused(t, connect.CodeNotFound, "gte")
	add("tool", "get").refused(t, connect.CodeInvalidArgument, "SERVER/TOOL")
	add("all", "x").refused(t, connect.CodeInvalidArgument, "no name")
	add("user", "").refused(t, connect.CodeInvalidArgument, "name the user")
	add("key", "x").refused(t, connect.CodeInvalidArgument, "kind")
	listed := ask(t, r.local.denials.ListDenials, &adminv1.ListDenialsRequest{}).or(t).GetDenials()
	if len(listed) != 6 {
		t.Errorf("%d denials are listed", len(listed))
	}
	for _, denial := range listed {
		if denial.GetCause() != "denial" {
			t.Errorf("of %s, which a person denied, the cause is %q", denial.GetKind(), denial.GetCause())
		}
	}
}
