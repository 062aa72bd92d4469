package admin

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// newTokenIssuer serves the metadata and keys of an issuer, and returns it as it is
// added. Its tokens can name nobody who is a user here.
func newTokenIssuer(t *testing.T, name string) *adminv1.Issuer {
	t.Helper()
	var url string
	url = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/keys" {
			fmt.Fprint(w, `{"keys":[{"kty":"EC","crv":"P-256","x":"x","y":"y"}]}`)
			return
		}
		fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, url, url+"/keys")
	}))
	return &adminv1.Issuer{Name: name, Url: url, UserPrefix: name + ":", GroupsClaim: "groups", Private: true}
}

func (r *rig) addIssuer(t *testing.T, c *client, m *adminv1.Issuer) result[adminv1.AddIssuerResponse] {
	t.Helper()
	return ask(t, c.issuers.AddIssuer, &adminv1.AddIssuerRequest{Issuer: m})
}

func (r *rig) updateIssuer(t *testing.T, c *client, m *adminv1.Issuer) result[adminv1.UpdateIssuerResponse] {
	t.Helper()
	return ask(t, c.issuers.UpdateIssuer, &adminv1.UpdateIssuerRequest{Issuer: m})
}

// snapshotIssuer returns the issuer as nodes get it, and whether they do.
func (r *rig) snapshotIssuer(name string) (url, role string, found bool) {
	item, found := r.CurrentSet().Get("issuer/" + name)
	for _, given := range item.GetIssuer().GetGroupRoles() {
		role += given.GetGroup() + "=" + given.GetRole() + " "
	}
	return item.GetIssuer().GetUrl(), role, found
}

func TestAnIssuerIsAddedChangedAndRemoved(t *testing.T) {
	r := newRig(t)
	m := newTokenIssuer(t, "corp")
	m.GroupRoles = groupRoles("eng=viewer", "eng=operator")
	added := r.addIssuer(t, r.local, m).or(t).GetIssuer()
	if added.GetJwksUrl() != m.GetUrl()+"/keys" || added.GetUserClaim() != "sub" || !slices.Equal(added.GetAlgorithms(), []string{"RS256", "ES256"}) {
		t.Errorf("added %v", added)
	}
	r.addIssuer(t, r.local, m).refused(t, connect.CodeAlreadyExists, "warder issuer set")
	if url, roles, found := r.snapshotIssuer("corp"); !found || url != m.GetUrl() || roles != "eng=operator eng=viewer " {
		t.Errorf("in the snapshot: %s %s %v", url, roles, found)
	}

	changed := newTokenIssuer(t, "corp")
	changed.GroupRoles, changed.Audiences = groupRoles("ops=viewer"), []string{"urn:warder"}
	r.updateIssuer(t, r.local, changed).or(t)
	listed := ask(t, r.local.issuers.ListIssuers, &adminv1.ListIssuersRequest{}).or(t).GetIssuers()
	if len(listed) != 1 || listed[0].GetUrl() != changed.GetUrl() || len(listed[0].GetGroupRoles()) != 1 || !slices.Equal(listed[0].GetAudiences(), changed.GetAudiences()) {
		t.Errorf("after the change: %v", listed)
	}
	if url, roles, _ := r.snapshotIssuer("corp"); url != changed.GetUrl() || roles != "ops=viewer " {
		t.Errorf("in the snapshot: %s %s", url, roles)
	}
	other := newTokenIssuer(t, "other")
	r.updateIssuer(t, r.local, other).refused(t, connect.CodeNotFound, `issuer "other"`)
	r.addIssuer(t, r.local, other).or(t)
	taken := proto.CloneOf(changed)
	taken.Name = "other"
	r.updateIssuer(t, r.local, taken).refused(t, connect.CodeAlreadyExists, "another issuer has this URL")
	silent := proto.CloneOf(changed)
	silent.Url, silent.JwksUrl = "http://127.0.0.1:1", ""
	if r.updateIssuer(t, r.local, silent).err == nil {
		t.Error("an issuer whose keys cannot be had was saved")
	}

	remove := &adminv1.RemoveIssuerRequest{Name: "corp"}
	ask(t, r.local.issuers.RemoveIssuer, remove).or(t)
	ask(t, r.local.issuers.RemoveIssuer, remove).refused(t, connect.CodeNotFound, `issuer "corp"`)
	if _, _, found := r.snapshotIssuer("corp"); found {
		t.Error("nodes still trust it")
	}
	for _, action := range []string{"issuer.add corp", "issuer.update corp", "issuer.remove corp"} {
		if !slices.Contains(r.actions(t), action) {
			t.Errorf("%s is not audited", action)
		}
	}
}

// P-16: whoever says who is trusted must not become more by it: not by roles of
// groups, not by what policy allows to names and groups, not as a user of here, and
// not by moving an issuer that has more.
func TestP16_AnIssuerGivesNoMoreThanWhoSaysIt(t *testing.T) {
	r := newRig(t)
	ask(t, r.local.roles.CreateRole, &adminv1.CreateRoleRequest{Name: "identity", Permissions: []string{"read", "issuers:write"}}).or(t)
	ask(t, r.local.roles.CreateRole, &adminv1.CreateRoleRequest{Name: "drops", Grants: []*adminv1.Grant{{Risks: []string{"destructive"}}}}).or(t)
	ivo := r.person(t, "ivo", "identity", "viewer")
	changed := func(change func(*adminv1.Issuer)) *adminv1.Issuer {
		m := newTokenIssuer(t, "corp")
		change(m)
		return m
	}
	for name, test := range map[string]struct {
		m    *adminv1.Issuer
		text string
	}{
		"owners":        {changed(func(m *adminv1.Issuer) { m.GroupRoles = groupRoles("all=viewer", "all=owner") }), "so you cannot give it"},
		"grants":        {changed(func(m *adminv1.Issuer) { m.GroupRoles = groupRoles("all=drops") }), "so you cannot give it"},
		"users of here": {changed(func(m *adminv1.Issuer) { m.UserPrefix = "" }), "only an owner"},
		"some of here":  {changed(func(m *adminv1.Issuer) { m.UserPrefix = "iv" }), "only an owner"},
	} {
		before := len(r.actions(t))
		got := r.addIssuer(t, ivo, test.m)
		if connect.CodeOf(got.err) != connect.CodePermissionDenied {
			t.Errorf("%s: added: %v", name, got.err)
		}
		got.refused(t, connect.CodePermissionDenied, test.text)
		if _, _, found := r.snapshotIssuer("corp"); found || len(r.actions(t)) != before {
			t.Fatalf("%s: refused and saved", name)
		}
	}
	mine := changed(func(m *adminv1.Issuer) { m.GroupRoles = groupRoles("all=viewer") })
	r.addIssuer(t, ivo, mine).or(t) // What he holds himself.

	// The owner gives its tokens more: then it is not Ivo's to move any more.
	more := proto.CloneOf(mine)
	more.GroupRoles = groupRoles("ops=owner")
	r.updateIssuer(t, r.local, more).or(t)
	evil := changed(func(m *adminv1.Issuer) { m.GroupRoles = groupRoles("all=viewer") })
	r.updateIssuer(t, ivo, evil).refused(t, connect.CodePermissionDenied, "so you cannot give it")
	named := proto.CloneOf(mine)
	named.UserPrefix, named.GroupRoles = "", nil
	r.updateIssuer(t, r.local, named).or(t)
	r.updateIssuer(t, ivo, evil).refused(t, connect.CodePermissionDenied, "only an owner")
	if url, _, _ := r.snapshotIssuer("corp"); url != mine.GetUrl() {
		t.Errorf("nodes trust %s", url)
	}
}

// P-16: what the policy allows to groups or users by name is more than nothing, and
// an issuer says which groups there are.
func TestP16_AnIssuerReachesNoRuleThatNamesOthers(t *testing.T) {
	for name, test := range map[string]struct {
		rule    string
		claim   string
		allowed bool
	}{
		"groups":                   {`{name: r, effect: allow, groups: [oncall], tools: ["*"]}`, "groups", false},
		"groups without a claim":   {`{name: r, effect: allow, groups: [oncall], tools: ["*"]}`, "", true},
		"users":                    {`{name: r, effect: allow, users: ["corp:ana"], tools: ["*"]}`, "", false},
		"roles that are not given": {`{name: r, effect: allow, roles: [operator], tools: ["*"]}`, "groups", true},
		"his own group":            {`{name: r, effect: allow, groups: [staff], tools: ["*"]}`, "groups", true},
		"a deny rule":              {`{name: r, effect: deny, groups: [oncall], tools: ["*"]}`, "groups", true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			ask(t, r.local.roles.CreateRole, &adminv1.CreateRoleRequest{Name: "identity", Permissions: []string{"issuers:write"}}).or(t)
			ivo := r.person(t, "ivo", "identity")
			ask(t, r.local.users.UpdateUser, &adminv1.UpdateUserRequest{Name: "ivo", Groups: &adminv1.Names{Names: []string{"staff"}}}).or(t)
			ask(t, r.local.policy.ApplyPolicy, &adminv1.ApplyPolicyRequest{Document: "rules:\n  - " + test.rule}).or(t)
			m := newTokenIssuer(t, "corp")
			m.GroupsClaim = test.claim
			if got := r.addIssuer(t, ivo, m); test.allowed {
				got.or(t)
			} else {
				got.refused(t, connect.CodePermissionDenied, "the policy's rule r")
			}
			if changes := ask(t, r.local.audit.ListChanges, &adminv1.ListChangesRequest{}).or(t); test.allowed != (changes.GetChanges()[0].GetAction() == "issuer.add") {
				t.Errorf("audit: %s", protojson.Format(changes.GetChanges()[0]))
			}
		})
	}
}
