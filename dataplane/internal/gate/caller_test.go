package gate_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/token"
	"github.com/warder-gateway/warder/dataplane/internal/token/tokentest"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// door stands for the listener: all requests are for one endpoint.
type door struct{}

func (door) Endpoint(*http.Request) token.Endpoint {
	return token.Endpoint{Base: "https://gw.example.com", Path: "/mcp"}
}

// tokens is an index that takes tokens, and who presents one.
type tokens struct {
	*tokentest.Issuer
	keeper *token.Keeper
	world  *gatetest.World
}

func newTokens(t *testing.T) *tokens {
	t.Helper()
	w, _ := world(t)
	w.Role("extra", "git/put")
	x := &tokens{Issuer: tokentest.New(t), keeper: token.NewKeeper(token.Config{}), world: w}
	t.Cleanup(x.keeper.Close)
	return x
}

func (x *tokens) index(issuer *snapshotv1.Issuer, more ...*snapshotv1.Item) *gate.Index {
	w := *x.world
	w.Items = append(append([]*snapshotv1.Item(nil), w.Items...), more...)
	if issuer != nil {
		w.Items = append(w.Items, &snapshotv1.Item{Kind: &snapshotv1.Item_Issuer{Issuer: issuer}})
	}
	index := w.Index(1)
	index.Credentials().Verify(x.keeper)
	x.keeper.Retain(index.Credentials().Issuers())
	return index
}

func (x *tokens) present(index *gate.Index, claims tokentest.Member) (*credential.Caller, *credential.Refusal) {
	all := x.Claims("https://gw.example.com/mcp")
	for name, value := range claims {
		all[name] = value
	}
	r := httptest.NewRequest(http.MethodPost, "/mcp", nil)
	r.Header.Set("Authorization", "Bearer "+x.Token("ec", all))
	return index.Credentials().Authenticate(r, door{}, time.Now())
}

func TestATokenHasTheRolesOfItsUserAndGroups(t *testing.T) {
	x := newTokens(t)
	item := x.Item("corp")
	item.GroupRoles = []*snapshotv1.GroupRole{{Group: "ops", Role: "extra"}}
	index := x.index(item)
	ana, refusal := x.present(index, tokentest.Member{"groups": []string{"ops"}})
	if refusal != nil {
		t.Fatal(refusal)
	}
	user, _ := x.world.Set(1).Get("user/ana")
	want := append([]string{"extra"}, user.GetUser().GetRoles()...)
	got := map[string]bool{}
	for _, role := range ana.Principal.Roles {
		got[role] = true
	}
	for _, role := range want {
		if !got[role] {
			t.Errorf("roles %v lack %s", ana.Principal.Roles, role)
		}
	}
	stranger, refusal := x.present(index, tokentest.Member{"sub": "zoe"})
	if refusal != nil || len(stranger.Principal.Roles) != 0 {
		t.Errorf("a stranger: %+v %v", stranger, refusal)
	}
	item = x.Item("corp")
	item.UserPrefix = "corp:"
	apart, refusal := x.present(x.index(item), nil)
	if refusal != nil || apart.Principal.User != "corp:ana" || len(apart.Principal.Roles) != 0 {
		t.Errorf("with a prefix: %+v %v", apart, refusal)
	}
}

func TestATokenIsKnownAgainInTheNextSnapshotUnlessItIsNoLongerGood(t *testing.T) {
	x := newTokens(t)
	item := x.Item("corp")
	first := x.index(item)
	ana, refusal := x.present(first, nil)
	if refusal != nil {
		t.Fatal(refusal)
	}
	now := time.Now()
	next := x.index(item)
	again := next.Credentials().Renew(ana, now)
	if again == nil || next.Profile(again).Refused() {
		t.Fatalf("renewed: %+v", again)
	}
	if diff := cmp.Diff(ana.Principal, again.Principal); diff != "" {
		t.Error(diff)
	}
	if first.Profile(again) == first.Profile(ana) {
		t.Error("a caller of another snapshot has a standing in this one")
	}
	deny := func(kind snapshotv1.DenyKind, name string) *snapshotv1.Item {
		return &snapshotv1.Item{Kind: &snapshotv1.Item_Deny{Deny: &snapshotv1.Deny{Kind: kind, Name: name, Reason: "stolen"}}}
	}
	for name, item := range map[string]*snapshotv1.Item{
		"user": deny(snapshotv1.DenyKind_DENY_KIND_USER, "ana"), "application": deny(snapshotv1.DenyKind_DENY_KIND_APPLICATION, "ide"),
		"token": deny(snapshotv1.DenyKind_DENY_KIND_TOKEN, "corp/token-1"),
	} {
		denied := x.index(x.Item("corp"), item)
		if c := denied.Credentials().Renew(ana, now); c == nil || !denied.Profile(c).Refused() {
			t.Errorf("denied %s: %+v", name, c)
		}
	}
	if c := next.Credentials().Renew(ana, ana.Expires); c != nil {
		t.Error("renewed after its expiry")
	}
	changed := x.Item("corp")
	changed.UserPrefix = "corp:"
	if c := x.index(changed).Credentials().Renew(ana, now); c != nil {
		t.Error("renewed by an issuer that was changed")
	}
	if c := x.index(nil).Credentials().Renew(ana, now); c != nil {
		t.Error("renewed without its issuer")
	}
}

func TestIssuersThatCannotBeAreSetAside(t *testing.T) {
	for name, change := range map[string]func(*snapshotv1.Issuer){
		"algorithm": func(i *snapshotv1.Issuer) { i.Algorithms = []string{"HS256"} },
		"none":      func(i *snapshotv1.Issuer) { i.Algorithms = nil },
		"keys":      func(i *snapshotv1.Issuer) { i.JwksUrl = "file:///etc/passwd" },
		"http":      func(i *snapshotv1.Issuer) { i.Private = false },
		"role":      func(i *snapshotv1.Issuer) { i.GroupRoles = []*snapshotv1.GroupRole{{Group: "g", Role: "ghost"}} },
		"user":      func(i *snapshotv1.Issuer) { i.UserClaim = "" },
	} {
		x := newTokens(t)
		item := x.Item("corp")
		change(item)
		index := x.index(item)
		if caller, _ := x.present(index, nil); caller != nil || index.Credentials().Issuers().Len() != 0 {
			t.Errorf("%s: %+v", name, caller)
		}
	}
}
