package admin

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (c *client) update(t *testing.T, name string, roles ...string) result[adminv1.UpdateUserResponse] {
	t.Helper()
	return must(c.users.UpdateUser(t.Context(), connect.NewRequest(&adminv1.UpdateUserRequest{Name: name, Roles: &adminv1.Names{Names: roles}})))
}

func (c *client) disable(t *testing.T, name string) result[adminv1.DisableUserResponse] {
	t.Helper()
	return must(c.users.DisableUser(t.Context(), connect.NewRequest(&adminv1.DisableUserRequest{Name: name, Reason: "lost laptop"})))
}

func (c *client) enable(t *testing.T, name string) result[adminv1.EnableUserResponse] {
	t.Helper()
	return must(c.users.EnableUser(t.Context(), connect.NewRequest(&adminv1.EnableUserRequest{Name: name})))
}

func (c *client) remove(t *testing.T, name string) result[adminv1.RemoveUserResponse] {
	t.Helper()
	return must(c.users.RemoveUser(t.Context(), connect.NewRequest(&adminv1.RemoveUserRequest{Name: name})))
}

func (c *client) setPassword(t *testing.T, name, old, now string) result[adminv1.SetPasswordResponse] {
	t.Helper()
	return must(c.users.SetPassword(t.Context(), connect.NewRequest(&adminv1.SetPasswordRequest{Name: name, OldPassword: old, NewPassword: now})))
}

func (c *client) key(t *testing.T, user string) result[adminv1.CreateKeyResponse] {
	t.Helper()
	return must(c.keys.CreateKey(t.Context(), connect.NewRequest(&adminv1.CreateKeyRequest{User: user, Application: "cursor"})))
}

func (c *client) whoAmI(t *testing.T) result[adminv1.WhoAmIResponse] {
	t.Helper()
	return must(c.login.WhoAmI(t.Context(), connect.NewRequest(&adminv1.WhoAmIRequest{})))
}

// signedOut ends the test if the client is somebody still.
func (c *client) signedOut(t *testing.T) {
	t.Helper()
	c.whoAmI(t).refused(t, connect.CodeUnauthenticated, "sign in first")
}

func TestUpdateUserEndsSessionsOfWhoHasOtherRoles(t *testing.T) {
	r := newRig(t)
	otto, ana := r.person(t, "otto", "owner"), r.person(t, "ana", "viewer")
	groups := &adminv1.UpdateUserRequest{Name: "ana", Groups: &adminv1.Names{Names: []string{"night", "day"}}}
	got := must(otto.users.UpdateUser(t.Context(), connect.NewRequest(groups))).or(t).GetUser()
	if !slices.Equal(got.GetGroups(), []string{"day", "night"}) || !slices.Equal(got.GetRoles(), []string{"viewer"}) {
		t.Errorf("user %v", got)
	}
	ana.whoAmI(t).or(t)
	revision := r.CurrentSet().Revision()
	otto.update(t, "ana", "viewer").or(t)
	if now := r.CurrentSet().Revision(); now != revision {
		t.Error("nothing changed, and it made a revision")
	}
	otto.update(t, "ana", "operator", "viewer").or(t)
	ana.signedOut(t)
	otto.update(t, "ana", "nothing").refused(t, connect.CodeInvalidArgument, `no role "nothing"`)
	otto.update(t, "nobody").refused(t, connect.CodeNotFound, `no user "nobody"`)
	bad := &adminv1.UpdateUserRequest{Name: "ana", Groups: &adminv1.Names{Names: []string{"a\nb"}}}
	must(otto.users.UpdateUser(t.Context(), connect.NewRequest(bad))).refused(t, connect.CodeInvalidArgument, "control characters")
}

// T-38: who changes his own roles or password goes on, under another cookie; his
// other sessions end.
func TestT38_OnesOwnSessionRotatesWithRightsAndPassword(t *testing.T) {
	r := newRig(t)
	otto := r.person(t, "otto", "owner")
	for name, change := range map[string]func(){
		"roles":    func() { otto.update(t, "otto", "owner", "viewer").or(t) },
		"password": func() { otto.setPassword(t, "otto", password, password).or(t) },
	} {
		other := r.signIn(t, "otto")
		before := r.hashes(t)
		change()
		otto.whoAmI(t).or(t)
		other.signedOut(t)
		after := r.hashes(t)
		if len(after) != 1 || slices.Contains(before, after[0]) {
			t.Errorf("%s: sessions %v, before %v", name, after, before)
		}
	}
}

// hashes returns the hashes of all sessions.
func (r *rig) hashes(t *testing.T) (hashes []string) {
	t.Helper()
	rows, err := r.Store.Pool().Query(t.Context(), "SELECT encode(hash, 'hex') FROM login_session")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var hash string
		if err := rows.Scan(&hash); err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, hash)
	}
	return hashes
}

func TestSetPassword(t *testing.T) {
	const other = "another horse battery"
	r := newRig(t)
	otto, ana := r.person(t, "otto", "owner"), r.person(t, "ana", "viewer")
	ana.setPassword(t, "ana", "wrong horse battery", other).refused(t, connect.CodePermissionDenied, "the old password is wrong")
	ana.setPassword(t, "otto", password, other).refused(t, connect.CodePermissionDenied, "needs the permission users:write")
	ana.setPassword(t, "nobody", password, other).refused(t, connect.CodePermissionDenied, "needs the permission users:write")
	ana.setPassword(t, "ana", password, "short").refused(t, connect.CodeInvalidArgument, "12 to 1024 bytes")
	ana.setPassword(t, "ana", password, other).or(t)
	must(r.stranger(t).login.SignIn(t.Context(), connect.NewRequest(&adminv1.SignInRequest{Name: "ana", Password: password}))).
		refused(t, connect.CodeUnauthenticated, "wrong")
	otto.setPassword(t, "ana", "", password).or(t)
	ana.signedOut(t)
	r.signIn(t, "ana")
	otto.setPassword(t, "ana", "", "").or(t)
	must(r.stranger(t).login.SignIn(t.Context(), connect.NewRequest(&adminv1.SignInRequest{Name: "ana", Password: password}))).
		refused(t, connect.CodeUnauthenticated, "wrong")
	// Guesses at the old one are counted like guesses at sign-in.
	var last result[adminv1.SetPasswordResponse]
	for range 10 {
		last = otto.setPassword(t, "otto", "wrong horse battery", other)
	}
	last.refused(t, connect.CodeResourceExhausted, "too many failed attempts")
}

func TestP08_WhoIsDisabledIsRefusedEverywhere(t *testing.T) {
	r := newRig(t)
	otto, ana := r.person(t, "otto", "owner"), r.person(t, "ana", "viewer")
	otto.key(t, "ana").or(t)
	stream, err := ana.audit.TailCalls(t.Context(), connect.NewRequest(&adminv1.TailCallsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	got := otto.disable(t, "ana").or(t).GetUser()
	if !got.GetDisabled() || got.GetDisabledReason() != "lost laptop" {
		t.Errorf("user %v", got)
	}
	ana.signedOut(t)
	for stream.Receive() { // Ends when the stream finds the session gone.
	}
	if connect.CodeOf(stream.Err()) != connect.CodeUnauthenticated {
		t.Errorf("the stream ended with %v", stream.Err())
	}
	if deny, denied := r.CurrentSet().Get("deny/user/ana"); !denied || deny.GetDeny().GetReason() != "lost laptop" {
		t.Errorf("deny %v", deny)
	}
	must(r.stranger(t).login.SignIn(t.Context(), connect.NewRequest(&adminv1.SignInRequest{Name: "ana", Password: password}))).
		refused(t, connect.CodeUnauthenticated, "name or password is wrong")
	otto.key(t, "ana").refused(t, connect.CodeFailedPrecondition, "is disabled")
	revision := r.CurrentSet().Revision()
	otto.disable(t, "ana").or(t)
	if r.CurrentSet().Revision() != revision {
		t.Error("to disable again made a revision")
	}
	otto.enable(t, "ana").or(t)
	ana.signedOut(t)
	if _, denied := r.CurrentSet().Get("deny/user/ana"); denied {
		t.Error("denied still")
	}
	r.signIn(t, "ana")
}

// What a person denied stays denied when the user is enabled again.
func TestEnableUserLeavesWhatAPersonDenied(t *testing.T) {
	r := newRig(t)
	otto := r.person(t, "otto", "owner")
	r.person(t, "ana", "viewer")
	must(r.local.denials.AddDenial(t.Context(), connect.NewRequest(&adminv1.AddDenialRequest{
		Kind: "user", Name: "ana", Reason: "under review",
	}))).or(t)
	otto.disable(t, "ana").or(t)
	otto.enable(t, "ana").or(t)
	if deny, denied := r.CurrentSet().Get("deny/user/ana"); !denied || deny.GetDeny().GetReason() != "under review" {
		t.Errorf("deny %v", deny)
	}
}

func TestRemoveUserIsForGood(t *testing.T) {
	r := newRig(t)
	otto, ana := r.person(t, "otto", "owner"), r.person(t, "ana", "viewer")
	first, second := otto.key(t, "ana").or(t).GetDetails().GetId(), otto.key(t, "ana").or(t).GetDetails().GetId()
	got := otto.remove(t, "ana").or(t).GetUser()
	want := &adminv1.User{Name: "ana", Disabled: true, Removed: true}
	if got.GetName() != want.GetName() || !got.GetDisabled() || !got.GetRemoved() || got.GetHasPassword() || len(got.GetRoles()) != 0 {
		t.Errorf("user %v, want %v", got, want)
	}
	ana.signedOut(t)
	set := r.CurrentSet()
	for _, item := range []string{"deny/user/ana", "deny/key/" + first, "deny/key/" + second} {
		if _, denied := set.Get(item); !denied {
			t.Errorf("no %s", item)
		}
	}
	for _, id := range []string{first, second} {
		if _, served := set.Get("key/" + id); served {
			t.Errorf("key %s is served", id)
		}
	}
	const gone = "was removed, for good"
	otto.enable(t, "ana").refused(t, connect.CodeFailedPrecondition, gone)
	otto.update(t, "ana", "viewer").refused(t, connect.CodeFailedPrecondition, gone)
	otto.setPassword(t, "ana", "", password).refused(t, connect.CodeFailedPrecondition, gone)
	otto.remove(t, "ana").refused(t, connect.CodeFailedPrecondition, gone)
	must(otto.users.CreateUser(t.Context(), connect.NewRequest(&adminv1.CreateUserRequest{Name: "ana"}))).
		refused(t, connect.CodeAlreadyExists, "user of this name")
}

func TestP16_TheLastOwnerStays(t *testing.T) {
	r := newRig(t)
	otto := r.person(t, "otto", "owner")
	// Owners who cannot sign in do not count.
	must(r.local.users.CreateUser(t.Context(), connect.NewRequest(&adminv1.CreateUserRequest{Name: "robot", Roles: []string{"owner"}}))).or(t)
	r.person(t, "olga", "owner")
	r.local.disable(t, "olga").or(t)
	const text = "nobody could sign in as an owner"
	takeAway := map[string]func(*client) error{
		"disabled": func(c *client) error { return c.disable(t, "otto").err },
		"removed":  func(c *client) error { return c.remove(t, "otto").err },
		"stripped": func(c *client) error { return c.update(t, "otto", "operator").err },
		"unable to sign in": func(c *client) error {
			return c.setPassword(t, "otto", password, "").err
		},
	}
	for name, take := range takeAway {
		for _, c := range []*client{otto, r.local} {
			if err := take(c); connect.CodeOf(err) != connect.CodeFailedPrecondition || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	// A provider is another way to sign in.
	r.exec(t, "INSERT INTO provider (name, url, client_id) VALUES ('corp', 'https://id.example', 'warder')")
	r.exec(t, "INSERT INTO provider_subject SELECT 'corp', 'subject-1', id FROM users WHERE name = 'otto'")
	otto.setPassword(t, "otto", password, "").or(t)
	otto.disable(t, "otto").refused(t, connect.CodeFailedPrecondition, text)
	r.local.enable(t, "olga").or(t)
	otto.disable(t, "otto").or(t)
}

func (r *rig) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := r.Store.Pool().Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// Two owners who act against each other at the same time do not both win.
func TestP16_TwoOwnersCannotRemoveEachOther(t *testing.T) {
	r := newRig(t)
	r.person(t, "a", "owner")
	r.person(t, "b", "owner")
	acts := []func(*client, string) error{
		func(c *client, name string) error { return c.disable(t, name).err },
		func(c *client, name string) error { return c.update(t, name, "viewer").err },
		func(c *client, name string) error { return c.setPassword(t, name, "", "").err },
	}
	for round := range 18 {
		a, b := r.signIn(t, "a"), r.signIn(t, "b")
		act, other := acts[round%3], acts[round/3%3]
		var both sync.WaitGroup
		var errs [2]error
		both.Go(func() { errs[0] = act(a, "b") })
		both.Go(func() { errs[1] = other(b, "a") })
		both.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatalf("round %d: %v and %v; want one to win", round, errs[0], errs[1])
		}
		if owner, err := r.Store.AdministratorExists(t.Context()); err != nil || !owner {
			t.Fatalf("round %d: there is no owner, %v", round, err)
		}
		for _, name := range []string{"a", "b"} {
			r.local.enable(t, name).or(t)
			r.local.update(t, name, "owner").or(t)
			r.local.setPassword(t, name, "", password).or(t)
		}
	}
}

// P-16: who may write users ends no session of whom he could not disable.
func TestP16_SessionsOfWhoHoldsMoreAreNotEnded(t *testing.T) {
	r := newRig(t)
	must(r.local.roles.CreateRole(t.Context(), connect.NewRequest(&adminv1.CreateRoleRequest{Name: "people", Permissions: []string{"read", "users:write"}}))).or(t)
	otto, pia, vic := r.person(t, "otto", "owner"), r.person(t, "pia", "people", "viewer"), r.person(t, "vic", "viewer")
	all := must(pia.login.ListSessions(t.Context(), connect.NewRequest(&adminv1.ListSessionsRequest{User: "otto"}))).or(t).GetSessions()
	for _, m := range []*adminv1.RevokeSessionRequest{{Id: all[0].GetId()}, {User: "otto"}} {
		must(pia.login.RevokeSession(t.Context(), connect.NewRequest(m))).refused(t, connect.CodePermissionDenied, "nor act for who has it")
	}
	otto.whoAmI(t).or(t)
	must(pia.login.RevokeSession(t.Context(), connect.NewRequest(&adminv1.RevokeSessionRequest{User: "vic"}))).or(t)
	vic.signedOut(t)
	must(pia.login.RevokeSession(t.Context(), connect.NewRequest(&adminv1.RevokeSessionRequest{User: "pia"}))).or(t)
}

func TestSessionsAreListedAndRevoked(t *testing.T) {
	r := newRig(t)
	otto, ana := r.person(t, "otto", "owner"), r.person(t, "ana", "viewer")
	second := r.signIn(t, "ana")
	list := func(c *client, user string) result[adminv1.ListSessionsResponse] {
		return must(c.login.ListSessions(t.Context(), connect.NewRequest(&adminv1.ListSessionsRequest{User: user})))
	}
	revoke := func(c *client, id, user string) result[adminv1.RevokeSessionResponse] {
		return must(c.login.RevokeSession(t.Context(), connect.NewRequest(&adminv1.RevokeSessionRequest{Id: id, User: user})))
	}
	own := list(ana, "").or(t).GetSessions()
	var current int
	for _, s := range own {
		if s.GetUser() != "ana" || s.GetAddress() != "127.0.0.1" || !strings.HasPrefix(s.GetUserAgent(), "connect-go/") || s.GetMethod() != "password" || s.GetExpiresAt() == nil {
			t.Errorf("session %v", s)
		}
		if s.GetCurrent() {
			current++
		}
	}
	if len(own) != 2 || current != 1 {
		t.Fatalf("%d sessions, %d current", len(own), current)
	}
	for _, hash := range r.hashes(t) {
		if strings.Contains(own[0].String()+own[1].String(), hash) {
			t.Error("the list shows by what a session is found")
		}
	}
	if everyone := list(otto, "*").or(t).GetSessions(); len(everyone) != 3 {
		t.Errorf("sessions of everybody %v", everyone)
	}
	list(ana, "*").refused(t, connect.CodePermissionDenied, "users:write")
	list(ana, "otto").refused(t, connect.CodePermissionDenied, "users:write")
	revoke(ana, "", "otto").refused(t, connect.CodePermissionDenied, "users:write")
	// T-23: one of another and none at all are the same.
	theirs := list(otto, "").or(t).GetSessions()[0].GetId()
	a, b := revoke(ana, theirs, "").err, revoke(ana, "no-such-id", "").err
	if connect.CodeOf(a) != connect.CodeNotFound || a.Error() != b.Error() {
		t.Errorf("%v and %v", a, b)
	}
	if n := revoke(ana, "", "ana").or(t).GetEnded(); n != 1 {
		t.Errorf("%d ended", n)
	}
	ana.whoAmI(t).or(t)
	second.signedOut(t)
	if n := revoke(otto, list(otto, "ana").or(t).GetSessions()[0].GetId(), "").or(t).GetEnded(); n != 1 {
		t.Errorf("%d ended", n)
	}
	ana.signedOut(t)
	revoke(otto, "", "ana").or(t)
	revoke(otto, "", "").refused(t, connect.CodeInvalidArgument, "name one session")
	want := []string{"login.revoke_session ana", "login.revoke_sessions ana"}
	if diff := cmp.Diff(want, r.actions(t)[:2]); diff != "" {
		t.Error(diff)
	}
}

// One user's sessions are bounded: the oldest goes.
func TestSessionsOfAUserAreBounded(t *testing.T) {
	r := newRig(t)
	r.person(t, "ana", "viewer")
	first := r.signIn(t, "ana")
	for range 49 {
		r.exec(t, "INSERT INTO login_session (hash, user_id, expires_at, created_at) SELECT sha256(gen_random_uuid()::text::bytea), id, now() + interval '1 hour', now() + interval '1 second' FROM users WHERE name = 'ana'")
	}
	first.whoAmI(t).or(t)
	r.signIn(t, "ana")
	first.signedOut(t)
	if n := len(r.hashes(t)); n != 50 {
		t.Errorf("%d sessions", n)
	}
}

// What is not committed is not given: the guard sees the same as the act.
func TestKeepingOwnerSaysNothingWhereThereWasNone(t *testing.T) {
	r := newRig(t)
	err := r.Store.Act(t.Context(), "test", func(tx *store.Tx) error {
		tx.Note("test.act", "x", nil)
		return keepingOwner(t.Context(), tx, func() error { return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
}
