package admin

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// presenting adds to each request what it presents as a credential.
type presenting struct {
	header http.Header
	query  url.Values
}

func (p presenting) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, values := range p.header {
		r.Header[name] = values
	}
	query := r.URL.Query()
	for name, values := range p.query {
		query[name] = values
	}
	r.URL.RawQuery = query.Encode()
	return http.DefaultTransport.RoundTrip(r)
}

// cookie returns the value of the client's cookie of this name.
func (c *client) cookie(t *testing.T, name string) string {
	t.Helper()
	at, err := url.Parse(c.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range c.http.Jar.Cookies(at) {
		if cookie.Name == name {
			return cookie.Value
		}
	}
	t.Fatalf("no cookie %s", name)
	return ""
}

// T-25: every method × every kind of credential that is none here. What does not
// name a living session of somebody who may act is nobody, whoever it belongs to,
// and reaches what anyone may and no more.
func TestT25_EveryMethodByEveryOtherCredential(t *testing.T) {
	r := newRig(t)
	otto := r.person(t, "otto", "owner")
	key := otto.key(t, "otto").or(t).GetKey()
	session := func(name, spoil string) string {
		c := r.person(t, name, "owner")
		if spoil != "" {
			r.exec(t, fmt.Sprintf(spoil, name))
		}
		return c.cookie(t, "warder")
	}
	const its = "user_id = (SELECT id FROM users WHERE name = '%s')"
	disabled, removed, revoked := session("dora", ""), session("rob", ""), session("rita", "")
	otto.disable(t, "dora").or(t)
	otto.remove(t, "rob").or(t)
	must(otto.login.RevokeSession(t.Context(), connect.NewRequest(&adminv1.RevokeSessionRequest{User: "rita"}))).or(t)
	live := otto.cookie(t, "warder")
	token := func(header, claims string) string {
		encode := base64.RawURLEncoding.EncodeToString
		return encode([]byte(header)) + "." + encode([]byte(claims)) + "." + encode([]byte("signature"))
	}
	bearer := func(value string) presenting {
		return presenting{header: http.Header{"Authorization": {"Bearer " + value}}}
	}
	jar := func(values ...string) presenting { return presenting{header: http.Header{"Cookie": values}} }
	kinds := map[string]presenting{
		"none":                        {},
		"expired session":             jar("warder=" + session("eve", "UPDATE login_session SET created_at = now() - interval '8 days', expires_at = now() - interval '1 second' WHERE "+its)),
		"idle session":                jar("warder=" + session("ida", "UPDATE login_session SET seen_at = now() - interval '12 hours' WHERE "+its)),
		"revoked session":             jar("warder=" + revoked),
		"session of who is disabled":  jar("warder=" + disabled),
		"session of who was removed":  jar("warder=" + removed),
		"session that nobody opened":  jar("warder=" + base64.RawURLEncoding.EncodeToString(make([]byte, 32))),
		"two sessions":                jar("warder=" + live + "; warder=" + live),
		"session by another name":     jar("__Host-warder=" + live),
		"cookie of a device":          jar("warder=" + otto.cookie(t, "warder-device")),
		"session as a bearer":         bearer(live),
		"session in the query":        {query: url.Values{"warder": {live}, "access_token": {live}}},
		"key as a bearer":             bearer(key),
		"key as a cookie":             jar("warder=" + key),
		"key as X-Api-Key":            {header: http.Header{"X-Api-Key": {key}}},
		"key in the query":            {query: url.Values{"key": {key}, "access_token": {key}}},
		"setup token as a bearer":     bearer(r.token),
		"setup token as a cookie":     jar("warder=" + r.token),
		"token of an issuer":          bearer(token(`{"alg":"RS256"}`, `{"sub":"otto","roles":["owner"]}`)),
		"token that nobody signed":    bearer(token(`{"alg":"none"}`, `{"sub":"otto"}`)),
		"name and password":           {header: http.Header{"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("otto:"+password))}}},
		"claims of a proxy":           {header: http.Header{"X-Forwarded-User": {"otto"}, "X-Remote-User": {"otto"}, "X-Warder-User": {"otto"}, "Remote-User": {"otto"}}},
		"certificate told by a proxy": {header: http.Header{"X-Forwarded-Client-Cert": {"URI=spiffe://warder/node/local"}, "X-Ssl-Client-Verify": {"SUCCESS"}}},
	}
	newClient(&http.Client{Transport: jar("warder=" + live)}, r.url).whoAmI(t).or(t) // Else this proves nothing.
	all, before := procedures(t), len(r.actions(t))
	for kind, credential := range kinds {
		c := newClient(&http.Client{Transport: credential}, r.url)
		for _, procedure := range all {
			code := call(t, c, procedure)
			if least(t, procedure) == "anyone" {
				if code == connect.CodePermissionDenied {
					t.Errorf("%s at %s: %v", kind, procedure, code)
				}
			} else if code != connect.CodeUnauthenticated {
				t.Errorf("%s at %s: %v", kind, procedure, code)
			}
		}
	}
	if after := len(r.actions(t)); after != before {
		t.Errorf("%d acts were done", after-before)
	}
}

// T-28: however a path is written, a method runs for nobody who may not call it.
func TestT28_NoSpellingOfAPathGetsAroundPermissions(t *testing.T) {
	r := newRig(t)
	owner := "warder=" + r.person(t, "otto", "owner").cookie(t, "warder")
	viewer := "warder=" + r.person(t, "vic", "viewer").cookie(t, "warder")
	const service, method = "warder.admin.v1.ApplicationService", "CreateApplication"
	right := "/" + service + "/" + method
	variants := []string{
		right,
		service + "/" + method, "//" + service + "/" + method, "/" + service + "//" + method, right + "/", right + "//", "/" + right,
		"/./" + right[1:], "/x/.." + right, "/" + service + "/./" + method, "/" + service + "/x/../" + method,
		"/%77arder.admin.v1.ApplicationService/" + method, "/" + service + "%2F" + method, "/" + service + "/%43reateApplication",
		strings.ToLower(right), strings.ToUpper(right), "/" + service + "/createApplication", "/" + service + "/Create_Application",
		right + ";x=1", right + "%00", right + "%20", "/ " + right[1:], right + "\\", "/" + service + "\\" + method, right + ".json",
		"/v1" + right, "/api" + right, "/mcp" + right, "/warder.admin.v1/ApplicationService/" + method, "/" + service, "*",
		"http://evil.example" + right, "/" + service + "." + method,
	}
	before := len(r.actions(t))
	for i, path := range variants {
		body := fmt.Sprintf(`{"name":"evil%d"}`, i)
		for _, cookie := range []string{"", viewer} {
			if status := rawHTTP2(t, r.url, path, cookie, body); status == "200" {
				t.Errorf("%q: 200", path)
			}
		}
	}
	for _, action := range r.actions(t)[:len(r.actions(t))-before] {
		t.Errorf("%s was done", action)
	}
	if status := rawHTTP2(t, r.url, right, owner, `{"name":"good"}`); status != "200" {
		t.Errorf("the right path: %s; the test proves nothing", status)
	}
	if !slices.Contains(r.actions(t), "application.create good") {
		t.Error("the right path did nothing")
	}
}
