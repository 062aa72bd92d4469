package finding

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// word is a word of a text that means something to the rules.
type word struct {
	class class
	// at is its place, counted in words; a line's end counts as one word more, a
	// sentence's end as two, an empty line as four.
	at         int
	start, end int  // in the text, in bytes; of disguised ones those around it
	disguised  bool // it is in the lexicon only as what it looks like
}

// reader takes a text apart. What means nothing only counts.
type reader struct {
	text    string
	words   []word
	at      int
	letters []byte // single letters one behind the other: "i g n o r e"
	from    int    // where they begin
	spelled []span // where letters apart made words
}

// read returns the words of a text that are in the lexicon, in order. It takes
// linear time.
func read(text string) []word { return reading(text).words }

func reading(text string) *reader {
	r := &reader{text: text}
	for i := 0; i < len(text); {
		if isBlank(text[i]) {
			n := blanks(text[i:])
			r.at += lineEnds(text[i : i+n])
			i += n
			continue
		}
		end := i
		for end < len(text) && !isBlank(text[end]) {
			end++
		}
		r.chunk(i, end)
		if c := text[end-1]; c == '.' || c == '!' || c == '?' || c == ';' {
			r.at += 2
		}
		i = end
	}
	r.spell(len(text))
	return r
}

func isBlank(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func blanks(text string) (n int) {
	for n < len(text) && isBlank(text[n]) {
		n++
	}
	return n
}

// lineEnds is how many words the line ends among blanks count as.
func lineEnds(blanks string) int {
	switch strings.Count(blanks, "\n") {
	case 0:
		return 0
	case 1:
		return 1
	}
	return 4
}

// chunk reads what stands between blanks.
func (r *reader) chunk(start, end int) {
	chunk := r.text[start:end]
	whole := thing(chunk)
	if isASCII(chunk) {
		r.split(chunk, start, func(piece string, from, to int) { r.add(whole, piece, from, to, false) })
		return
	}
	// What a model reads, and what it may also read there.
	var spelled []string
	r.split(plain(chunk), 0, func(piece string, _, _ int) { spelled = append(spelled, strings.ToLower(piece)) })
	i := 0
	r.split(fold(chunk), 0, func(piece string, _, _ int) {
		c := whole
		if i < len(spelled) {
			c = c.or(lexicon[spelled[i]])
		}
		i++
		r.add(c, piece, start, end, true)
	})
	r.phrases(chunk, start, end)
}

// split cuts a chunk into words: at what is no letter or digit, and where an
// upper-case letter follows a lower-case one.
func (r *reader) split(chunk string, offset int, yield func(piece string, from, to int)) {
	start, lower := -1, false
	flush := func(end int) {
		if start >= 0 {
			yield(chunk[start:end], offset+start, offset+end)
		}
		start, lower = -1, false
	}
	for i, c := range chunk {
		inside := c < 0x80 && wordBytes[c] || c >= 0x80 && (unicode.IsLetter(c) || c == '’' || unicode.IsMark(c))
		switch {
		case !inside:
			flush(i)
			continue
		case lower && c < 0x80 && 'A' <= c && c <= 'Z':
			flush(i)
		}
		if start < 0 {
			start = i
		}
		lower = 'a' <= c && c <= 'z'
	}
	flush(len(chunk))
}

// wordBytes are the ASCII characters that words are made of: apostrophes, and what
// is written for letters, too.
var wordBytes = func() (in [utf8.RuneSelf]bool) {
	for c := range in {
		in[c] = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '\'' || c == '@' || c == '$'
	}
	return in
}()

// maxWord is the longest word that is looked up, in bytes.
const maxWord = 48

// add counts a word and keeps it if it means something.
func (r *reader) add(c class, piece string, start, end int, folded bool) {
	r.at++
	if len(piece) == 1 && (piece[0]|0x20) >= 'a' && (piece[0]|0x20) <= 'z' {
		if len(r.letters) == 0 {
			r.from = start
		}
		if len(r.letters) < maxLetters {
			r.letters = append(r.letters, piece[0]|0x20)
		}
	} else {
		r.spell(start)
	}
	if len(piece) >= minGlued && len(piece) <= maxLetters && r.glued(piece, start, end) {
		return
	}
	if len(piece) <= maxWord {
		more, disguised := meaning(piece)
		if more == none {
			more = scrambled(piece) // That may be a slip: it says nothing of whoever wrote it.
		}
		if folded && more.without(c) != none {
			disguised = true
		} else if folded {
			disguised = false
		}
		r.keep(word{class: c.or(more), at: r.at, start: start, end: end, disguised: disguised})
		return
	}
	r.keep(word{class: c, at: r.at, start: start, end: end})
}

// keep appends a word that means something, with what it makes together with the
// word before it.
func (r *reader) keep(w word) {
	if w.class == none {
		return
	}
	if n := len(r.words); n > 0 && w.at-r.words[n-1].at <= 1 {
		for _, p := range compounds {
			if r.words[n-1].class.meets(p.first) && w.class.meets(p.second) {
				w.class = w.class.or(p.means)
			}
		}
	}
	r.words = append(r.words, w)
}

// meaning looks a word up: as it is spelled, and with digits and signs read as the
// letters that they stand for.
func meaning(piece string) (c class, disguised bool) {
	var buffer [maxWord]byte
	b := buffer[:0]
	letters, signs := 0, 0
	for i := range len(piece) {
		switch ch := piece[i]; {
		case 'A' <= ch && ch <= 'Z':
			b, letters = append(b, ch|0x20), letters+1
		case ch == '\'':
		case ch >= 0x80 || 'a' <= ch && ch <= 'z':
			b, letters = append(b, ch), letters+1
		default:
			b, signs = append(b, ch), signs+1
		}
	}
	if c = lexicon[string(b)]; c != none || signs == 0 || letters == 0 {
		if letters > 0 && !isASCII(piece) && c == none {
			c = lexicon[strings.ToLower(strings.ReplaceAll(piece, "’", ""))]
		}
		return c, false
	}
	for _, one := range "il" {
		for i, ch := range b {
			if stands := leet[ch]; stands != 0 {
				buffer[i] = stands
			}
			if ch == '1' {
				buffer[i] = byte(one)
			}
		}
		if c = lexicon[string(buffer[:len(b)])]; c != none {
			return c, true
		}
		copy(buffer[:], strings.ToLower(strings.ReplaceAll(piece, "'", "")))
	}
	return none, false
}

// leet are digits and signs that are written for letters.
var leet = [256]byte{'0': 'o', '1': 'i', '3': 'e', '4': 'a', '5': 's', '7': 't', '8': 'b', '@': 'a', '$': 's'}

// thing says what a chunk as a whole names: an address, a file with secrets.
func thing(chunk string) (c class) {
	if len(chunk) < 4 || len(chunk) > 1024 || chunk[0] != '+' && !strings.ContainsAny(chunk[:len(chunk)-1], "./@_") {
		return none
	}
	lower := strings.ToLower(chunk)
	if strings.Contains(lower, "http://") || strings.Contains(lower, "https://") || strings.Contains(lower, "ftp://") {
		c = c.or(classOf["url"])
	}
	if at := strings.IndexByte(lower, '@'); at > 0 && strings.IndexByte(lower[at:], '.') > 1 && c == none && !documentation(lower[at+1:]) {
		c = c.or(classOf["email"])
	}
	if chunk[0] == '+' && digits(chunk) >= 8 {
		c = c.or(classOf["phone"])
	}
	for _, f := range secretFiles {
		if len(f.needle) <= len(lower) && standsAlone(lower, f.needle) {
			c = c.or(f.class)
		}
	}
	return c
}

// standsAlone reports whether part is in a text, and not in the middle of a word:
// ".env" is not in "process.env", nor "id_rsa" in "invalid_rsa".
func standsAlone(text, part string) bool {
	i := strings.Index(text, part)
	if i < 0 {
		return false
	}
	end := i + len(part)
	return (i == 0 || !isAlphanumeric(text[i-1])) && (end == len(text) || !isAlphanumeric(text[end]))
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// documentation reports whether a host is one that examples use.
func documentation(host string) bool {
	host = strings.TrimRight(host, ".,;:!?)]}>'\"`")
	switch host {
	case "example.com", "example.org", "example.net", "contoso.com", "company.com", "domain.com", "email.com", "yourdomain.com", "acme.com":
		return true
	}
	return false
}

func digits(s string) (n int) {
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			n++
		}
	}
	return n
}

// maxPhrase bounds how often one phrase is looked for in a chunk.
const maxPhrase = 8

// phrases reads languages that are written without blanks.
func (r *reader) phrases(chunk string, start, end int) {
	if !strings.ContainsFunc(chunk, func(c rune) bool {
		return unicode.In(c, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
	}) {
		return
	}
	var found []word
	for _, p := range unspaced {
		for from, n := 0, 0; n < maxPhrase; n++ {
			i := strings.Index(chunk[from:], p.text)
			if i < 0 {
				break
			}
			found = append(found, word{class: p.class, start: start + from + i, end: start + from + i + len(p.text)})
			from += i + len(p.text)
		}
	}
	slices.SortFunc(found, func(a, b word) int { return cmp.Compare(a.start, b.start) })
	for _, w := range found {
		r.at++
		w.at = r.at
		r.words = append(r.words, w)
	}
}
