package signon_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
)

func TestSomebodyNewSignsIn(t *testing.T) {
	r := newRig(t)
	b := r.browser(t)
	b.wantIn(b.signIn(r.fake), "ana")
	ana := r.user(t, "ana")
	if !slices.Equal(ana.roles, []string{"operator"}) || !slices.Equal(ana.groups, []string{"devs"}) || ana.password {
		t.Errorf("user %+v", ana)
	}
	// The subject is who he is, not the name.
	r.fake.set(func(f *fake) { f.claims = object{"preferred_username": "anna-maria"} })
	again := r.browser(t)
	again.wantIn(again.signIn(r.fake), "ana")
	if r.user(t, "anna-maria") != nil {
		t.Error("one subject became two users")
	}
}

func TestTheWayIsAsTheProtocolWantsIt(t *testing.T) {
	r := newRig(t)
	b := r.browser(t)
	sent := b.begin("corp", "/")
	for name, want := range map[string]string{
		"response_type": "code", "client_id": "warder", "scope": "openid profile", "code_challenge_method": "S256",
		"redirect_uri": r.url + "/login/oidc/corp/callback",
	} {
		if got := sent.Get(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	other := r.browser(t).begin("corp", "/")
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if len(sent.Get(name)) < 22 || sent.Get(name) == other.Get(name) {
			t.Errorf("%s is %q and %q", name, sent.Get(name), other.Get(name))
		}
	}
	p := b.get("/login/oidc/corp")
	cookie := p.header.Get("Set-Cookie")
	for _, word := range []string{"warder-signon=", "HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=600"} {
		if !strings.Contains(cookie, word) {
			t.Errorf("cookie %q lacks %s", cookie, word)
		}
	}
	if p.header.Get("Cache-Control") != "no-store" {
		t.Error("the way may be cached")
	}
}

func TestRolesAreThoseOfTheGroupsAtTheLastSignIn(t *testing.T) {
	r := newRig(t)
	r.setRoles(t, "corp", "devs=operator", "ops=viewer", "ops=operator")
	b := r.browser(t)
	b.wantIn(b.signIn(r.fake), "ana")
	r.fake.set(func(f *fake) { f.claims = object{"groups": []string{"ops", "others"}} })
	b.wantIn(b.signIn(r.fake), "ana")
	if got := r.user(t, "ana"); !slices.Equal(got.roles, []string{"operator", "viewer"}) || !slices.Equal(got.groups, []string{"ops", "others"}) {
		t.Errorf("user %+v", got)
	}
	r.fake.set(func(f *fake) { f.claims = object{"groups": []string{"others"}} })
	other := r.browser(t)
	other.wantOut(other.signIn(r.fake), http.StatusForbidden, "none of your groups at corp has a role here")
	if got := r.user(t, "ana"); len(got.roles) != 0 {
		t.Errorf("roles %v of somebody whose groups give none", got.roles)
	}
	if b.me() != "" {
		t.Error("the session that the provider began goes on")
	}
}

func TestWhoHasNoGroupIsRefusedAndNotMade(t *testing.T) {
	r := newRig(t)
	for _, groups := range []any{nil, "", []string{}, []string{"Devs"}, []string{"dev"}, "devs-not"} {
		r.wait(time.Minute)
		r.fake.set(func(f *fake) { f.claims, f.userInfo = object{"groups": groups}, object{"sub": "s-1"} })
		b := r.browser(t)
		b.wantOut(b.signIn(r.fake), http.StatusForbidden, "none of your groups")
	}
	if r.user(t, "ana") != nil {
		t.Error("a user was made")
	}
}

func TestClaimsThatTheTokenLacksComeFromUserInformation(t *testing.T) {
	r := newRig(t)
	lacks := object{"groups": nil, "preferred_username": nil}
	r.fake.set(func(f *fake) {
		f.claims, f.userInfo = lacks, object{"sub": "s-2", "preferred_username": "eve", "groups": []string{"devs"}}
	})
	b := r.browser(t)
	b.wantOut(b.signIn(r.fake), http.StatusForbidden, "cannot be trusted")
	r.fake.set(func(f *fake) {
		f.userInfo = object{"sub": "s-1", "preferred_username": "ana", "groups": []string{"devs"}, "iss": "https://evil.example"}
	})
	b.wantIn(b.signIn(r.fake), "ana")
}

func TestNamesThatDoNotFitAreRefusedWithAdvice(t *testing.T) {
	r := newRig(t)
	for name, c := range map[string]struct {
		claims object
		text   string
	}{
		"characters":     {object{"preferred_username": "<b>CANARY-NAME"}, "cannot be one here"},
		"looks like it":  {object{"preferred_username": "\u212aim"}, "cannot be one here"},
		"local":          {object{"preferred_username": "@local"}, "cannot be one here"},
		"an unvouched":   {object{"preferred_username": nil, "email": "ana@corp.example"}, "verified"},
		"a denied":       {object{"preferred_username": nil, "email": "ana@corp.example", "email_verified": false}, "verified"},
		"none":           {object{"preferred_username": nil}, "no name of yours"},
		"not a text":     {object{"preferred_username": 7, "email": nil}, "no name of yours"},
		"control groups": {object{"groups": []string{"devs", "a\nb"}}, "control characters"},
		"some groups":    {object{"groups": nil, "hasgroups": true}, "only that there are some"},
		"far groups":     {object{"groups": nil, "_claim_names": object{"groups": "src1"}, "_claim_sources": object{"src1": object{"endpoint": "https://x.example"}}}, "only that there are some"},
		"odd groups":     {object{"groups": []any{"devs", 7}}, "no list of groups"},
		"a group's map":  {object{"groups": object{"devs": true}}, "no list of groups"},
		"a number":       {object{"groups": 1}, "no list of groups"},
	} {
		r.wait(time.Minute)
		r.fake.set(func(f *fake) { f.claims, f.userInfo = c.claims, object{"sub": "s-1"} })
		b := r.browser(t)
		p := b.signIn(r.fake)
		if p.status != http.StatusForbidden || !strings.Contains(p.body, c.text) || strings.Contains(p.body, "<b>") || b.me() != "" {
			t.Errorf("%s: %d %s", name, p.status, p.body)
		}
	}
	r.fake.set(func(f *fake) {
		f.claims = object{"preferred_username": nil, "email": "Ana@Corp.example", "email_verified": true}
	})
	b := r.browser(t)
	b.wantIn(b.signIn(r.fake), "ana@corp.example")
}

func TestNobodyTakesOverAUserByName(t *testing.T) {
	r := newRig(t)
	if _, err := r.store.InsertUser(t.Context(), db.InsertUserParams{Name: "ana"}); err != nil {
		t.Fatal(err)
	}
	b := r.browser(t)
	b.wantOut(b.signIn(r.fake), http.StatusForbidden, "warder provider link corp ana --subject")
	if got := r.user(t, "ana"); len(got.roles) != 0 {
		t.Errorf("roles %v", got.roles)
	}
	// Nor by the name that another subject of the same provider has.
	r.fake.set(func(f *fake) { f.claims = object{"preferred_username": "bob"} })
	b.wantIn(b.signIn(r.fake), "bob")
	r.fake.set(func(f *fake) { f.claims = object{"preferred_username": "BOB", "sub": "s-2"} })
	other := r.browser(t)
	other.wantOut(other.signIn(r.fake), http.StatusForbidden, "a user bob exists here already")
}

func TestADisabledUserIsRefused(t *testing.T) {
	r := newRig(t)
	b := r.browser(t)
	b.wantIn(b.signIn(r.fake), "ana")
	_, err := r.store.Pool().Exec(t.Context(), "UPDATE users SET disabled_at = now(), disabled_by = 'root'")
	if err != nil {
		t.Fatal(err)
	}
	other := r.browser(t)
	other.wantOut(other.signIn(r.fake), http.StatusForbidden, "your account here is disabled")
}

func TestTheLastOwnerKeepsHisRole(t *testing.T) {
	r := newRig(t)
	r.setRoles(t, "corp", "devs=owner", "ops=viewer")
	b := r.browser(t)
	b.wantIn(b.signIn(r.fake), "ana")
	r.fake.set(func(f *fake) { f.claims = object{"groups": []string{"ops"}} })
	out := r.browser(t)
	out.wantOut(out.signIn(r.fake), http.StatusConflict, "you are the last owner")
	r.fake.set(func(f *fake) { f.claims = object{"sub": "s-2", "preferred_username": "bob"} })
	other := r.browser(t)
	other.wantIn(other.signIn(r.fake), "bob")
	r.fake.set(func(f *fake) { f.claims = object{"groups": []string{"ops"}} })
	b.wantIn(b.signIn(r.fake), "ana")
	if got := r.user(t, "ana"); !slices.Equal(got.roles, []string{"viewer"}) {
		t.Errorf("roles %v once there is another owner", got.roles)
	}
}

// A provider that is removed between what it said and the session begins none.
func TestAProviderThatIsGoneOpensNoSession(t *testing.T) {
	r := newRig(t)
	b := r.browser(t)
	b.wantIn(b.signIn(r.fake), "ana")
	desk := login.NewDesk(login.Config{Book: login.NewBook(r.store), Log: slog.New(slog.DiscardHandler)})
	var session []*http.Cookie
	var err error
	admit := func() {
		login.Guard{Secure: true, Hosts: []string{"warder.example"}}.Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			session, err = desk.Admit(r.Context(), "ana", "corp")
		})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://warder.example/", nil))
	}
	if admit(); err != nil || len(session) == 0 {
		t.Fatalf("while it is there: %v, %v", session, err)
	}
	if err := r.store.DeleteProvider(t.Context(), "corp"); err != nil {
		t.Fatal(err)
	}
	if admit(); !fault.Is(err, fault.Unauthenticated) || session != nil {
		t.Errorf("after it is gone: %v, %v", session, err)
	}
}
