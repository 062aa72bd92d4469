package signon

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
)

func TestT19_MetadataLeadsNowhereThatTheProviderMayNotBe(t *testing.T) {
	good := metadata{
		Issuer: "https://login.corp.example", AuthorizationURL: "https://login.corp.example/a", TokenURL: "https://login.corp.example/t",
		KeysURL: "https://keys.corp.example/k",
	}
	if err := (&peer{Provider: Provider{URL: good.Issuer}, metadata: good}).check(); err != nil {
		t.Fatalf("good metadata: %v", err)
	}
	for _, bad := range []string{
		"", "/t", "http://login.corp.example/t", "https://127.0.0.1/t", "https://localhost/t", "https://LOCALHOST./t", "https://[::1]/t", "https://10.0.0.1/t",
		"https://169.254.169.254/latest/meta-data", "https://[::ffff:169.254.169.254]/t", "https://[64:ff9b::a9fe:a9fe]/t", "https://0.0.0.0/t",
		"file:///etc/passwd", "gopher://login.corp.example/t", "https://a:b@login.corp.example/t", "https://login.corp.example/t#x", "javascript:alert(1)",
	} {
		for name, set := range map[string]func(*metadata){
			"authorization": func(m *metadata) { m.AuthorizationURL = bad }, "token": func(m *metadata) { m.TokenURL = bad },
			"keys": func(m *metadata) { m.KeysURL = bad }, "user information": func(m *metadata) { m.UserInfoURL = bad },
		} {
			m := good
			set(&m)
			if bad == "" && name == "user information" {
				continue // It need not be there.
			}
			if err := (&peer{Provider: Provider{URL: good.Issuer}, metadata: m}).check(); !fault.Is(err, fault.Precondition) {
				t.Errorf("%s endpoint %q: %v", name, bad, err)
			}
		}
	}
	for name, change := range map[string]func(*metadata){
		"another issuer":  func(m *metadata) { m.Issuer += "/" },
		"shared secrets":  func(m *metadata) { m.Algorithms = []string{"HS256", "none"} },
		"PKCE in clear":   func(m *metadata) { m.Challenges = []string{"plain"} },
		"case of another": func(m *metadata) { m.Issuer = "https://LOGIN.corp.example" },
	} {
		m := good
		change(&m)
		if err := (&peer{Provider: Provider{URL: good.Issuer}, metadata: m}).check(); !fault.Is(err, fault.Precondition) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMetadataIsBoundedAndNotLookedForElsewhere(t *testing.T) {
	reached := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer elsewhere.Close()
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, url string)
		text   string
	}{
		"too large": {func(w http.ResponseWriter, url string) {
			fmt.Fprintf(w, `{"issuer":%q,"x":%q}`, url, strings.Repeat("x", maxBody))
		}, "more than 256 KiB"},
		"a redirect": {func(w http.ResponseWriter, _ string) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(http.StatusFound)
		}, "HTTP status 302"},
		"a page": {func(w http.ResponseWriter, _ string) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "CANARY")
		}, "not JSON"},
		"no JSON":  {func(w http.ResponseWriter, _ string) { fmt.Fprint(w, "CANARY") }, "not the JSON"},
		"a double": {func(w http.ResponseWriter, url string) { fmt.Fprintf(w, `{"issuer":"https://x","issuer":%q}`, url) }, "not the JSON"},
	} {
		server := httptest.NewUnstartedServer(nil)
		server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			c.answer(w, server.URL)
		})
		server.Start()
		_, err := discover(t.Context(), Provider{Name: "corp", URL: server.URL, ClientID: "warder", Private: true}, time.Now)
		server.Close()
		if text := fault.Text(err); !strings.Contains(text, c.text) || strings.Contains(text, "CANARY") {
			t.Errorf("%s: %q", name, text)
		}
	}
	if reached {
		t.Error("a redirect was followed")
	}
}

func TestPublicURLs(t *testing.T) {
	for raw, want := range map[string]string{
		"https://Warder.example.com": "https://warder.example.com", "https://warder.example.com:8443/": "https://warder.example.com:8443",
		"http://127.0.0.1:7070": "http://127.0.0.1:7070", "http://warder.example.com": "", "https://warder.example.com/x": "", "warder.example.com": "",
		"https://a@warder.example.com": "", "https://warder.example.com?x": "", "https://warder.example.com#x": "", "ftp://warder.example.com": "",
	} {
		if got, err := ParsePublicURL(raw); got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v", raw, got, err)
		}
	}
	for listen, want := range map[string]string{"127.0.0.1:7070": "http://127.0.0.1:7070", "[::1]:80": "http://[::1]:80", "10.0.0.1:80": "", ":80": "", "0.0.0.0:80": ""} {
		if got := LoopbackURL(listen, false); got != want {
			t.Errorf("%q is %q", listen, got)
		}
	}
}
