package signon

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/oauth2"

	"github.com/warder-gateway/warder/internal/fault"
)

const (
	// wayLife is how long a person may take at the provider.
	wayLife = 10 * time.Minute
	// maxReturn bounds the path to return to, in bytes: it travels in a cookie.
	maxReturn = 1024
)

// Names of the cookie that holds a way; see package login for the prefix.
const (
	secureCookie = "__Host-warder-signon"
	plainCookie  = "warder-signon"
)

// way is one person's way to a provider and back. It lies sealed in the browser
// that began it and nowhere else.
type way struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	Return   string    `json:"return"`
	Expires  time.Time `json:"expires"`
}

// newWay begins one that leads back to a path of this origin.
func newWay(path string, now time.Time) way {
	return way{State: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Return: localPath(path), Expires: now.Add(wayLife)}
}

// stateHash names the way where it is noted that it was walked.
func (w *way) stateHash() []byte {
	sum := sha256.Sum256([]byte(w.State))
	return sum[:]
}

// seal returns the way as a cookie's value. It opens for this provider alone.
func (s *SignOn) seal(provider string, w way) (string, error) {
	plain, err := json.Marshal(w)
	if err != nil {
		return "", err
	}
	sealed, err := s.cookies.Seal(plain, "sign-on", provider)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// errAstray is the answer to everybody who comes back by no way that this browser
// began: it does not say what was missing.
func errAstray() error {
	return fault.New(fault.Denied, "this sign-in was not begun in this browser, took longer than ten minutes, or was replaced by another one; begin again")
}

// reopen returns the way that the browser is on, if state is its own.
func (s *SignOn) reopen(r *http.Request, cookie, provider, state string) (way, error) {
	found := r.CookiesNamed(cookie)
	if len(found) != 1 {
		return way{}, errAstray()
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(found[0].Value)
	if err != nil {
		return way{}, errAstray()
	}
	plain, err := s.cookies.Open(sealed, "sign-on", provider)
	if err != nil {
		return way{}, errAstray()
	}
	var w way
	if err := json.Unmarshal(plain, &w); err != nil {
		return way{}, errAstray()
	}
	if !s.now().Before(w.Expires) || subtle.ConstantTimeCompare([]byte(state), []byte(w.State)) != 1 {
		return way{}, errAstray()
	}
	return w, nil
}

// wayCookie returns the cookie for a value; an empty one removes it. Lax, because
// the way back is a navigation that begins at the provider.
func wayCookie(name, value string) *http.Cookie {
	c := &http.Cookie{
		Name: name, Value: value, Path: "/", HttpOnly: true, Secure: name == secureCookie, SameSite: http.SameSiteLaxMode,
		MaxAge: int(wayLife / time.Second),
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// localPath returns a path of this origin as it was asked for, or "/". Browsers
// drop control characters from addresses and take \ for /, so neither may be in
// it; and what begins with // is another host.
func localPath(path string) string {
	if len(path) > maxReturn || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || strings.HasPrefix(path, "/login") {
		return "/"
	}
	for i := range len(path) {
		if c := path[i]; c <= ' ' || c >= 0x7f || c == '\\' {
			return "/"
		}
	}
	return path
}
