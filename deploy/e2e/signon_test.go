package e2e_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// startProvider starts a real OpenID provider (oidc-provider, in Node) and returns
// its issuer.
func startProvider(t *testing.T, redirect, secret string) string {
	t.Helper()
	p := start(t, filepath.Join(repo, "deploy/e2e/fixtures"), []string{"REDIRECT_URL=" + redirect, "CLIENT_SECRET=" + secret}, "node", "provider.mjs")
	return "http" + strings.TrimSpace(p.waitFor(t, "issuer http"))
}

// setClaims says what the provider says of a person from now on.
func setClaims(t *testing.T, issuer, name, claims string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, issuer+"/people/"+name, strings.NewReader(claims))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("status %d", response.StatusCode)
	}
}

// visitor is a browser that follows redirects and keeps cookies.
type visitor struct {
	http *http.Client
	base string
}

func newVisitor(t *testing.T, base string) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{&http.Client{Jar: jar}, base}
}

// visited is where a visitor ended, and what he reads there.
type visited struct {
	at     *url.URL
	status int
	body   string
}

func (v *visitor) do(t *testing.T, method, address string, form url.Values) visited {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := v.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return visited{response.Request.URL, response.StatusCode, string(body)}
}

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]+)"`)
	formPrompt = regexp.MustCompile(`name="prompt" value="([^"]+)"`)
)

// signIn goes by the provider's button to its pages, fills in what they ask, and
// returns where that ends.
func (v *visitor) signIn(t *testing.T, name, next string) visited {
	t.Helper()
	seen := v.do(t, http.MethodGet, v.base+"/login/oidc/corp?"+url.Values{"next": {next}}.Encode(), nil)
	for range 4 { // Sign in, consent.
		action, prompt := formAction.FindStringSubmatch(seen.body), formPrompt.FindStringSubmatch(seen.body)
		if seen.at.Host == strings.TrimPrefix(v.base, "http://") || action == nil || prompt == nil {
			break
		}
		target, err := seen.at.Parse(action[1])
		if err != nil {
			t.Fatal(err)
		}
		seen = v.do(t, http.MethodPost, target.String(), url.Values{"prompt": {prompt[1]}, "login": {name}, "password": {"any"}})
	}
	return seen
}

// me asks who the visitor is.
func (v *visitor) me(t *testing.T) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, v.base+"/warder.admin.v1.LoginService/WhoAmI", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := v.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// TestPeopleSignInByAProvider goes the whole way by a real provider: from the
// command line that adds it to roles that follow the groups, and out again.
func TestPeopleSignInByAProvider(t *testing.T) {
	t.Parallel()
	g, up := startUp(t)
	base := strings.TrimSuffix(g.mcp, "/mcp")
	redirect := base + "/login/oidc/corp/callback"
	issuer := startProvider(t, redirect, "s3cret-of-the-client")
	add := []string{"provider", "add", "corp", "--issuer", issuer, "--client-id", "warder", "--client-secret-file", "-", "--title", "Corp",
		"--scope", "profile", "--scope", "groups", "--group-role", "platform=owner", "--group-role", "dev=viewer"}
	if r := command(t, g.dataDir, "s3cret-of-the-client\n", add...); r.code == 0 || !strings.Contains(r.stderr, "--private") {
		t.Errorf("a provider on loopback without --private: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	if r := command(t, g.dataDir, "s3cret-of-the-client\n", append(add, "--private")...); r.code != 0 || !strings.Contains(r.stdout, redirect) {
		t.Fatalf("exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	setClaims(t, issuer, "ana", `{"groups": ["platform", "all"]}`)
	setClaims(t, issuer, "eve", `{"groups": ["all"]}`)

	ana := newVisitor(t, base)
	if at := ana.signIn(t, "ana", "/tools?kind=prompt"); at.at.String() != base+"/tools?kind=prompt" || at.status != http.StatusOK {
		t.Fatalf("ended at %s: %d %s", at.at, at.status, at.body)
	}
	if me := ana.me(t); !strings.Contains(me, `"name":"ana"`) || !strings.Contains(me, `"owner"`) {
		t.Errorf("signed in as %s", me)
	}
	eve := newVisitor(t, base)
	if at := eve.signIn(t, "eve", "/"); at.status != http.StatusForbidden || !strings.Contains(at.body, "none of your groups at corp") {
		t.Errorf("without a group: %s %d %s", at.at, at.status, at.body)
	}
	if me := eve.me(t); !strings.Contains(me, "unauthenticated") {
		t.Errorf("without a group, signed in as %s", me)
	}

	// Another owner, so that the groups may take ana's role.
	if r := command(t, g.dataDir, "seven otters mend a kite", "user", "create", "root", "--role", "owner", "--password-stdin"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	setClaims(t, issuer, "ana", `{"groups": ["dev"]}`)
	ana.signIn(t, "ana", "//evil.example")
	if me := ana.me(t); !strings.Contains(me, `"viewer"`) || strings.Contains(me, `"owner"`) {
		t.Errorf("after the groups changed: %s", me)
	}
	if r := command(t, g.dataDir, "", "provider", "remove", "corp"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if me := ana.me(t); !strings.Contains(me, "unauthenticated") {
		t.Errorf("after the provider was removed, signed in as %s", me)
	}
	if strings.Contains(up.output.String(), "s3cret-of-the-client") {
		t.Error("the client's secret is in the log")
	}
}
