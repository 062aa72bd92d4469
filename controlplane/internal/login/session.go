package login

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
)

// Limits of a session: how long it lives unused, how long at all, and how often
// its use is written down.
const (
	SessionIdle     = 12 * time.Hour
	SessionAbsolute = 7 * 24 * time.Hour
	touchEvery      = time.Minute
)

// Cookie names. The prefix makes browsers insist on Secure, on Path=/ and on no
// Domain; over plain HTTP on loopback a browser would not keep such a cookie.
const (
	secureCookie = "__Host-warder"
	plainCookie  = "warder"
)

const tokenSize = 32

// Session is what is kept of one: never the cookie's value.
type Session struct {
	Hash [sha256.Size]byte
	// ID names the session for people; the book gives it.
	ID      string
	User    string
	SeenAt  time.Time
	Expires time.Time

	// As they are when the session is read: its user's roles, and the permissions
	// of those that are not built in.
	Roles []string
	Given []Permission

	// Of its beginning: where it came from, with what program, and how the user
	// proved himself: MethodPassword or the name of a provider.
	Address, Agent, Method string
	// proof is the hash of the password that was given, if one was.
	proof string
}

// MethodPassword says that a session began with a password.
const MethodPassword = "password"

// caller returns whom the session stands for.
func (s *Session) caller() Caller {
	return Caller{Name: s.User, Roles: s.Roles, Given: s.Given, session: s}
}

// live reports whether the session is neither idle for too long nor too old.
func (s *Session) live(now time.Time) bool {
	return now.Before(s.Expires) && now.Sub(s.SeenAt) < SessionIdle
}

// newToken returns a cookie value and what to store of it.
func newToken() (value string, hash [sha256.Size]byte) {
	raw := random(tokenSize)
	return base64.RawURLEncoding.EncodeToString(raw), sha256.Sum256(raw)
}

// tokenHash returns the hash for a cookie value, and false for one that we
// cannot have made.
func tokenHash(value string) (hash [sha256.Size]byte, ok bool) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(raw) != tokenSize {
		return hash, false
	}
	return sha256.Sum256(raw), true
}

// cookieName returns the cookie to use for this origin, or fault.Precondition
// where a session would travel in the clear.
func (o origin) cookieName() (string, error) {
	switch {
	case o.secure:
		return secureCookie, nil
	case o.loopback:
		return plainCookie, nil
	}
	return "", fault.New(fault.Precondition, "sign-in over plain HTTP works on loopback only; put TLS in front of the control plane")
}

// cookie returns the cookie that carries the value; an empty value removes it.
func (o origin) cookie(name, value string, life time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: name, Value: value, Path: "/", HttpOnly: true,
		Secure: o.secure, SameSite: http.SameSiteLaxMode,
		MaxAge: int(life / time.Second),
	}
	if value == "" {
		c.MaxAge = -1
	}
	return c
}

// Handler puts the caller whom the cookie names into the request's context, or
// a stranger. A failing database is a stranger too: unknown means deny. Nothing
// but the cookie is looked at, an Authorization header least of all.
func (d *Desk) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		name, err := originOf(ctx).cookieName()
		if err != nil { // Where no session may travel, nobody has one.
			next.ServeHTTP(w, r.WithContext(WithCaller(ctx, Caller{})))
			return
		}
		ctx = withDevice(ctx, cookieValue(r, name+deviceSuffix))
		caller, err := d.resume(ctx, cookieValue(r, name))
		if err != nil {
			d.log.WarnContext(ctx, "session not checked", "error", err)
			ctx = context.WithValue(ctx, troubleKey{}, err)
		}
		next.ServeHTTP(w, r.WithContext(WithCaller(ctx, caller)))
	})
}

type troubleKey struct{}

// Trouble returns why the caller could not be determined; nil if he could.
func Trouble(ctx context.Context) error {
	err, _ := ctx.Value(troubleKey{}).(error)
	return err
}

// cookieValue returns a cookie of the request; empty if there is none or if the
// browser sent several.
func cookieValue(r *http.Request, name string) string {
	cookies := r.CookiesNamed(name)
	if len(cookies) != 1 {
		return ""
	}
	return cookies[0].Value
}

// Still says whether the caller of a long answer may go on: nil, or
// fault.Unauthenticated once his session has ended. It does not count as use.
func (d *Desk) Still(ctx context.Context, procedure string) error {
	c := From(ctx)
	if c.session != nil {
		s, err := d.book.Session(ctx, c.session.Hash)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		if err != nil || !s.live(d.now()) {
			return fault.New(fault.Unauthenticated, "the session has ended; sign in again")
		}
		c = s.caller()
	}
	return Require(c, procedure)
}

// resume returns the caller for a cookie value.
func (d *Desk) resume(ctx context.Context, value string) (Caller, error) {
	hash, ok := tokenHash(value)
	if !ok {
		return Caller{}, nil
	}
	s, err := d.book.Session(ctx, hash)
	if fault.Is(err, fault.NotFound) {
		return Caller{}, nil
	}
	if err != nil {
		return Caller{}, err
	}
	now := d.now()
	if !s.live(now) {
		return Caller{}, nil
	}
	if now.Sub(s.SeenAt) >= touchEvery {
		if err := d.book.TouchSession(ctx, hash, now); err != nil {
			return Caller{}, err
		}
	}
	return s.caller(), nil
}
