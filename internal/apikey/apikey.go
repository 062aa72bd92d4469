// Package apikey makes and reads API keys.
//
//	wdr_4k2v9x0m1q7z_hT3…(24)…9a_0AbC9z
//	│   │            │           └ checksum: CRC-32 of what stands before it
//	│   │            └ secret: 24 base62 characters, 142 bits
//	│   └ id: public, 12 characters of a-z and 0-9; names the key everywhere
//	└ mark: lets scanners find keys in places where they do not belong
//
// The secret is shown once, when the key is made. What is stored, and what
// travels to a node, is the id and Hash(pepper, secret). The checksum keeps
// typing errors and random strings from reaching a look-up; it is no protection.
//
// A Key prints as its id with the secret blotted out wherever formatting or
// logging happens upon it. Only String, called by name, returns it whole.
package apikey

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"strings"
)

const (
	mark      = "wdr_"
	idLen     = 12
	secretLen = 24
	sumLen    = 6

	// Length is the number of bytes of every key.
	Length = len(mark) + idLen + 1 + secretLen + 1 + sumLen

	secretAt = len(mark) + idLen + 1
	sumAt    = secretAt + secretLen + 1
)

const (
	lower  = "0123456789abcdefghijklmnopqrstuvwxyz"
	base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// ErrMalformed is the answer to anything that is not a key. It says nothing of
// the text that was presented.
var ErrMalformed = errors.New("not a Warder API key")

// Key is an API key in the clear. Its zero value is no key.
type Key struct {
	// ID is public.
	ID string
	// Secret authenticates. It is never stored.
	Secret string
}

// New returns a fresh random key. It fails only if the system has no
// randomness to give.
func New() (Key, error) {
	id, err := draw(lower, idLen)
	if err != nil {
		return Key{}, fmt.Errorf("draw key id: %w", err)
	}
	secret, err := draw(base62, secretLen)
	if err != nil {
		return Key{}, fmt.Errorf("draw key secret: %w", err)
	}
	return Key{ID: id, Secret: secret}, nil
}

// Parse reads a key. The work is the same for every text of the right length:
// all characters are looked at, whichever is wrong. Any error is ErrMalformed.
func Parse(text string) (Key, error) {
	if len(text) != Length {
		return Key{}, ErrMalformed
	}
	body := text[:sumAt-1]
	sum := checksum(body)
	good := subtle.ConstantTimeCompare([]byte(text[:len(mark)]), []byte(mark)) &
		subtle.ConstantTimeCompare([]byte(text[sumAt:]), sum[:]) &
		subtle.ConstantTimeByteEq(text[secretAt-1], '_') &
		subtle.ConstantTimeByteEq(text[sumAt-1], '_') &
		within(text[len(mark):secretAt-1], false) &
		within(text[secretAt:sumAt-1], true)
	if good != 1 {
		return Key{}, ErrMalformed
	}
	return Key{ID: text[len(mark) : secretAt-1], Secret: text[secretAt : sumAt-1]}, nil
}

// In reports whether a key stands anywhere in a text, whoever's it is. It is linear
// in the length of the text, whatever that holds.
func In(text []byte) bool {
	for {
		at := bytes.Index(text, []byte(mark))
		if at < 0 || len(text)-at < Length {
			return false
		}
		if text = text[at:]; text[secretAt-1] == '_' && text[sumAt-1] == '_' {
			if _, err := Parse(string(text[:Length])); err == nil {
				return true
			}
		}
		text = text[len(mark):]
	}
}

// Hash returns HMAC-SHA-256 of the secret part of a key: what is stored and
// compared in its place. Compare with hmac.Equal.
func Hash(pepper []byte, secret string) []byte {
	mac := hmac.New(sha256.New, pepper)
	mac.Write([]byte(secret))
	return mac.Sum(nil)
}

// String returns the whole key, secret included: for the one answer that shows
// it. Formatting a Key with package fmt does not come here; see Format.
func (k Key) String() string {
	body := mark + k.ID + "_" + k.Secret
	sum := checksum(body)
	return body + "_" + string(sum[:])
}

// Format prints the redacted form, whatever the verb.
func (k Key) Format(f fmt.State, _ rune) {
	// A writer that fails has its own way to say so.
	_, _ = f.Write([]byte(k.redacted()))
}

// LogValue returns the redacted form.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.redacted()) }

// MarshalText returns the redacted form, so that a Key inside a value that is
// encoded as JSON does not leak.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.redacted()), nil }

func (k Key) redacted() string { return mark + k.ID + "_…" }

// Redact blots out what may be the secret of a key, or a part of one, wherever in
// a text of a stranger's it stands. The id stays: it says which key to revoke.
func Redact(text string) string {
	at := strings.Index(text, mark)
	if at < 0 {
		return text
	}
	var out strings.Builder
	for ; at >= 0; at = strings.Index(text, mark) {
		end := at + len(mark)
		for end < len(text) && isKeyByte(text[end]) {
			end++
		}
		out.WriteString(text[:min(end, at+len(mark)+idLen)])
		if end > at+len(mark)+idLen {
			out.WriteString("_...") // ASCII, so that no escaping makes it unreadable
		}
		text = text[end:]
	}
	out.WriteString(text)
	return out.String()
}

func isKeyByte(c byte) bool { return c == '_' || within(string(c), true) == 1 }

// draw returns n characters, each equally likely, of an alphabet of at most 64.
func draw(alphabet string, n int) (string, error) {
	out := make([]byte, 0, n)
	var random [64]byte
	for len(out) < n {
		if _, err := rand.Read(random[:]); err != nil {
			return "", err
		}
		for _, b := range random {
			// Values beyond the alphabet are dropped: a remainder would favour
			// its first letters.
			if i := int(b & 63); i < len(alphabet) && len(out) < n {
				out = append(out, alphabet[i])
			}
		}
	}
	return string(out), nil
}

// checksum returns CRC-32 (IEEE) in base62, most significant digit first.
func checksum(body string) (sum [sumLen]byte) {
	// A node does this for every request, and crc32.ChecksumIEEE would put the
	// text on the heap.
	crc := ^uint32(0)
	for i := range len(body) {
		crc = crc32.IEEETable[byte(crc)^body[i]] ^ crc>>8
	}
	rest := uint64(^crc)
	for i := sumLen - 1; i >= 0; i-- {
		sum[i] = base62[rest%62]
		rest /= 62
	}
	return sum
}

// within returns 1 if every character is a digit or a lower-case letter or, if
// allowed, an upper-case one; else 0. It looks at all of them in any case.
func within(part string, upper bool) int {
	good := 1
	for i := range len(part) {
		c := part[i]
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || upper && c >= 'A' && c <= 'Z') {
			good = 0
		}
	}
	return good
}
