package finding

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"html"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what is decoded.
const (
	minEncoded  = 16
	maxEncoded  = 64 << 10
	maxEncodeds = 64 // in one string; those beyond are too many to be examples
	maxLayers   = 2  // what is encoded again after that, few models read
)

// decode yields what stands in a text in base64, base32 or hexadecimal, or as the
// codes of its characters, if it is text; also what stands in that again.
func decode(value string, yield func(plain, how string, at span)) {
	decodeLayer(value, 1, yield)
}

func decodeLayer(value string, layer int, yield func(plain, how string, at span)) {
	found := func(plain, how string, at span) {
		yield(plain, how, at)
		if layer < maxLayers {
			decodeLayer(plain, layer+1, func(inner, how string, _ span) { yield(inner, how+", twice", at) })
		}
	}
	for i, n := 0, 0; i < len(value) && n < maxEncodeds; {
		if !encodedByte(value[i]) {
			i++
			continue
		}
		end := i
		for end < len(value) && encodedByte(value[end]) {
			end++
		}
		if end-i >= minEncoded {
			n++
			token := strings.TrimRight(value[i:min(end, i+maxEncoded)], "=")
			if plain := fromHex(strings.TrimPrefix(token, "0x")); plain != "" {
				found(plain, "written in hexadecimal", span{i, end})
			} else if plain := fromBase64(token); plain != "" {
				found(plain, "written in base64", span{i, end})
			} else if plain := fromBase32(token); plain != "" {
				found(plain, "written in base32", span{i, end})
			}
		}
		i = end
	}
	wrapped(value, found)
	codes(value, found)
}

func encodedByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '-' || c == '_' || c == '='
}

// maxWrapped bounds the beginnings that are tried in one string.
const maxWrapped = 8

// wrapped yields base64 that is broken by blanks or line ends. Nearly every word of
// prose could be a part of it, so that it begins at one that looks like none: with
// capitals or digits after small letters.
func wrapped(value string, yield func(plain, how string, at span)) {
	if !strings.ContainsAny(value, " \n\t\r") {
		return
	}
	for i, tried := 0, 0; i < len(value) && tried < maxWrapped; {
		end := wordEnd(value, i)
		if end == i {
			i++
			continue
		}
		if !mixed(value[i:end]) {
			i = end
			continue
		}
		tried++
		var joined strings.Builder
		last := i
		for at := i; at < len(value) && joined.Len() < maxEncoded; {
			next := wordEnd(value, at)
			if next == at {
				break
			}
			part := strings.TrimRight(value[at:next], "=")
			joined.WriteString(part)
			last = next
			if len(part) < next-at {
				break
			}
			at = next + blanks(value[next:])
			if at == next {
				break
			}
		}
		if joined.Len() >= minEncoded && joined.Len() > end-i {
			if plain := beginning(joined.String()); plain != "" {
				yield(plain, "written in base64 over several words", span{i, last})
				i = last
				continue
			}
		}
		i = end
	}
}

// wordEnd returns where what may be encoded ends.
func wordEnd(value string, i int) int {
	for i < len(value) && encodedByte(value[i]) {
		i++
	}
	return i
}

// mixed reports whether a word has a capital or a digit behind a small letter.
func mixed(word string) bool {
	small := false
	for i := range len(word) {
		switch c := word[i]; {
		case 'a' <= c && c <= 'z':
			small = true
		case small && ('A' <= c && c <= 'Z' || '0' <= c && c <= '9'):
			return true
		}
	}
	return false
}

// minCodes is how many numbers one behind the other may be a text.
const minCodes = 12

// codes yields what runs of numbers spell as the codes of characters: in
// hexadecimal, decimal or binary.
func codes(value string, yield func(plain, how string, at span)) {
	bases := [...]struct {
		base int
		how  string
	}{{16, "written in hexadecimal codes"}, {10, "written in decimal codes"}, {2, "written in binary codes"}}
	var plain [len(bases)][]byte
	var from [len(bases)]int
	flush := func(b, end int) {
		if len(plain[b]) >= minCodes && readable(plain[b]) {
			yield(string(plain[b]), bases[b].how, span{from[b], end})
		}
		plain[b] = plain[b][:0]
	}
	end := 0
	for i := 0; i < len(value); {
		if !isAlphanumeric(value[i]) && !isCapital(value[i]) {
			i++
			continue
		}
		start := i
		for i < len(value) && (isAlphanumeric(value[i]) || isCapital(value[i])) {
			i++
		}
		word := strings.TrimPrefix(value[start:i], "0x")
		for b := range bases {
			n, ok := code(word, bases[b].base)
			if !ok {
				flush(b, end)
				continue
			}
			if len(plain[b]) == 0 {
				from[b] = start
			}
			if len(plain[b]) < maxEncoded {
				plain[b] = append(plain[b], n)
			}
		}
		end = i
	}
	for b := range bases {
		flush(b, end)
	}
}

func isCapital(c byte) bool { return 'A' <= c && c <= 'Z' }

// code reads a number that may be the code of a character of ASCII.
func code(word string, base int) (byte, bool) {
	switch {
	case base == 16 && len(word) != 2, base == 2 && (len(word) < 7 || len(word) > 8), base == 10 && (len(word) < 2 || len(word) > 3):
		return 0, false
	}
	n, err := strconv.ParseUint(word, base, 8)
	if err != nil || n >= utf8.RuneSelf || n < ' ' && n != '\n' && n != '\t' {
		return 0, false
	}
	return byte(n), true
}

func fromHex(token string) string {
	raw, err := hex.DecodeString(token[:len(token)&^1])
	if err != nil || !readable(raw) {
		return ""
	}
	return string(raw)
}

func fromBase64(token string) string {
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(token)
	if len(standard)%4 == 1 {
		standard = standard[:len(standard)-1]
	}
	raw, err := base64.RawStdEncoding.DecodeString(standard)
	if err != nil || !readable(raw) {
		return ""
	}
	return string(raw)
}

// beginning is what base64 holds up to where it is no text any more: words of prose
// may follow.
func beginning(token string) string {
	standard := strings.NewReplacer("-", "+", "_", "/").Replace(token)
	if len(standard)%4 == 1 {
		standard = standard[:len(standard)-1]
	}
	raw, err := base64.RawStdEncoding.DecodeString(standard)
	if err != nil {
		return ""
	}
	for i := 0; i < len(raw); {
		r, n := utf8.DecodeRune(raw[i:])
		if r == utf8.RuneError || unicode.IsControl(r) && r != '\n' && r != '\t' {
			raw = raw[:i]
			break
		}
		i += n
	}
	if len(raw) < minEncoded*3/4 || !readable(raw) {
		return ""
	}
	return string(raw)
}

func fromBase32(token string) string {
	if token != strings.ToUpper(token) {
		return ""
	}
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(token)
	if err != nil || !readable(raw) {
		return ""
	}
	return string(raw)
}

// readable reports whether bytes are text: nearly all of it letters, digits and
// blanks.
func readable(raw []byte) bool {
	if !utf8.Valid(raw) {
		return false
	}
	text, all := 0, 0
	for _, r := range string(raw) {
		all++
		if unicode.IsLetter(r) || unicode.IsDigit(r) || r == ' ' || r == '\n' || strings.ContainsRune(".,:;!?'\"~/-_<>=", r) {
			text++
		}
	}
	return all > 0 && text*10 >= all*9
}

// maxRespelled bounds the texts that are read in other spellings: such a text is a
// riddle, and long ones are none.
const maxRespelled = 16 << 10

// respelled reports orders that are there only in another spelling of the whole
// text, which a model reads nearly as well: with escapes, with markup in the middle
// of words, letters shifted by thirteen, or from behind.
func (s *scan) respelled(t *text) {
	if len(t.value) < minEncoded || len(t.value) > maxRespelled {
		return
	}
	whole := span{0, len(t.value)}
	for _, as := range [...]struct {
		how    string
		reread func(string) string
	}{
		{"written with escapes", unescape}, {"broken by markup", unmarked}, {"written in ROT13", rot13}, {"written backwards", backwards},
	} {
		if other := as.reread(t.value); other != "" && other != t.value {
			s.reread(t, other, as.how, whole)
		}
	}
}

// unescape resolves what stands for characters in HTML, URLs and programs; it is
// empty if there is nothing of the kind.
func unescape(value string) string {
	if !strings.ContainsAny(value, `%&\`) {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(value); {
		c, n := escaped(value[i:])
		if n > 0 {
			b.WriteRune(c)
		} else {
			b.WriteByte(value[i])
		}
		i += max(n, 1)
	}
	return html.UnescapeString(b.String())
}

// escaped reads one escape at the beginning of a text: %41, \x41, \u0041 or
// \u{41}. n is its length; 0: there is none.
func escaped(text string) (c rune, n int) {
	digits, begin := 0, 0
	switch {
	case strings.HasPrefix(text, "%"):
		begin, digits = 1, 2
	case strings.HasPrefix(text, `\x`):
		begin, digits = 2, 2
	case strings.HasPrefix(text, `\u{`):
		begin, digits = 3, strings.IndexByte(limit(text, 12), '}')-3
	case strings.HasPrefix(text, `\u`):
		begin, digits = 2, 4
	}
	if digits <= 0 || len(text) < begin+digits {
		return 0, 0
	}
	code, err := strconv.ParseUint(text[begin:begin+digits], 16, 32)
	if err != nil || !utf8.ValidRune(rune(code)) {
		return 0, 0
	}
	n = begin + digits
	if begin == 3 {
		n++
	}
	return rune(code), n
}

// maxTag is the longest tag that is taken out, in bytes.
const maxTag = 64

// unmarked takes out tags and the marks of emphasis; it is empty if there are none.
func unmarked(value string) string {
	if !strings.ContainsAny(value, "<*") {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '*':
			continue
		case c == '<' && i+1 < len(value) && (value[i+1] == '/' || value[i+1] == '!' || value[i+1]|0x20 >= 'a' && value[i+1]|0x20 <= 'z'):
			if end := strings.IndexByte(value[i:min(len(value), i+maxTag)], '>'); end > 0 {
				i += end
				continue
			}
		}
		b.WriteByte(value[i])
	}
	return b.String()
}

func rot13(value string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return 'a' + (r-'a'+13)%26
		case r >= 'A' && r <= 'Z':
			return 'A' + (r-'A'+13)%26
		}
		return r
	}, value)
}

func backwards(value string) string {
	runes := []rune(value)
	for i, j := 0, len(runes)-1; i < j; i, j = i+1, j-1 {
		runes[i], runes[j] = runes[j], runes[i]
	}
	return string(runes)
}
