package login

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"log/slog"
	"sync"
	"time"
)

// SetupTokenLife is how long a setup token is valid. A restart makes another.
const SetupTokenLife = time.Hour

// SetupToken lets whoever can read the start of the process create the first
// owner. It lives in memory only, one a process, and is worth nothing once an
// administrator exists. It is safe for concurrent use.
type SetupToken struct {
	mu      sync.Mutex
	value   string
	expires time.Time
}

// NewSetupToken returns a token that is valid from now.
func NewSetupToken(now time.Time) *SetupToken {
	return &SetupToken{
		value:   "wds_" + base64.RawURLEncoding.EncodeToString(random(24)),
		expires: now.Add(SetupTokenLife),
	}
}

// Reveal returns the secret itself, for the one line that shows it to the
// person at the terminal; empty when it was spent or has expired. A nil token
// reveals nothing.
func (t *SetupToken) Reveal(now time.Time) string {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !now.Before(t.expires) {
		return ""
	}
	return t.value
}

// matches compares in constant time.
func (t *SetupToken) matches(offered string, now time.Time) bool {
	want := t.Reveal(now)
	a, b := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(offered))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && want != ""
}

// spend makes the token worthless.
func (t *SetupToken) spend() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.value = ""
}

// LogValue keeps the secret out of logs.
func (t *SetupToken) LogValue() slog.Value { return slog.StringValue("[setup token]") }

// String keeps the secret out of messages.
func (t *SetupToken) String() string { return "[setup token]" }
