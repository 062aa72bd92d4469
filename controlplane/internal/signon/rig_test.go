package signon_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warder-gateway/warder/controlplane/internal/login"
	"github.com/warder-gateway/warder/controlplane/internal/signon"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/seal"
)

// rig is sign-on as a control plane serves it, on a real database, with one
// provider "corp" whose group devs are operators.
type rig struct {
	store *store.Store
	keys  *seal.Vault
	log   *lockedBuffer
	fake  *fake
	url   string

	mu    sync.Mutex
	moved time.Duration // of the clock
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{store: storetest.New(t), fake: newFake(t), log: new(lockedBuffer)}
	var err error
	r.fake.now = r.now
	if r.keys, err = seal.NewVault(bytes.Repeat([]byte{1}, 32)); err != nil {
		t.Fatal(err)
	}
	r.url = r.replica(t, "")
	r.addProvider(t, "corp", r.fake.url, "devs=operator")
	return r
}

// replica starts another process on the same database; public is how browsers
// reach it, or empty for its own address.
func (r *rig) replica(t *testing.T, public string) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	if public == "" {
		public = "http://" + server.Listener.Addr().String()
	}
	server.Config.Handler = r.handler(t, public, login.Guard{})
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// behindProxy starts a process as it is behind a proxy that speaks TLS, and
// returns a client that trusts it.
func (r *rig) behindProxy(t *testing.T) (url string, transport http.RoundTripper) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.Config.Handler = r.handler(t, "https://"+server.Listener.Addr().String(), login.Guard{Secure: true})
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL, server.Client().Transport
}

func (r *rig) handler(t *testing.T, public string, guard login.Guard) http.Handler {
	t.Helper()
	log := slog.New(slog.NewTextHandler(r.log, nil))
	desk := login.NewDesk(login.Config{Book: login.NewBook(r.store), Log: log, Now: r.now})
	s, err := signon.New(signon.Config{
		Store: r.store, Desk: desk, Keys: r.keys, CookieKey: bytes.Repeat([]byte{2}, 32), PublicURL: public, Log: log, Now: r.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(signon.Prefix, s.Handler())
	mux.HandleFunc("/me", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, login.From(r.Context()).Name) })
	return guard.Handler(desk.Handler(mux))
}

func (r *rig) now() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Now().Add(r.moved)
}

// wait moves the clock.
func (r *rig) wait(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.moved += d
}

func (r *rig) addProvider(t *testing.T, name, issuer string, groupRoles ...string) {
	t.Helper()
	sealed, err := signon.SealSecret(r.keys, name, "s3cret")
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.store.InsertProvider(t.Context(), db.InsertProviderParams{
		Name: name, URL: issuer, ClientID: "warder", ClientSecretSealed: sealed, Private: true, Scopes: []string{"profile"},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.setRoles(t, name, groupRoles...)
}

func (r *rig) setRoles(t *testing.T, name string, groupRoles ...string) {
	t.Helper()
	params := db.InsertProviderGroupRolesParams{Provider: name}
	for _, g := range groupRoles {
		group, role, _ := strings.Cut(g, "=")
		params.Groups, params.Roles = append(params.Groups, group), append(params.Roles, role)
	}
	if err := r.store.DeleteProviderGroupRoles(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if err := r.store.InsertProviderGroupRoles(t.Context(), params); err != nil {
		t.Fatal(err)
	}
}

// user is what the database has of one.
type user struct {
	roles, groups []string
	password      bool
}

// user returns a user; nil if there is none.
func (r *rig) user(t *testing.T, name string) *user {
	t.Helper()
	u := new(user)
	err := r.store.Pool().QueryRow(t.Context(), `SELECT ARRAY(SELECT role FROM user_role WHERE user_id = id ORDER BY role), groups,
		password_hash IS NOT NULL FROM users WHERE name = $1`, name).Scan(&u.roles, &u.groups, &u.password)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// browser keeps cookies and follows no redirect.
type browser struct {
	t    *testing.T
	http *http.Client
	base string
}

func (r *rig) browser(t *testing.T) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t: t, base: r.url, http: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}}
}

// page is an answer.
type page struct {
	status   int
	location string
	body     string
	header   http.Header
}

func (b *browser) get(path string, header ...string) page {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.base+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := b.http.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return page{response.StatusCode, response.Header.Get("Location"), string(body), response.Header}
}

// begin goes to the provider, and returns what it was sent with.
func (b *browser) begin(provider, next string) url.Values {
	b.t.Helper()
	p := b.get("/login/oidc/" + provider + "?" + url.Values{"next": {next}}.Encode())
	target, err := url.Parse(p.location)
	if err != nil || p.status != http.StatusSeeOther || target.Path != "/authorize" {
		b.t.Fatalf("begin: %+v, %v", p, err)
	}
	return target.Query()
}

// back comes back from the provider with these parameters.
func (b *browser) back(provider string, parameters ...string) page {
	b.t.Helper()
	query := make(url.Values)
	for i := 0; i+1 < len(parameters); i += 2 {
		query.Add(parameters[i], parameters[i+1])
	}
	return b.get("/login/oidc/" + provider + "/callback?" + query.Encode())
}

// signIn goes the whole way.
func (b *browser) signIn(f *fake) page {
	b.t.Helper()
	sent := b.begin("corp", "/servers?q=1")
	return b.back("corp", "state", sent.Get("state"), "code", f.code(sent))
}

// me is who the browser is signed in as.
func (b *browser) me() string {
	b.t.Helper()
	return b.get("/me").body
}

// wantIn ends the test unless the browser is signed in and where it was.
func (b *browser) wantIn(p page, name string) {
	b.t.Helper()
	if p.status != http.StatusSeeOther || p.location != b.base+"/servers?q=1" || b.me() != name {
		b.t.Fatalf("%+v, signed in as %q, not %q", p, b.me(), name)
	}
}

// wantOut ends the test unless a page says why the browser is not signed in.
func (b *browser) wantOut(p page, status int, text string) {
	b.t.Helper()
	if p.status != status || p.location != "" || !strings.Contains(p.body, text) || b.me() != "" {
		b.t.Fatalf("%d %q %s, signed in as %q; want %d %q", p.status, p.location, p.body, b.me(), status, text)
	}
	if strings.Contains(p.body, "CANARY") {
		b.t.Errorf("the provider's words are shown: %s", p.body)
	}
}

// lockedBuffer is a buffer that many may write to.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
