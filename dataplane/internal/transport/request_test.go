package transport

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestARequestArrivesAsItWasMeant looks at it with the eyes of net/http.
func TestARequestArrivesAsItWasMeant(t *testing.T) {
	type seen struct {
		Method, Target, Host string
		Header               http.Header
		Length               int64
		Body                 string
	}
	got := make(chan seen, 1)
	server := serve(t, func(s *step) (string, bool) {
		got <- seen{s.request.Method, s.request.RequestURI, s.request.Host, s.request.Header, s.request.ContentLength, s.body}
		return "HTTP/1.1 204 No Content\r\n\r\n", true
	})
	common, err := NewBlock([]Field{{"Accept", "application/json"}, {"X-Two", "1"}})
	if err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("0123456789", 5000)
	tests := map[string]struct {
		request Request
		want    seen
	}{
		"POST": {Request{Method: "POST", Common: common, Header: []Field{{"x-two", "2"}, {"X-Blanks", "  a b\t"}, {"X-Text", "ä"}}, Body: []byte("{}")},
			seen{"POST", "/mcp?a=b", "server.test", http.Header{"Accept": {"application/json"}, "X-Two": {"1", "2"}, "X-Blanks": {"a b"}, "X-Text": {"ä"}, "Content-Length": {"2"}}, 2, "{}"}},
		"large": {Request{Method: "POST", Common: common, Body: []byte(large)},
			seen{"POST", "/mcp?a=b", "server.test", http.Header{"Accept": {"application/json"}, "X-Two": {"1"}, "Content-Length": {"50000"}}, 50000, large}},
		"large header": {Request{Method: "POST", Header: []Field{{"X", large}}, Body: []byte("{}")},
			seen{"POST", "/mcp?a=b", "server.test", http.Header{"X": {large}, "Content-Length": {"2"}}, 2, "{}"}},
		"empty POST": {Request{Method: "POST"}, seen{"POST", "/mcp?a=b", "server.test", http.Header{"Content-Length": {"0"}}, 0, ""}},
		"GET":        {Request{Method: "GET", Path: "/other?c=%20d"}, seen{"GET", "/other?c=%20d", "server.test", http.Header{}, 0, ""}},
		"DELETE":     {Request{Method: "DELETE", Header: []Field{{"Mcp-Session-Id", "x"}}}, seen{"DELETE", "/mcp?a=b", "server.test", http.Header{"Mcp-Session-Id": {"x"}}, 0, ""}},
	}
	own := newTransport(t, Config{URL: server.url, Host: "server.test", Private: true})
	standard := newTransport(t, Config{URL: server.url, Host: "server.test", Private: true, Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, tr := range []*Transport{own, standard} {
				if _, err := send(t, tr, &test.request); err != nil {
					t.Fatal(err)
				}
				s := <-got
				if diff := cmp.Diff(test.want, s); diff != "" {
					t.Errorf("net/http: %v\n%s", tr == standard, diff)
				}
			}
		})
	}
}

// badFields cannot be sent, whether in a block or in a request.
var badFields = map[string]Field{
	"CRLF in a value":     {"X", "a\r\nContent-Length: 0"},
	"LF in a value":       {"X", "a\nb"},
	"CR in a value":       {"X", "a\rb"},
	"NUL in a value":      {"X", "SECRET\x00"},
	"DEL in a value":      {"X", "a\x7f"},
	"CRLF in a name":      {"X\r\nY", "a"},
	"colon in a name":     {"X:Y", "a"},
	"blank in a name":     {"X ", "a"},
	"no name":             {"", "a"},
	"text in a name":      {"Ä", "a"},
	"Host":                {"host", "evil"},
	"Content-Length":      {"Content-length", "1"},
	"Transfer-Encoding":   {"Transfer-Encoding", "chunked"},
	"Connection":          {"CONNECTION", "close"},
	"Keep-Alive":          {"Keep-Alive", "timeout=1"},
	"Upgrade":             {"Upgrade", "h2c"},
	"Trailer":             {"Trailer", "X"},
	"TE":                  {"te", "trailers"},
	"Expect":              {"Expect", "100-continue"},
	"Proxy-Connection":    {"Proxy-Connection", "close"},
	"Idempotency-Key":     {"Idempotency-Key", "1"},
	"X-Idempotency-Key":   {"X-Idempotency-Key", "1"},
	"LF at a value's end": {"X", "a\n"},
}

// TestNothingOfTheCallerChangesTheFrame is about header injection.
func TestNothingOfTheCallerChangesTheFrame(t *testing.T) {
	server := serve(t, func(s *step) (string, bool) { return plain, true })
	tr := transportTo(t, server.url)
	refused := func(name string, r Request) {
		t.Helper()
		_, err := tr.Do(t.Context(), &r)
		if !errors.Is(err, ErrInvalidRequest) || wantError(t, err).Sent || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, field := range badFields {
		refused(name, Request{Method: "POST", Header: []Field{{"A", "b"}, field}})
		if _, err := NewBlock([]Field{field}); !errors.Is(err, ErrInvalidRequest) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s in a block: %v", name, err)
		}
	}
	for _, method := range []string{"", "post", "GET /", "PO ST", "POST\r\n", "CONNECT", "ÄÖÜ", "AVERYLONGMETHODNAME"} {
		refused("method "+method, Request{Method: method})
	}
	for _, path := range []string{"mcp", "http://x/", "*", "/a b", "/a\r\nX: y", "/ä", "/a#b", "/\x7f", "/" + strings.Repeat("x", maxPath)} {
		refused("path "+path[:min(len(path), 20)], Request{Method: "POST", Path: path})
	}
	if n := server.requests.Load(); n != 0 {
		t.Errorf("the server got %d requests", n)
	}
}

func TestAnUnusableConfigurationIsRefused(t *testing.T) {
	tests := map[string]Config{
		"no URL":       {},
		"no host":      {URL: &url.URL{Scheme: "http", Path: "/"}},
		"only a port":  {URL: &url.URL{Scheme: "http", Host: ":80"}},
		"no scheme":    {URL: &url.URL{Host: "x"}},
		"other scheme": {URL: &url.URL{Scheme: "file", Host: "x"}},
		"opaque":       {URL: &url.URL{Scheme: "http", Host: "x", Opaque: "y"}},
		"bad query":    {URL: &url.URL{Scheme: "http", Host: "x", RawQuery: "a b\r\nX: y"}},
		"bad host":     {URL: &url.URL{Scheme: "http", Host: "x"}, Host: "a\r\nX: y"},
		"host, blank":  {URL: &url.URL{Scheme: "http", Host: "x"}, Host: "a b"},
	}
	for name, config := range tests {
		if _, err := New(config); !errors.Is(err, ErrInvalidRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Config{URL: &url.URL{Scheme: "http", Host: "[::1]", RawQuery: "a=b", User: url.UserPassword("u", "p")}}); err != nil {
		t.Error(err)
	}
}

func TestTheDefaultPortIsThatOfTheScheme(t *testing.T) {
	for raw, want := range map[string]string{
		"http://a/": "a:80", "https://a/": "a:443", "http://[::1]/": "[::1]:80", "https://a:8443": "a:8443", "http://1.2.3.4:": "1.2.3.4:80",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := hostPort(u); got != want {
			t.Errorf("%s: %s, not %s", raw, got, want)
		}
	}
}
