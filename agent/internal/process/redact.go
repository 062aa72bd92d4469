package process

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// redacted stands for what was taken out.
const redacted = "[redacted]"

// minSecret is the length from which on the value of a variable is taken for a secret. Shorter ones ("1", "dev") stand in
// innocent text everywhere.
const minSecret = 5

// credentials are what looks like one, whoever gave it.
var credentials = []struct {
	*regexp.Regexp
	with string
}{
	{regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----.*`), redacted},
	{regexp.MustCompile(`(?i)\b(bearer|basic|dpop)[ =:]+[A-Za-z0-9._~+/=-]{8,}`), "$1 " + redacted},
	{regexp.MustCompile(`(?i)\b([a-z0-9_-]*(?:api[_-]?key|secret|passw(?:or)?d|token|authorization|cookie)["']?\s*[=:]\s*["']?)[^\s"',;&]{4,}`), "$1" + redacted},
	{regexp.MustCompile(`\b(?:gh[opusr]_|github_pat_|glpat-|sk-|xox[a-z]-|wd[a-z]?_|npm_|AKIA|ASIA|AIza)[A-Za-z0-9_-]{12,}`), redacted},
	{regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?`), redacted},
	{regexp.MustCompile(`([a-z][a-z0-9+.-]*://)[^\s/@]+@`), "${1}" + redacted + "@"},
}

// redactor takes secrets out of text: the values that it was given, and what looks like a credential. It is immutable.
type redactor struct{ secrets []string }

func newRedactor(environment map[string]string) redactor {
	var secrets []string
	for _, value := range environment {
		for line := range strings.Lines(value) { // What is logged comes by the line.
			if line = strings.TrimSpace(line); len(line) >= minSecret {
				secrets = append(secrets, line)
			}
		}
	}
	// A secret that holds another one goes first.
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return redactor{slices.Compact(secrets)}
}

// line returns one line of text without secrets, and without what a terminal would obey.
func (r redactor) line(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	for _, secret := range r.secrets {
		text = strings.ReplaceAll(text, secret, redacted)
	}
	text = strings.Map(func(c rune) rune {
		if c == '\t' || isPrint(c) {
			return c
		}
		return -1
	}, text)
	for _, c := range credentials {
		text = c.ReplaceAllString(text, c.with)
	}
	return text
}

// isPrint reports whether a character shows as what it is: neither controls nor what turns the direction of text.
func isPrint(c rune) bool { return c == ' ' || unicode.IsPrint(c) }
