package uri

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// MaxLength is the length in bytes of the longest URI that is canonical, and of
// the longest template.
const MaxLength = 8 << 10

// Canonical reports whether the text is an absolute URI in its one plain spelling
// (RFC 3986, section 6.2.2, and what the URL standard of browsers makes of it):
// its scheme is in lower case, nothing is percent-encoded that need not be, the
// digits of what is are in upper case, no control character is encoded, and no
// segment is "." or "..", whatever the slashes around it are. A character that no
// URI has (a backslash, for example, which many take for a slash), white space or
// a control character is in none. Text beyond ASCII may stand as it is. Longer
// than MaxLength, it is not canonical.
//
// Of schemes that parsers of URLs know (file, http, https, ws, wss, ftp) the
// authority stands behind "//" and has one spelling too; a file has neither
// "localhost" for its host, nor a query, a fragment or an empty segment.
//
// What is left is told by Fold.
func Canonical(text string) bool {
	scheme, rest, ok := strings.Cut(text, ":")
	return ok && len(text) <= MaxLength && utf8.ValidString(text) &&
		isScheme(scheme) && spelledOnce(rest) && !hasDots(rest) && placedOnce(scheme, rest)
}

// Fold returns what a lenient server may take a canonical URI for: without its
// fragment, an empty query and slashes at the end, and with all that is
// percent-encoded decoded, once. Two URIs that fold onto the same text may name
// the same resource; that they do, it does not say. Most URIs are returned as they
// are.
func Fold(text string) string {
	text, _, _ = strings.Cut(text, "#")
	text = strings.TrimSuffix(text, "?")
	return strings.TrimRight(Decode(text), "/")
}

// Decode decodes what is percent-encoded, in either case, and leaves what is not
// well-formed.
func Decode(text string) string {
	at := strings.IndexByte(text, '%')
	if at < 0 {
		return text
	}
	out := append(make([]byte, 0, len(text)), text[:at]...)
	for i := at; i < len(text); i++ {
		if text[i] == '%' {
			if c, ok := unhex(strings.ToUpper(text[i+1 : min(i+3, len(text))])); ok {
				out = append(out, c)
				i += 2
				continue
			}
		}
		out = append(out, text[i])
	}
	return string(out)
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

// spelledOnce reports whether each byte may stand in a URI and stands for itself,
// or is encoded because it could not.
func spelledOnce(text string) bool {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if isControl(c) || strings.IndexByte(" \"<>\\^`{|}", c) >= 0 {
			return false
		}
		if c != '%' {
			continue
		}
		decoded, ok := unhex(text[i+1:])
		if !ok || isUnreserved(decoded) || isControl(decoded) {
			return false
		}
		i += 2
	}
	return true
}

func isControl(c byte) bool { return c < ' ' || c == 0x7f }

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

// hasDots reports whether a segment means "here" or "one up", also to a server
// that decodes twice.
func hasDots(text string) bool {
	if !strings.Contains(text, ".") && !strings.Contains(text, "%25") {
		return false
	}
	for range 3 {
		for segment := range strings.SplitSeq(delimiters.Replace(text), "/") {
			if segment == "." || segment == ".." {
				return true
			}
		}
		text = Decode(text)
	}
	return false
}

// ports has the schemes that parsers of URLs treat in a way of their own, with the
// port that they leave out.
var ports = map[string]string{"http": "80", "https": "443", "ws": "80", "wss": "443", "ftp": "21", "file": ""}

// placedOnce reports whether the authority is where its scheme wants it, and
// spelled in one way. Of other schemes nobody knows.
func placedOnce(scheme, rest string) bool {
	port, special := ports[scheme]
	if !special {
		return true
	}
	rest, ok := strings.CutPrefix(rest, "//")
	if !ok {
		return false
	}
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority, path := rest[:end], rest[end:]
	if scheme != "file" {
		return hostOnce(authority, port)
	}
	return (authority == "" || authority != "localhost" && hostOnce(authority, port)) && filedOnce(path)
}

// filedOnce reports whether a path of a file has no other spelling that reads the
// same: it is absolute, without query, fragment and empty segments.
func filedOnce(path string) bool {
	return strings.HasPrefix(path, "/") && !strings.ContainsAny(path, "?#") && !strings.Contains(delimiters.Replace(path), "//")
}

// hostOnce reports whether an authority is a host in lower case, an address in its
// one form, with a port if that is not the scheme's own.
func hostOnce(authority, port string) bool {
	host, given, has := authority, "", false
	if at := strings.LastIndexByte(authority, ':'); at > strings.LastIndexByte(authority, ']') {
		host, given, has = authority[:at], authority[at+1:], true
	}
	if has && (given == "" || given == port || given[0] == '0' || strings.Trim(given, "0123456789") != "") {
		return false
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		address, err := netip.ParseAddr(inner)
		return ok && err == nil && address.Is6() && address.Zone() == "" && address.String() == inner
	}
	if last := host[strings.LastIndexByte(host, '.')+1:]; last == "" || isDigit(last[0]) {
		address, err := netip.ParseAddr(host)
		return err == nil && address.String() == host
	}
	return strings.IndexFunc(host, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_'
	}) < 0
}
