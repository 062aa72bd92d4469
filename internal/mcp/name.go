package mcp

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

const (
	maxSlug      = 20
	maxExposed   = 64 // what language models' tool interfaces take
	exposedHead  = 55 // of a shortened name, before "_" and eight hex digits
	maxShownName = 64 // of a stranger's name in an error text
)

// ValidSlug reports whether s may name a server: a lower-case letter, then up to 19 of a-z, 0-9 and hyphen.
func ValidSlug(s string) bool {
	if s == "" || len(s) > maxSlug || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && !isDigit(c) && c != '-' {
			return false
		}
	}
	return true
}

// ExposedName returns the name under which a client of the aggregate sees a tool or a prompt: slug__name, within 64
// characters of [A-Za-z0-9_-]. A name that does not fit is cut and marked with eight hex digits of
// SHA-256(slug, NUL, name), so that two names that are cut to the same text still differ.
//
// There is no way back but a table of all exposed names: splitting would let one server answer to another's name.
func ExposedName(slug, name string) string {
	exposed := strings.Map(safeRune, slug+"__"+name)
	if exposed == slug+"__"+name && len(exposed) <= maxExposed {
		return exposed
	}
	sum := sha256.Sum256([]byte(slug + "\x00" + name))
	return exposed[:min(len(exposed), exposedHead)] + "_" + hex.EncodeToString(sum[:4])
}

func safeRune(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '_', r == '-':
		return r
	}
	return '_'
}

// EscapeName makes a stranger's text fit for a log, a terminal or an error: printable ASCII stands, a backslash is
// doubled, everything else becomes \uXXXX (\UXXXXXXXX beyond the BMP, \xXX for a byte that is not UTF-8). The result
// has at most limit bytes and ends in "..." when it was cut; limits below 3 count as 3.
func EscapeName(s string, limit int) string {
	limit = max(limit, len("..."))
	var out strings.Builder
	for i, r := range s {
		escaped := escapeRune(s[i], r)
		if out.Len()+len(escaped) > limit-len("...") && !fits(s[i:], limit-out.Len()) {
			return out.String() + "..."
		}
		out.WriteString(escaped)
	}
	return out.String()
}

// escapeRune returns the escaped form of r, whose first byte is b.
func escapeRune(b byte, r rune) string {
	switch {
	case r == '\\':
		return `\\`
	case ' ' <= r && r <= '~':
		return string(r)
	case r == '\uFFFD' && b != 0xEF:
		return fmt.Sprintf(`\x%02x`, b)
	case r > 0xFFFF:
		return fmt.Sprintf(`\U%08x`, r)
	}
	return fmt.Sprintf(`\u%04x`, r)
}

// fits reports whether the escaped form of s has at most room bytes.
func fits(s string, room int) bool {
	for i, r := range s {
		if room -= len(escapeRune(s[i], r)); room < 0 {
			return false
		}
	}
	return true
}
