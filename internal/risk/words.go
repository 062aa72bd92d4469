package risk

import (
	"slices"
	"strings"
	"unicode"
)

// split returns the words of a name in lower case, split where letters end, at
// digits, and where case changes: "deleteFile", "delete_file" and
// "HTTPDelete2" each hold a delete. A word is whole: "thread" holds no read.
func split(name string) []string {
	var out []string
	runes := []rune(name)
	start := -1
	for i, c := range runes {
		switch {
		case !unicode.IsLetter(c):
			out, start = cut(out, runes, start, i), -1
		case start < 0:
			start = i
		case begins(runes, i):
			out, start = cut(out, runes, start, i), i
		}
	}
	return cut(out, runes, start, len(runes))
}

// begins reports whether an upper-case letter at i begins a word: after a
// lower-case one, or as the last of several before a lower-case one.
func begins(runes []rune, i int) bool {
	if !unicode.IsUpper(runes[i]) {
		return false
	}
	return unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])
}

func cut(out []string, runes []rune, start, end int) []string {
	if start < 0 {
		return out
	}
	return append(out, strings.ToLower(string(runes[start:end])))
}

// sentence is the words of a sentence in lower case, and its punctuation marks
// as words of their own.
type sentence []string

// prose returns the sentences of a text, without what it quotes and without
// names of other tools and of parameters ("delete_file", "deleteFile"): those
// are not what the tool does.
func prose(text string) []sentence {
	var out []sentence
	var current sentence
	end := func() {
		if len(current) > 0 {
			out = append(out, current)
		}
		current = nil
	}
	for i := 0; i < len(text); {
		if n := quotation(text, i); n > 0 {
			i += n
			continue
		}
		if n := token(text[i:]); n > 0 {
			if word := text[i : i+n]; !identifier(word) {
				current = append(current, strings.ToLower(strings.ReplaceAll(word, "’", "'")))
			}
			i += n
			continue
		}
		switch c := text[i]; {
		case c == '.' || c == '!' || c == '?' || c == '\n' && strings.HasPrefix(text[i:], "\n\n"):
			end()
		case c == ',' || c == ':' || c == ';' || c == '|' || c == '/':
			current = append(current, text[i:i+1])
		}
		i++
	}
	end()
	return out
}

// quotedAtMost bounds a quotation, in bytes: a quotation mark that nothing
// closes within it is taken for something else.
const quotedAtMost = 400

var quotationMarks = [...]struct{ open, close string }{{"```", "```"}, {"`", "`"}, {`"`, `"`}, {"“", "”"}, {"'", "'"}}

// quotation returns the length of the quotation at i, marks included, or 0.
func quotation(text string, i int) int {
	if c := text[i]; c != '`' && c != '"' && c != '\'' && c != "“"[0] {
		return 0
	}
	for _, marks := range quotationMarks {
		rest, found := strings.CutPrefix(text[i:], marks.open)
		if !found {
			continue
		}
		if marks.open == "'" && i > 0 && !strings.ContainsRune(" (\n[:", rune(text[i-1])) {
			return 0 // an apostrophe
		}
		if len(rest) > quotedAtMost && marks.open != "```" {
			rest = rest[:quotedAtMost]
		}
		if n := strings.Index(rest, marks.close); n >= 0 {
			return len(marks.open) + n + len(marks.close)
		}
	}
	return 0
}

// token returns the length of the word that a text begins with: letters,
// apostrophes and low lines.
func token(text string) int {
	for i, c := range text {
		inside := unicode.IsLetter(c) || c == '_' || i > 0 && (c == '\'' || c == '’' || unicode.IsDigit(c))
		if !inside {
			return i
		}
	}
	return len(text)
}

// identifier reports whether a word of a text is a name of a program's: with a
// low line, or with a capital letter after a small first one.
func identifier(word string) bool {
	first := rune(word[0])
	return strings.Contains(word, "_") || unicode.IsLower(first) && strings.ContainsFunc(word, unicode.IsUpper)
}

// stems returns a word and what it may be a form of: "deletes" and "deleting"
// of "delete", "copies" of "copy", "fetched" of "fetch", "running" of "run".
func stems(word string) []string {
	out := []string{word}
	for _, ending := range [...]struct{ cut, add string }{
		{"s", ""}, {"es", ""}, {"ies", "y"}, {"ing", ""}, {"ing", "e"}, {"ed", ""}, {"ed", "e"},
	} {
		if stem, found := strings.CutSuffix(word, ending.cut); found && len(stem) > 1 {
			out = append(out, stem+ending.add)
			if n := len(stem); ending.cut == "ing" && ending.add == "" && n > 2 && stem[n-1] == stem[n-2] {
				out = append(out, stem[:n-1])
			}
		}
	}
	return out
}

// stem returns the form of a word that is in a table, or "".
func stem[V any](word string, table map[string]V) string {
	// Most words are in no table and have none of the endings.
	if _, found := table[word]; found {
		return word
	}
	if !strings.HasSuffix(word, "s") && !strings.HasSuffix(word, "ing") && !strings.HasSuffix(word, "ed") {
		return ""
	}
	for _, form := range stems(word) {
		if _, found := table[form]; found {
			return form
		}
	}
	return ""
}

// negated reports whether what begins at i of a sentence is denied by one of
// the few words before it.
func (s sentence) negated(i int) bool {
	return slices.ContainsFunc(s[max(0, i-negationReach):i], func(word string) bool {
		return negations[word] || strings.HasSuffix(word, "n't")
	})
}

const negationReach = 4

// has reports whether words stand at i of a sentence, one after the other, each
// as it is or in another form.
func (s sentence) has(i int, words []string) bool {
	if i+len(words) > len(s) {
		return false
	}
	for n, word := range words {
		if got := s[i+n]; got != word && (begin(got) != begin(word) || !slices.Contains(stems(got), word)) {
			return false
		}
	}
	return true
}
