package uri

import (
	"strings"
	"unicode/utf8"
)

// MaxLength is the length in bytes of the longest URI that is canonical, and of
// the longest template.
const MaxLength = 8 << 10

// Canonical reports whether the text is an absolute URI without another spelling
// of the same (RFC 3986, section 6.2.2): its scheme is in lower case, nothing is
// percent-encoded that need not be, the digits of what is are in upper case, and
// no segment is "." or "..", whatever the slashes around it are. Text beyond
// ASCII may stand as it is. Longer than MaxLength, or with white space or control
// characters in it, it is not canonical.
func Canonical(text string) bool {
	scheme, rest, ok := strings.Cut(text, ":")
	return ok && len(text) <= MaxLength && utf8.ValidString(text) &&
		isScheme(scheme) && spelledOnce(rest) && !hasDots(rest)
}

func isScheme(text string) bool {
	for i := range len(text) {
		c := text[i]
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !isDigit(c) && c != '+' && c != '-' && c != '.') {
			return false
		}
	}
	return text != ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// spelledOnce reports whether each byte stands for itself, or is encoded because
// it could not.
func spelledOnce(text string) bool {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c <= ' ' || c == 0x7f {
			return false
		}
		if c != '%' {
			continue
		}
		decoded, ok := unhex(text[i+1:])
		if !ok || isUnreserved(decoded) {
			return false
		}
		i += 2
	}
	return true
}

// unhex reads two hexadecimal digits in upper case.
func unhex(text string) (c byte, ok bool) {
	const digits = "0123456789ABCDEF"
	if len(text) < 2 {
		return 0, false
	}
	high, low := strings.IndexByte(digits, text[0]), strings.IndexByte(digits, text[1])
	return byte(high<<4 | low), high >= 0 && low >= 0
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c) || strings.IndexByte("-._~", c) >= 0
}

// delimiters turns whatever some server ends a segment at into a slash.
var delimiters = strings.NewReplacer(
	"%2F", "/", "%5C", "/", "%3F", "/", "%23", "/", "%3B", "/", `\`, "/", "?", "/", "#", "/", ";", "/",
)

// hasDots reports whether a segment means "here" or "one up".
func hasDots(text string) bool {
	if !strings.Contains(text, ".") {
		return false
	}
	for segment := range strings.SplitSeq(delimiters.Replace(text), "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
