// Package legible makes a stranger's text fit for a terminal: what a server says of itself must neither move the cursor nor
// hide behind what the eye cannot see.
//
// What it returns is short, for tables and lists. finding.Visible is for reviews: it names each character, and no two
// texts look the same in it.
package legible

import (
	"strconv"
	"strings"
	"unicode"
)

// Text returns s with everything that a terminal would act on, or that the eye cannot see, written as an escape. Line ends
// stay.
func Text(s string) string {
	return escape(s, func(r rune) bool { return r == '\n' || shows(r) })
}

// Line is Text for a single line: line ends are escapes, too.
func Line(s string) string { return escape(s, shows) }

// shows reports whether a character shows as what it is.
func shows(r rune) bool { return unicode.IsGraphic(r) && r != unicode.ReplacementChar }

func escape(s string, safe func(rune) bool) string {
	if strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if safe(r) {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
	}
	return b.String()
}
