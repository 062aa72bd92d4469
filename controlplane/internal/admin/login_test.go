package admin

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

func setUp(t *testing.T, c *client, token, name string) result[adminv1.SetUpResponse] {
	t.Helper()
	return must(c.login.SetUp(t.Context(), connect.NewRequest(&adminv1.SetUpRequest{Token: token, Name: name, Password: password})))
}

func TestSetUpMakesTheFirstOwnerOnce(t *testing.T) {
	r := newRig(t)
	browser := r.stranger(t)
	setUp(t, browser, "wds_guess", "ana").refused(t, connect.CodePermissionDenied, "not the setup token")
	must(browser.login.SetUp(t.Context(), connect.NewRequest(&adminv1.SetUpRequest{Token: r.token, Name: "ana", Password: "short"}))).
		refused(t, connect.CodeInvalidArgument, "password")
	setUp(t, browser, r.token, "Ana").refused(t, connect.CodeInvalidArgument, "name: a user's name is")
	setUp(t, browser, r.token, "ana").or(t)
	me := must(browser.login.WhoAmI(t.Context(), connect.NewRequest(&adminv1.WhoAmIRequest{}))).or(t)
	if me.GetName() != "ana" || me.GetLocal() || !slices.Equal(me.GetRoles(), []string{"owner"}) {
		t.Errorf("me %v", me)
	}
	setUp(t, r.stranger(t), r.token, "eve").refused(t, connect.CodeFailedPrecondition, "an administrator exists already")
	if users := must(r.local.users.ListUsers(t.Context(), connect.NewRequest(&adminv1.ListUsersRequest{}))).or(t); len(users.GetUsers()) != 1 {
		t.Errorf("users %v", users.GetUsers())
	}
	if got := r.actions(t); !slices.Contains(got, "user.set_up ana") || !slices.Contains(got, "login.sign_in ana") {
		t.Errorf("actions %v", got)
	}
}

// The database decides who was first, also where each replica has a token of its
// own.
func TestSetUpOfManyAtOnceMakesOneOwner(t *testing.T) {
	r := newRig(t)
	book := login.NewBook(r.Store)
	var won sync.Map
	var all sync.WaitGroup
	for i := range 8 {
		name := "owner" + string(rune('a'+i))
		all.Go(func() {
			if err := book.FirstOwner(t.Context(), name, "$argon2id$x"); err == nil {
				won.Store(name, true)
			} else if !strings.Contains(err.Error(), "exists already") {
				t.Errorf("FirstOwner = %v", err)
			}
		})
	}
	all.Wait()
	n := 0
	won.Range(func(any, any) bool { n++; return true })
	users := must(r.local.users.ListUsers(t.Context(), connect.NewRequest(&adminv1.ListUsersRequest{}))).or(t)
	if n != 1 || len(users.GetUsers()) != 1 {
		t.Fatalf("%d won, %d users", n, len(users.GetUsers()))
	}
}

func TestSignInAndOut(t *testing.T) {
	r := newRig(t)
	ana := r.person(t, "ana", "viewer")
	must(ana.servers.ListServers(t.Context(), connect.NewRequest(&adminv1.ListServersRequest{}))).or(t)
	again := must(ana.login.SignIn(t.Context(), connect.NewRequest(&adminv1.SignInRequest{Name: "ana", Password: password}))).or(t)
	if !slices.Equal(again.GetRoles(), []string{"viewer"}) {
		t.Errorf("roles %v", again.GetRoles())
	}
	var sessions int
	if err := r.Store.Pool().QueryRow(t.Context(), "SELECT count(*) FROM login_session").Scan(&sessions); err != nil || sessions != 1 {
		t.Errorf("%d sessions, %v; want the old one gone", sessions, err)
	}
	must(ana.login.SignOut(t.Context(), connect.NewRequest(&adminv1.SignOutRequest{}))).or(t)
	must(ana.servers.ListServers(t.Context(), connect.NewRequest(&adminv1.ListServersRequest{}))).
		refused(t, connect.CodeUnauthenticated, "sign in first")
	must(r.stranger(t).login.SignIn(t.Context(), connect.NewRequest(&adminv1.SignInRequest{Name: "ana", Password: "wrong horse battery"}))).
		refused(t, connect.CodeUnauthenticated, "name or password is wrong")
}

// A role that is taken away is gone at the next request.
func TestRolesAreReadAtEachRequest(t *testing.T) {
	r := newRig(t)
	ana := r.person(t, "ana", "owner")
	must(ana.users.ListUsers(t.Context(), connect.NewRequest(&adminv1.ListUsersRequest{}))).or(t)
	if _, err := r.Store.Pool().Exec(t.Context(), "DELETE FROM user_role"); err != nil {
		t.Fatal(err)
	}
	must(ana.users.ListUsers(t.Context(), connect.NewRequest(&adminv1.ListUsersRequest{}))).
		refused(t, connect.CodePermissionDenied, "needs the permission read")
}

func TestT25_KeysOfClientsAreWorthNothingHere(t *testing.T) {
	r := newRig(t)
	r.person(t, "ana", "owner")
	made := must(r.local.keys.CreateKey(t.Context(), connect.NewRequest(&adminv1.CreateKeyRequest{User: "ana", Application: "cursor"}))).or(t)
	for _, header := range []http.Header{
		{"Authorization": {"Bearer " + made.GetKey()}},
		{"X-Api-Key": {made.GetKey()}},
		{"Cookie": {"warder=" + made.GetKey()}},
		{"Cookie": {"__Host-warder=" + made.GetKey()}},
		{"Authorization": {"Bearer " + r.token}},
	} {
		request := connect.NewRequest(&adminv1.ListServersRequest{})
		for name, values := range header {
			request.Header()[name] = values
		}
		must(r.stranger(t).servers.ListServers(t.Context(), request)).refused(t, connect.CodeUnauthenticated, "sign in first")
	}
}

// raw posts a body and returns the status and the answer.
func raw(t *testing.T, h *http.Client, url string, body []byte, header http.Header) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	for name, values := range header {
		request.Header[name] = values
	}
	if host := request.Header.Get("Host"); host != "" {
		request.Host = host
	}
	response, err := h.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}

func TestT38_ASessionIsNoUseToOtherSites(t *testing.T) {
	r := newRig(t)
	ana := r.person(t, "ana", "owner")
	url := r.url + adminv1connect.ApplicationServiceCreateApplicationProcedure
	body := []byte(`{"name":"evil"}`)
	for _, c := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"another site", http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}, 403},
		{"a sandbox", http.Header{"Origin": {"null"}}, 403},
		{"a rebound name", http.Header{"Host": {"evil.example"}, "Origin": {"http://evil.example"}}, 421},
		{"a form", http.Header{"Content-Type": {"text/plain"}}, 415},
	} {
		if status, _ := raw(t, ana.http, url, body, c.header); status != c.status {
			t.Errorf("%s: status %d, want %d", c.name, status, c.status)
		}
	}
	if all := must(ana.applications.ListApplications(t.Context(), connect.NewRequest(&adminv1.ListApplicationsRequest{}))).or(t); len(all.GetApplications()) != 0 {
		t.Errorf("applications %v", all.GetApplications())
	}
	if status, answer := raw(t, ana.http, url, body, nil); status != 200 {
		t.Errorf("its own page: status %d: %s", status, answer)
	}
	// A browser's GET changes nothing, whatever it asks.
	response, err := ana.http.Get(url + "?encoding=json&message=%7B%22name%22%3A%22evil2%22%7D&connect=v1")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: status %d", response.StatusCode)
	}
}

func TestRequestsAreBounded(t *testing.T) {
	r := newRig(t)
	url := r.local.url + adminv1connect.PolicyServiceApplyPolicyProcedure
	huge := []byte(`{"document":"` + strings.Repeat("x", maxRequest) + `"}`)
	if status, answer := raw(t, http.DefaultClient, url, huge, nil); status != 429 || !strings.Contains(answer, "resource_exhausted") {
		t.Errorf("status %d: %.200s", status, answer)
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(huge); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if status, answer := raw(t, http.DefaultClient, url, packed.Bytes(), http.Header{"Content-Encoding": {"gzip"}}); status == 200 || !strings.Contains(answer, "unimplemented") {
		t.Errorf("compressed: status %d: %.200s", status, answer)
	}
	for _, body := range []string{``, `{`, `[]`, `{"document":1}`, `{"documnet":"x"}`} {
		if status, answer := raw(t, http.DefaultClient, url, []byte(body), nil); status != 400 {
			t.Errorf("%s: status %d: %s", body, status, answer)
		}
	}
}

func TestT24_PasswordsAndTokensAreNowhere(t *testing.T) {
	r := newRig(t)
	browser := r.stranger(t)
	setUp(t, browser, r.token, "ana").or(t)
	must(r.stranger(t).login.SignIn(t.Context(), connect.NewRequest(&adminv1.SignInRequest{Name: "ana", Password: "CANARY-wrong-password"}))).
		refused(t, connect.CodeUnauthenticated, "wrong")
	made := must(browser.keys.CreateKey(t.Context(), connect.NewRequest(&adminv1.CreateKeyRequest{User: "ana", Application: "cursor"}))).or(t)
	join := must(browser.enrollment.CreateJoinToken(t.Context(), connect.NewRequest(&adminv1.CreateJoinTokenRequest{Kind: "node", Name: "edge"}))).or(t)
	must(browser.enrollment.ListJoinTokens(t.Context(), connect.NewRequest(&adminv1.ListJoinTokensRequest{}))).or(t)
	changes := must(browser.audit.ListChanges(t.Context(), connect.NewRequest(&adminv1.ListChangesRequest{}))).or(t)
	users := must(browser.users.ListUsers(t.Context(), connect.NewRequest(&adminv1.ListUsersRequest{}))).or(t)
	listed := must(browser.keys.ListKeys(t.Context(), connect.NewRequest(&adminv1.ListKeysRequest{}))).or(t)
	secret := made.GetKey()[len("wdr_")+13:]
	text := r.log.String() + protojson.Format(changes) + protojson.Format(users) + protojson.Format(listed)
	for name, canary := range map[string]string{
		"password": password, "wrong password": "CANARY-wrong-password", "setup token": r.token, "hash": "argon2id",
		"key": secret[:20], "join token": strings.Split(join.GetToken(), "_")[2],
	} {
		if strings.Contains(text, canary) {
			t.Errorf("the %s is in logs or answers", name)
		}
	}
	if !strings.Contains(text, "key.create") {
		t.Error("the text that was searched lacks what it should hold")
	}
}
