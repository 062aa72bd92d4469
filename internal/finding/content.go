package finding

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"regexp/syntax"
	"strconv"
	"strings"
)

// lookContent reports what would be active where it is shown, and addresses that
// a client or a page would load (security.md T-10, T-14).
func lookContent(s *scan, t *text) {
	if t.key {
		return
	}
	if !strings.ContainsAny(t.value, "<[:=") && t.member != "mimeType" {
		return
	}
	lower := strings.TrimLeft(t.lower(), "\t\n\r \x00\u00a0")
	scheme, _, found := strings.Cut(limit(lower, 64), ":")
	if found {
		s.lookScheme(t, strings.Map(dropBlanks, scheme), lower)
	}
	if strings.ContainsAny(lower, "<=[") {
		for _, needle := range activeMarkup {
			i := strings.Index(lower, needle)
			if code := i + len(needle); i >= 0 && (code == len(lower) || lower[code] != '{') { // {: source code of an interface
				s.at(t, "content.script", Hard, i, i+len(needle), "It holds markup that runs a script where it is shown as a page.")
				return
			}
		}
	}
	if i := strings.Index(lower, "<script"); i >= 0 && strings.Contains(lower[i:], "</script") {
		s.at(t, "content.script", Hard, i, i+len("<script"), "It holds a script.")
	}
	s.lookImages(t, lower)
	if t.member == "mimeType" && strings.HasPrefix(lower, "text/html") {
		s.at(t, "content.page", Soft, 0, len(t.value), "It is a page that a client may show and run beside the conversation.")
	}
}

// activeMarkup is what makes HTML or Markdown run a script. Spelled out in prose it
// is rare enough to be worth a look.
var activeMarkup = []string{
	"](javascript:", "](data:text/html", "](vbscript:", `href="javascript:`, `href='javascript:`, `src="javascript:`,
	" onerror=", " onload=", " onclick=", " onmouseover=", " onfocus=", "/onload=", "/onerror=",
}

// dropBlanks removes what browsers remove from a scheme before they read it.
func dropBlanks(r rune) rune {
	if r <= ' ' || classify(r) != seen {
		return -1
	}
	return r
}

// lookScheme judges a string that begins with a scheme.
func (s *scan) lookScheme(t *text, scheme, lower string) {
	switch scheme {
	case "javascript", "vbscript":
		if strings.ContainsRune(limit(lower, 40), ' ') && t.prose() && t.member == "description" {
			return // A sentence about the scheme: "javascript: URLs are refused".
		}
		s.at(t, "content.address", Hard, 0, 40, "It is an address that runs a script.")
	case "data":
		s.lookData(t, lower)
	case "ui":
		// What only refers to a page is left alone: the page is an entry of its own.
		if t.member != "uri" && t.member != "uriTemplate" {
			return
		}
		s.at(t, "content.page", Soft, 0, 40, "It names a page that a client may show and run beside the conversation.")
	case "http", "https", "ftp", "ws", "wss", "file":
		if loaded(t) && !acceptable(scheme, t.value) {
			s.at(t, "content.address", Soft, 0, 80, "A client would load this address, and it is not an https one.")
		}
	}
}

// loaded reports whether a string is an address that clients load by themselves:
// that of an icon.
func loaded(t *text) bool {
	return t.top == "icons" || t.property == "icons" || t.property == "icon" || t.member == "icon" || t.member == "iconUrl" || t.member == "logo"
}

// acceptable reports whether an address that is loaded is https, or http to this
// machine.
func acceptable(scheme, address string) bool {
	if scheme == "https" {
		return true
	}
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || scheme != "http" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() == "localhost" || err == nil && ip.IsLoopback()
}

// maxData bounds how much of a data: address is decoded.
const maxData = 64 << 10

// lookData judges a data: address: pages always, pictures that hold a script.
func (s *scan) lookData(t *text, lower string) {
	head, body, found := strings.Cut(lower, ",")
	if !found || strings.ContainsAny(head, " \n") && !loaded(t) {
		return // Prose that begins with the word.
	}
	switch {
	case strings.HasPrefix(head, "data:text/html"), strings.HasPrefix(head, "data:application/xhtml"), strings.HasPrefix(head, "data:text/javascript"):
		s.at(t, "content.address", Hard, 0, 60, "It is an address that holds a page or a script.")
	case strings.HasPrefix(head, "data:image/svg"):
		if strings.Contains(head, ";base64") {
			raw := t.value[strings.IndexByte(t.value, ',')+1:]
			raw = raw[:min(len(raw), maxData)&^3]
			decoded, _ := base64.StdEncoding.DecodeString(strings.TrimRight(raw, "="))
			body = strings.ToLower(string(decoded))
		} else if plain, err := url.PathUnescape(body); err == nil {
			body = plain
		}
		if strings.Contains(body, "<script") || strings.Contains(body, "javascript:") || strings.Contains(body, " onload=") || strings.Contains(body, "<foreignobject") {
			s.at(t, "content.address", Hard, 0, 60, "It is a picture that holds a script.")
		}
	case loaded(t) && !strings.HasPrefix(head, "data:image/"):
		s.at(t, "content.address", Soft, 0, 60, "It is no picture, where a picture belongs.")
	}
}

// lookImages reports pictures in Markdown: a client that draws them tells their
// server what the address holds.
func (s *scan) lookImages(t *text, lower string) {
	for at := 0; ; {
		i := strings.Index(lower[at:], "![")
		if i < 0 {
			return
		}
		at += i + 2
		open := strings.Index(limit(lower[at:], 200), "](http")
		if open < 0 {
			continue
		}
		address, _, _ := strings.Cut(limit(lower[at+open+2:], 300), ")")
		if strings.ContainsAny(address, "?{$<") {
			s.at(t, "content.image", Hard, at-2, at+open+len(address), "It has a picture whose address carries data to the picture's server.")
			return
		}
	}
}

// lookSchema reports what in a JSON Schema reaches out of it or cannot be checked
// (security.md T-12).
func lookSchema(s *scan, t *text) {
	if !t.schema {
		return
	}
	switch {
	case t.key && t.property == "patternProperties":
		s.lookPattern(t)
	case t.key:
	case t.member == "$ref" || t.member == "$dynamicRef":
		s.lookReference(t)
	case t.member == "pattern" && t.property != "properties":
		s.lookPattern(t)
	}
}

func (s *scan) lookReference(t *text) {
	switch {
	case t.property == "properties" || strings.HasPrefix(t.value, "#") || t.value == "":
	case strings.Contains(t.value, ":") || strings.HasPrefix(t.value, "//") || strings.HasPrefix(t.value, `\\`):
		s.at(t, "schema.reference", Hard, 0, len(t.value), "Its schema refers to another place: who checks arguments with it would be made to load that.")
	default:
		s.at(t, "schema.reference", Soft, 0, len(t.value), "Its schema refers to something outside of it.")
	}
}

// maxPattern is the longest regular expression that is read.
const maxPattern = 4 << 10

// lookPattern reports a pattern that cannot be checked as it is meant.
func (s *scan) lookPattern(t *text) {
	if len(t.value) > maxPattern {
		s.at(t, "schema.pattern", Soft, 0, 80, "A pattern is so long that it was not read.")
		return
	}
	tree, err := syntax.Parse(fromECMA(t.value), syntax.Perl)
	switch {
	case err != nil:
		s.at(t, "schema.pattern", Soft, 0, len(t.value), "A pattern needs what linear-time engines do not have, such as look-ahead; it cannot be checked, and takes other engines long.")
	case nested(tree, 0):
		s.at(t, "schema.pattern", Soft, 0, len(t.value), "A pattern repeats a repetition; engines that backtrack can be made to work on it for ever.")
	}
}

// fromECMA spells the escapes of ECMAScript's regular expressions as RE2 has them.
func fromECMA(pattern string) string {
	if !strings.Contains(pattern, `\u`) {
		return pattern
	}
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '\\' || i+1 == len(pattern) {
			b.WriteByte(pattern[i])
			continue
		}
		if pattern[i+1] == 'u' && i+6 <= len(pattern) {
			if n, err := strconv.ParseUint(pattern[i+2:i+6], 16, 16); err == nil && (n < 0xD800 || n > 0xDFFF) {
				b.WriteString(`\x{` + pattern[i+2:i+6] + `}`)
				i += 5
				continue
			}
		}
		b.WriteString(pattern[i : i+2])
		i++
	}
	return b.String()
}

// nested reports whether an unbounded repetition has nothing in it but another.
func nested(re *syntax.Regexp, depth int) bool {
	if unbounded(re) && depth < 100 {
		inner := re.Sub[0]
		for (inner.Op == syntax.OpCapture || inner.Op == syntax.OpConcat) && len(inner.Sub) == 1 {
			inner = inner.Sub[0]
		}
		if unbounded(inner) {
			return true
		}
	}
	for _, sub := range re.Sub {
		if depth < 100 && nested(sub, depth+1) {
			return true
		}
	}
	return false
}

func unbounded(re *syntax.Regexp) bool {
	return re.Op == syntax.OpStar || re.Op == syntax.OpPlus || re.Op == syntax.OpRepeat && re.Max < 0
}

// Bounds of a schema's shape. Honest schemas stay far below.
const (
	maxNesting = 48
	maxBranch  = 100 // of anyOf, oneOf or allOf
	maxMembers = 20_000
)

// shape counts what makes a schema expensive to check.
type shape struct{ members int }

// enter is called before a level is opened.
func (h *shape) enter(w *walk) {
	if len(w.levels) == 0 || !isSchema(w.levels[0].name) {
		return
	}
	h.members++
	report := func(why string) {
		w.s.report(Finding{Check: "schema.size", Severity: Hard, Path: "/" + w.levels[0].name, Explanation: why})
	}
	switch {
	case h.members == maxMembers:
		report("Its schema has so many parts that to check arguments with it takes long.")
	case len(w.levels) == maxNesting:
		report("Its schema is nested so deep that to check arguments with it takes long.")
	}
	if l := w.levels[len(w.levels)-1]; l.array && l.index == maxBranch && len(w.levels) > 1 {
		switch w.levels[len(w.levels)-2].name {
		case "anyOf", "oneOf", "allOf":
			report("Its schema has so many alternatives that to check arguments with it takes long.")
		}
	}
}
