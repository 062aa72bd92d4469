package dashboard

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// built is what a build leaves behind, in small.
func built() fstest.MapFS {
	return fstest.MapFS{
		"index.html":               {Data: []byte(`<meta property="csp-nonce" nonce="WARDER_CSP_NONCE"><title>app</title>`)},
		"placeholder.html":         {Data: []byte(`make dashboard`)},
		"favicon.svg":              {Data: []byte(`<svg/>`)},
		"assets/main-abc123.js":    {Data: []byte("plain")},
		"assets/main-abc123.js.br": {Data: []byte("brotli")},
		"assets/main-abc123.js.gz": {Data: []byte("gzip")},
		"assets/only-abc123.css":   {Data: []byte("body{}")},
	}
}

func get(t *testing.T, h http.Handler, path string, header ...string) *http.Response {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, request)
	return recorder.Result()
}

func body(t *testing.T, response *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestPathsOfTheRouterGetThePage(t *testing.T) {
	h := newHandler(built())
	for _, path := range []string{"/", "/index.html", "/placeholder.html", "/tools", "/setup", "/audit/calls", "/users/ana@corp.com", "/tools/a%2Fb.js"} {
		response := get(t, h, path)
		if response.StatusCode != http.StatusOK || !strings.Contains(body(t, response), "<title>app</title>") {
			t.Errorf("GET %s: status %d without the page", path, response.StatusCode)
		}
		if got := response.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("GET %s: a page with a nonce was cacheable: %q", path, got)
		}
	}
}

func TestMissingFilesAreNotThePage(t *testing.T) {
	h := newHandler(built())
	for _, path := range []string{"/assets/main-old.js", "/assets/", "/assets", "/favicon.ico", "/robots.txt", "/assets/../embed.go", "/.env"} {
		response := get(t, h, path)
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("GET %s: status %d, want 404", path, response.StatusCode)
		}
	}
}

func TestT14PolicyAllowsOnlyOwnScriptsAndTheNonce(t *testing.T) {
	h := newHandler(built())
	noncePattern := regexp.MustCompile(`nonce="([A-Z2-7]{26})"`)
	seen := map[string]bool{}
	for range 3 {
		response := get(t, h, "/")
		match := noncePattern.FindStringSubmatch(body(t, response))
		if match == nil {
			t.Fatal("the page has no nonce")
		}
		nonce := match[1]
		if seen[nonce] {
			t.Fatal("a nonce came twice")
		}
		seen[nonce] = true

		want := "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-" + nonce + "'; connect-src 'self'; " +
			"img-src 'self' data:; font-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'; " +
			"require-trusted-types-for 'script'; trusted-types default"
		if diff := cmp.Diff(want, response.Header.Get("Content-Security-Policy")); diff != "" {
			t.Errorf("policy (-want +got):\n%s", diff)
		}
	}
}

func TestEveryAnswerForbidsSniffingAndReferrers(t *testing.T) {
	h := newHandler(built())
	for _, path := range []string{"/", "/assets/main-abc123.js", "/favicon.svg", "/assets/missing.js"} {
		response := get(t, h, path)
		if got := response.Header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("GET %s: X-Content-Type-Options %q", path, got)
		}
		if got := response.Header.Get("Referrer-Policy"); got != "no-referrer" {
			t.Errorf("GET %s: Referrer-Policy %q", path, got)
		}
	}
}

func TestFilesComeInTheSmallestFormTheClientTakes(t *testing.T) {
	h := newHandler(built())
	for _, test := range []struct{ accept, encoding, body string }{
		{"", "", "plain"},
		{"identity", "", "plain"},
		{"gzip, deflate, br, zstd", "br", "brotli"},
		{"gzip", "gzip", "gzip"},
		{"br;q=0, gzip;q=0.5", "gzip", "gzip"},
		{"br; q=0.000, gzip;q=0", "", "plain"},
		{"brotli", "", "plain"},
	} {
		response := get(t, h, "/assets/main-abc123.js", "Accept-Encoding", test.accept)
		got := []string{response.Header.Get("Content-Encoding"), body(t, response), response.Header.Get("Content-Type")}
		if diff := cmp.Diff([]string{test.encoding, test.body, "text/javascript; charset=utf-8"}, got); diff != "" {
			t.Errorf("Accept-Encoding %q (-want +got):\n%s", test.accept, diff)
		}
	}
}

func TestOnlyHashedNamesAreKeptForEver(t *testing.T) {
	h := newHandler(built())
	for path, want := range map[string]string{
		"/assets/only-abc123.css": "public, max-age=31536000, immutable",
		"/favicon.svg":            "no-cache",
	} {
		if got := get(t, h, path).Header.Get("Cache-Control"); got != want {
			t.Errorf("GET %s: Cache-Control %q, want %q", path, got, want)
		}
	}
}

func TestWithoutABuildThePlaceholderSaysHowToMakeOne(t *testing.T) {
	files := built()
	delete(files, "index.html")
	if text := body(t, get(t, newHandler(files), "/tools")); !strings.Contains(text, "make dashboard") {
		t.Errorf("the placeholder does not say how to build: %q", text)
	}
}

func TestTheEmbeddedDirectoryIsServable(t *testing.T) {
	response := get(t, Handler(), "/")
	if response.StatusCode != http.StatusOK || !strings.Contains(body(t, response), "Warder") {
		t.Errorf("status %d", response.StatusCode)
	}
}

func TestOnlyReadingIsAllowed(t *testing.T) {
	recorder := httptest.NewRecorder()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	newHandler(built()).ServeHTTP(recorder, request)
	if recorder.Code != http.StatusMethodNotAllowed || recorder.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("status %d, Allow %q", recorder.Code, recorder.Header().Get("Allow"))
	}
}
