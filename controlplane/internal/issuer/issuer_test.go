package issuer

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/warder-gateway/warder/internal/fault"
)

const goodKeys = `{"keys":[{"kty":"EC","crv":"P-256","x":"x","y":"y"}]}`

// serve answers each path with a document; the word ISSUER in it is its own URL.
func serve(t *testing.T, documents map[string]string) (url string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		document, found := documents[r.URL.Path]
		switch {
		case !found:
			http.NotFound(w, r)
		case strings.HasPrefix(document, "http"):
			http.Redirect(w, r, document, http.StatusFound)
		default:
			_, _ = w.Write([]byte(strings.ReplaceAll(document, "ISSUER", server.URL)))
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, asked
}

func TestKeysAreFoundByEitherMetadata(t *testing.T) {
	for _, path := range []string{"/.well-known/oauth-authorization-server/realm", "/realm/.well-known/openid-configuration", "/.well-known/openid-configuration/realm"} {
		url, _ := serve(t, map[string]string{path: `{"issuer":"ISSUER/realm","jwks_uri":"ISSUER/keys"}`, "/keys": goodKeys})
		found, err := Find(t.Context(), Source{URL: url + "/realm", Private: true}, []string{"RS256", "ES256"})
		if err != nil || found != url+"/keys" {
			t.Errorf("%s: %q %v", path, found, err)
		}
	}
}

// T-18, T-19: what the metadata says is believed only of the issuer that was given,
// and nothing is fetched from elsewhere, nor shown.
func TestT19_AnIssuerThatIsNotRightIsSaidToBeSo(t *testing.T) {
	elsewhere, asked := serve(t, map[string]string{"/keys": goodKeys})
	const at = "/.well-known/oauth-authorization-server"
	for name, c := range map[string]struct{ metadata, keys, says string }{
		"another issuer":         {`{"issuer":"https://evil.example.com","jwks_uri":"ISSUER/keys"}`, goodKeys, "another issuer's"},
		"a slash more":           {`{"issuer":"ISSUER/","jwks_uri":"ISSUER/keys"}`, goodKeys, "exactly"},
		"no jwks_uri":            {`{"issuer":"ISSUER"}`, goodKeys, "--jwks-url"},
		"jwks_uri of a file":     {`{"issuer":"ISSUER","jwks_uri":"file:///etc/passwd"}`, goodKeys, "must begin with https://"},
		"jwks_uri with password": {`{"issuer":"ISSUER","jwks_uri":"https://u:p@example.com/"}`, goodKeys, "user or password"},
		"issuer twice":           {`{"issuer":"https://evil.example.com","issuer":"ISSUER","jwks_uri":"ISSUER/keys"}`, goodKeys, "metadata"},
		"metadata redirect":      {elsewhere + "/keys", goodKeys, "no metadata"},
		"keys redirect":          {`{"issuer":"ISSUER","jwks_uri":"ISSUER/keys"}`, elsewhere + "/keys", "not 200"},
		"no keys":                {`{"issuer":"ISSUER","jwks_uri":"ISSUER/keys"}`, `{"keys":[]}`, "no JWKS"},
		"keys of other kinds":    {`{"issuer":"ISSUER","jwks_uri":"ISSUER/keys"}`, `{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}`, "--algorithm"},
		"keys too many":          {`{"issuer":"ISSUER","jwks_uri":"ISSUER/keys"}`, `{"keys":[` + strings.Repeat(" ", maxDocument) + `]}`, "JWKS"},
	} {
		url, _ := serve(t, map[string]string{at: c.metadata, "/keys": c.keys})
		_, err := Find(t.Context(), Source{URL: url, Private: true}, []string{"RS256", "ES256"})
		if err == nil || !strings.Contains(fault.Text(err), c.says) || strings.Contains(fault.Text(err), "evil") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

func TestT19_SpecialAddressesNeedPrivate(t *testing.T) {
	url, asked := serve(t, map[string]string{"/keys": goodKeys})
	port := url[strings.LastIndex(url, ":"):]
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "2130706433", "0x7f000001", "169.254.169.254", "10.0.0.1", "[64:ff9b::7f00:1]", "100.64.0.1"} {
		for _, s := range []Source{{URL: "https://" + host + port}, {URL: "http://" + host + port}, {URL: "https://example.com", JWKSURL: "https://" + host + port + "/keys"}} {
			if _, err := Find(t.Context(), s, []string{"ES256"}); err == nil {
				t.Errorf("%+v was fetched", s)
			}
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

func TestSourcesThatCannotBeRightAreRefusedUnasked(t *testing.T) {
	for _, url := range []string{"", "login.example.com", "ftp://example.com", "https://", "https://u:p@example.com", "https://example.com/#x", "https://example.com/?tenant=1", "http://example.com"} {
		s := Source{URL: url}
		if err := s.Check(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", fmt.Sprintf("%q", url), err)
		}
	}
}
