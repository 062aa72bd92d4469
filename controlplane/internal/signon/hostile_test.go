package signon_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestAWayIsWalkedOnceByWhoBeganIt(t *testing.T) {
	r := newRig(t)
	b := r.browser(t)
	sent := b.begin("corp", "/")
	state, code := sent.Get("state"), r.fake.code(sent)
	at, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	held := b.http.Jar.Cookies(at) // What a thief would copy.

	stranger := r.browser(t)
	stranger.wantOut(stranger.back("corp", "state", state, "code", code), http.StatusForbidden, "not begun in this browser")
	another := r.browser(t)
	another.begin("corp", "/")
	another.wantOut(another.back("corp", "state", state, "code", code), http.StatusForbidden, "not begun in this browser")
	// That of another provider is none of this one's.
	r.addProvider(t, "other", r.fake.url+"/other", "devs=owner")
	b.wantOut(b.back("other", "state", state, "code", code), http.StatusForbidden, "not begun in this browser")
	b.http.Jar.SetCookies(at, held)
	for name, parameters := range map[string][]string{
		"no state":     {"code", code},
		"another":      {"state", state + "A", "code", code},
		"empty":        {"state", "", "code", code},
		"one of two":   {"state", state, "state", "x", "code", code},
		"two codes":    {"state", state, "code", code, "code", "x"},
		"other's iss2": {"state", state, "code", code, "iss", r.fake.url, "iss", "https://evil.example"},
	} {
		r.wait(30 * time.Second)
		if p := b.back("corp", parameters...); p.location != "" || p.status < 400 || b.me() != "" {
			t.Errorf("%s: %+v", name, p)
		}
		b.http.Jar.SetCookies(at, held)
	}
	if n := r.fake.count("/token"); n != 0 {
		t.Fatalf("%d requests to the token endpoint", n)
	}
	if p := b.back("corp", "state", state, "code", code); p.location != r.url+"/" || b.me() != "ana" {
		t.Fatalf("the way itself: %+v", p)
	}
	// Copied cookies and all, also at another replica: it was walked.
	for _, base := range []string{r.url, r.replica(t, "")} {
		thief := r.browser(t)
		thief.base = base
		u, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		thief.http.Jar.SetCookies(u, held)
		thief.wantOut(thief.back("corp", "state", state, "code", r.fake.code(sent)), http.StatusForbidden, "not begun in this browser")
	}
}

func TestAWayEndsAtAnyReplica(t *testing.T) {
	r := newRig(t)
	b := r.browser(t)
	sent := b.begin("corp", "/servers?q=1")
	// Cookies know no port, so the jar is that of one host with two processes.
	b.base = r.replica(t, r.url)
	p := b.back("corp", "state", sent.Get("state"), "code", r.fake.code(sent))
	b.base = r.url
	b.wantIn(p, "ana")
}

func TestAWayExpires(t *testing.T) {
	r := newRig(t)
	b := r.browser(t)
	sent := b.begin("corp", "/")
	r.wait(10 * time.Minute)
	b.wantOut(b.back("corp", "state", sent.Get("state"), "code", r.fake.code(sent)), http.StatusForbidden, "longer than ten minutes")
}

func TestASessionIsNewAfterSignIn(t *testing.T) {
	r := newRig(t)
	b := r.browser(t)
	at, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	session := func() string {
		for _, c := range b.http.Jar.Cookies(at) {
			if c.Name == "warder" {
				return c.Value
			}
		}
		return ""
	}
	planted := strings.Repeat("A", 43)
	b.http.Jar.SetCookies(at, []*http.Cookie{{Name: "warder", Value: planted}})
	b.wantIn(b.signIn(r.fake), "ana")
	first := session()
	if first == planted || first == "" {
		t.Fatalf("session %q", first)
	}
	b.wantIn(b.signIn(r.fake), "ana")
	if session() == first {
		t.Error("the second sign-in has the session of the first")
	}
	old := r.browser(t)
	old.http.Jar.SetCookies(at, []*http.Cookie{{Name: "warder", Value: first}})
	if old.me() != "" {
		t.Error("the session that was replaced lives")
	}
}

// T-18: a provider that answers for another one gets no code.
func TestT18_AnotherIssuerIsSentNoCode(t *testing.T) {
	r := newRig(t)
	r.fake.set(func(f *fake) { f.metadata = object{"authorization_response_iss_parameter_supported": true} })
	for name, iss := range map[string][]string{
		"another": {"iss", "https://evil.example"}, "none though promised": {}, "a slash more": {"iss", r.fake.url + "/"},
		"upper case": {"iss", strings.ToUpper(r.fake.url)}, "empty": {"iss", ""},
	} {
		r.wait(time.Minute)
		b := r.browser(t)
		sent := b.begin("corp", "/")
		p := b.back("corp", append(iss, "state", sent.Get("state"), "code", r.fake.code(sent))...)
		if p.status != http.StatusForbidden || !strings.Contains(p.body, "does not come from the provider") {
			t.Errorf("%s: %+v", name, p)
		}
	}
	if n := r.fake.count("/token"); n != 0 {
		t.Errorf("%d requests to the token endpoint", n)
	}
	b := r.browser(t)
	sent := b.begin("corp", "/servers?q=1")
	b.wantIn(b.back("corp", "iss", r.fake.url, "state", sent.Get("state"), "code", r.fake.code(sent)), "ana")
}

func TestTokensOfOthersAreRefused(t *testing.T) {
	r := newRig(t)
	strange, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour).Unix()
	unsigned := func(header object) func(string) string {
		return func(good string) string {
			parts := strings.Split(sign(r.fake.key, header, object{}), ".")
			return parts[0] + "." + strings.Split(good, ".")[1] + "."
		}
	}
	hmacked := func(good string) string {
		text := strings.Split(sign(r.fake.key, object{"alg": "HS256", "kid": "k1"}, object{}), ".")[0] + "." + strings.Split(good, ".")[1]
		mac := hmac.New(sha256.New, []byte("s3cret"))
		mac.Write([]byte(text))
		return text + "." + b64(mac.Sum(nil))
	}
	for name, change := range map[string]func(*fake){
		"nonce of another":    func(f *fake) { f.claims = object{"nonce": "x"} },
		"no nonce":            func(f *fake) { f.claims = object{"nonce": nil} },
		"aud of another":      func(f *fake) { f.claims = object{"aud": "other"} },
		"no aud":              func(f *fake) { f.claims = object{"aud": nil} },
		"two aud, no azp":     func(f *fake) { f.claims = object{"aud": []string{"warder", "other"}} },
		"azp of another":      func(f *fake) { f.claims = object{"azp": "other"} },
		"azp no text":         func(f *fake) { f.claims = object{"azp": []string{"warder"}} },
		"iss of another":      func(f *fake) { f.claims = object{"iss": "https://evil.example"} },
		"iss with a slash":    func(f *fake) { f.claims = object{"iss": f.url + "/"} },
		"no iss":              func(f *fake) { f.claims = object{"iss": nil} },
		"no sub":              func(f *fake) { f.claims = object{"sub": nil} },
		"empty sub":           func(f *fake) { f.claims = object{"sub": ""} },
		"long sub":            func(f *fake) { f.claims = object{"sub": strings.Repeat("s", 256)} },
		"sub by another case": func(f *fake) { f.claims = object{"sub": nil, "SUB": "s-1"} },
		"expired":             func(f *fake) { f.claims = object{"exp": past} },
		"no exp":              func(f *fake) { f.claims = object{"exp": nil} },
		"another access":      func(f *fake) { f.claims = object{"at_hash": b64(make([]byte, 16))} },
		"another key": func(f *fake) {
			f.raw = func(good string) string { return resign(strange, good) }
		},
		"none":        func(f *fake) { f.raw = unsigned(object{"alg": "none"}) },
		"none, a kid": func(f *fake) { f.raw = unsigned(object{"alg": "None", "kid": "k1"}) },
		"HS256":       func(f *fake) { f.raw = hmacked },
		"another alg": func(f *fake) { f.header = object{"alg": "RS256"} },
		"a bit off":   func(f *fake) { f.raw = func(good string) string { return good[:len(good)-4] + "AAAA" } },
		"no token":    func(f *fake) { f.raw = func(string) string { return "" } },
		"no JWT":      func(f *fake) { f.raw = func(string) string { return "CANARY" } },
		"huge":        func(f *fake) { f.claims = object{"x": strings.Repeat("x", 70<<10)} },
		"own key": func(f *fake) {
			f.header = object{"jwk": jwk("k1", strange)}
			f.raw = func(g string) string { return resign(strange, g) }
		},
		"unknown crit": func(f *fake) { f.header = object{"crit": []string{"x"}, "x": true} },
	} {
		r.wait(time.Minute) // Neither throttle nor pace has a part in this.
		r.fake.set(func(f *fake) { f.claims, f.header, f.raw = object{}, object{}, nil; change(f) })
		b := r.browser(t)
		sent := b.begin("corp", "/")
		p := b.back("corp", "state", sent.Get("state"), "code", r.fake.code(sent))
		if p.status != http.StatusForbidden || p.location != "" || !strings.Contains(p.body, "cannot be trusted") || strings.Contains(p.body, "CANARY") || b.me() != "" {
			t.Errorf("%s: %d %s", name, p.status, p.body)
		}
	}
	if r.user(t, "ana") != nil {
		t.Error("a user was made")
	}
	r.fake.set(func(f *fake) {
		f.claims, f.header, f.raw = object{"aud": []string{"warder"}, "azp": "warder"}, object{}, nil
	})
	b := r.browser(t)
	b.wantIn(b.signIn(r.fake), "ana")
}

// resign signs the same text with another key.
func resign(key *ecdsa.PrivateKey, token string) string {
	text := token[:strings.LastIndex(token, ".")]
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	if err != nil {
		panic(err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + b64(signature)
}

func TestT16_UnknownKeysMakeNoFlood(t *testing.T) {
	r := newRig(t)
	base, transport := r.behindProxy(t)
	arrive := func(t *testing.T, address string) (page, *browser) {
		b := r.browser(t)
		b.base, b.http.Transport = base, transport
		sent := b.begin("corp", "/servers?q=1")
		return b.get("/login/oidc/corp/callback?"+url.Values{"state": {sent.Get("state")}, "code": {r.fake.code(sent)}}.Encode(),
			"X-Forwarded-For", address), b
	}
	p, b := arrive(t, "192.0.2.1")
	b.wantIn(p, "ana")
	if cookie := p.header.Values("Set-Cookie"); !strings.HasPrefix(cookie[0], "__Host-warder-signon=;") || !strings.HasPrefix(cookie[1], "__Host-warder=") ||
		!strings.Contains(cookie[1], "; Secure") {
		t.Errorf("cookies %q", cookie)
	}
	r.fake.set(func(f *fake) { f.header = object{"kid": "unknown"} })
	for range 5 {
		var all sync.WaitGroup
		for i := range 20 {
			all.Go(func() {
				// Each from an address of its own, so that the throttle lets it through.
				if p, _ := arrive(t, fmt.Sprintf("192.0.2.%d", 10+i)); p.location != "" || p.status == http.StatusTooManyRequests {
					t.Errorf("%+v", p)
				}
			})
		}
		all.Wait()
	}
	if n := r.fake.count("/token"); n < 100 {
		t.Fatalf("only %d tokens were looked at", n)
	}
	if n := r.fake.count("/keys"); n > 2 {
		t.Errorf("the keys were fetched %d times", n)
	}
	// A key that came since is found when a minute is over, and the old one works on.
	r.wait(time.Minute)
	r.fake.set(func(f *fake) { f.header, f.kid = object{}, "k2" })
	p, b = arrive(t, "192.0.2.1")
	b.wantIn(p, "ana")
}

func TestAProviderThatIsDownIsSaidToBe(t *testing.T) {
	r := newRig(t)
	r.fake.set(func(f *fake) { f.down = true })
	b := r.browser(t)
	for range 5 {
		b.wantOut(b.get("/login/oidc/corp"), http.StatusServiceUnavailable, "the provider answers with HTTP status 503")
	}
	if n := r.fake.count("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("asked %d times for five people at once", n)
	}
	r.wait(10 * time.Second)
	r.fake.set(func(f *fake) { f.down = false })
	sent := b.begin("corp", "/")
	r.fake.set(func(f *fake) { f.down = true })
	b.wantOut(b.back("corp", "state", sent.Get("state"), "code", r.fake.code(sent)), http.StatusServiceUnavailable, "does not answer as it should")
	// What is known of it lasts.
	r.wait(2 * time.Hour)
	b.begin("corp", "/")
	r.wait(23 * time.Hour)
	b.wantOut(b.get("/login/oidc/corp"), http.StatusServiceUnavailable, "HTTP status 503")
}

func TestWhatAProviderRefusesIsSaidInWordsOfOurs(t *testing.T) {
	r := newRig(t)
	for word, text := range map[string]string{
		"access_denied":                 "access was denied to you",
		"<script>CANARY</script>":       "the provider refused",
		strings.Repeat("CANARY", 1000):  "the provider refused",
		"invalid_scope\r\nX-CANARY: on": "the provider refused",
	} {
		b := r.browser(t)
		sent := b.begin("corp", "/")
		p := b.back("corp", "state", sent.Get("state"), "error", word, "error_description", "CANARY <b>")
		b.wantOut(p, http.StatusForbidden, text)
		if csp := p.header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") {
			t.Errorf("policy %q", csp)
		}
	}
	b := r.browser(t)
	sent := b.begin("corp", "/")
	b.wantOut(b.back("corp", "state", sent.Get("state"), "code", "CANARY"), http.StatusForbidden, "did not accept the way back")
	if log := r.log.String(); strings.Contains(log, "s3cret") || strings.Contains(log, sent.Get("state")) {
		t.Error("secrets are in the log")
	}
}

func TestNobodyIsSentElsewhere(t *testing.T) {
	r := newRig(t)
	for _, next := range []string{
		"//evil.example", "/\\evil.example", "\\/evil.example", "https://evil.example", "https:evil.example", "javascript:alert(1)",
		"/\t/evil.example", "/\n/evil.example", "\t//evil.example", " //evil.example", "///evil.example", "/%0d%0aSet-Cookie:x=y\r\nX: y",
		"@evil.example", ".evil.example", ":80@evil.example", "/login?next=//evil.example", "/" + strings.Repeat("a", 1024), "/ä", "",
	} {
		r.wait(time.Minute)
		b := r.browser(t)
		sent := b.begin("corp", next)
		p := b.back("corp", "state", sent.Get("state"), "code", r.fake.code(sent))
		target, err := url.Parse(p.location)
		if err != nil || target.Scheme+"://"+target.Host != r.url || !strings.HasPrefix(p.location, r.url+"/") || b.me() != "ana" {
			t.Errorf("%q leads to %q", next, p.location)
		}
		if next[:min(1, len(next))] != "/" && p.location != r.url+"/" {
			t.Errorf("%q leads to %q", next, p.location)
		}
	}
}

// The redirect URL is the configured one, whatever the browser asks for or with.
func TestT17_TheRedirectURLIsTheConfiguredOne(t *testing.T) {
	r := newRig(t)
	b := r.browser(t)
	for _, path := range []string{
		"corp?redirect_uri=https://evil.example", "corp?redirect_uri=" + r.url + "/login/oidc/corp/callback/../../x", "corp?redirect_url=//evil.example",
		"corp?next=/&redirect_uri=http://127.0.0.1:1/login/oidc/corp/callback",
	} {
		p := b.get("/login/oidc/" + path)
		target, err := url.Parse(p.location)
		if err != nil || target.Query().Get("redirect_uri") != r.url+"/login/oidc/corp/callback" || len(target.Query()["redirect_uri"]) != 1 {
			t.Errorf("%s: %+v", path, p)
		}
	}
	at, err := url.Parse(r.url)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"evil.example", at.Host + ".evil.example", "localhost:" + at.Port(), "127.0.0.1", "127.0.0.1:1", "[::1]:" + at.Port()} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/login/oidc/corp", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		request.Header.Set("X-Forwarded-Host", "evil.example")
		response, err := b.http.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		// A name that is ours goes to the sign-in page of the public URL; others nowhere.
		if to := response.Header.Get("Location"); to != "" && !strings.HasPrefix(to, r.url+"/login?") || to == "" && response.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s: %d %q", host, response.StatusCode, to)
		}
	}
	for _, path := range []string{"corp/callback/", "corp/callback/..%2f", "corp%2fcallback", "CORP", "", "corp/", "nobody", "nobody/callback?state=x&code=y"} {
		if p := b.get("/login/oidc/" + path); p.location != "" && !strings.HasPrefix(p.location, "/login/oidc/") || p.status < 300 {
			t.Errorf("%s: %+v", path, p)
		}
	}
}

func TestOnlyNavigationComesThrough(t *testing.T) {
	r := newRig(t)
	b := r.browser(t)
	for name, header := range map[string][]string{
		"fetched":          {"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty", "Sec-Fetch-Site", "same-origin"},
		"an image":         {"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image", "Sec-Fetch-Site", "cross-site"},
		"framed":           {"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe", "Sec-Fetch-Site", "cross-site"},
		"with an origin":   {"Origin", "https://evil.example"},
		"of no origin":     {"Origin", "null"},
		"by another site":  {"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "cross-site"},
		"by a sister site": {"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "same-site"},
	} {
		if p := b.get("/login/oidc/corp", header...); p.status != http.StatusForbidden || p.header.Get("Set-Cookie") != "" {
			t.Errorf("%s: %+v", name, p)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodPut, http.MethodOptions, http.MethodDelete} {
		request, err := http.NewRequestWithContext(t.Context(), method, r.url+"/login/oidc/corp", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		response, err := b.http.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: status %d", method, response.StatusCode)
		}
	}
	// Coming back from the provider is a navigation from another site.
	sent := b.begin("corp", "/")
	p := b.get("/login/oidc/corp/callback?"+url.Values{"state": {sent.Get("state")}, "code": {r.fake.code(sent)}}.Encode(),
		"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Sec-Fetch-Site", "cross-site")
	if p.location != r.url+"/" || b.me() != "ana" {
		t.Errorf("back: %+v", p)
	}
}

func TestGuessesAreThrottled(t *testing.T) {
	r := newRig(t)
	b := r.browser(t)
	last := page{}
	for range 8 {
		last = b.back("corp", "state", "x", "code", "y")
	}
	b.wantOut(last, http.StatusTooManyRequests, "too many failed attempts")
}
