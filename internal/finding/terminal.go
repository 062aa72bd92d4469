package finding

import (
	"fmt"
	"slices"
	"strings"
)

// lookTerminal reports the sequences by which a terminal is told what to do: ESC
// and what follows it, and the C1 controls that stand for both (security.md T-07).
func lookTerminal(s *scan, t *text) {
	if t.ascii && strings.IndexByte(t.value, 0x1b) < 0 {
		return
	}
	var kinds []string
	first, last := -1, 0
	for i := 0; len(kinds) < maxSequences; {
		next := strings.IndexAny(t.value[i:], "\x1b\u0090\u0098\u009b\u009d\u009e\u009f")
		if next < 0 {
			break
		}
		i += next
		what, n := sequence(t.value[i:])
		if first < 0 {
			first, last = i, i+n
		}
		kinds = append(kinds, what)
		i += n
	}
	if first >= 0 {
		slices.Sort(kinds)
		s.at(t, "terminal.escape", Hard, first, last, fmt.Sprintf("It holds escape sequences for terminals: %s.", strings.Join(slices.Compact(kinds), "; ")))
	}
}

// maxSequences bounds how many escape sequences of one string are told apart.
const maxSequences = 8

// introducers are the characters that begin a sequence, behind ESC or as a C1
// control of their own.
var introducers = map[rune]byte{
	'\u0090': 'P', '\u0098': 'X', '\u009b': '[', '\u009d': ']', '\u009e': '^', '\u009f': '_',
}

// sequence says what the escape sequence at the front of a text does, and how
// long it is in bytes: at least one.
func sequence(text string) (what string, n int) {
	var kind byte
	for _, r := range text {
		kind, n = introducers[r], len(string(r))
		break
	}
	if kind == 0 { // ESC
		if n = 1; len(text) == 1 {
			return "an escape character", 1
		}
		kind, n = text[1], 2
		if kind >= 0x80 {
			return "an escape character", 1
		}
	}
	switch kind {
	case '[':
		return controlSequence(text, n)
	case ']', 'P', '_', '^', 'X':
		return controlString(text, n, kind)
	}
	return "an escape character", n
}

// controlSequence reads the parameters of CSI up to its final byte.
func controlSequence(text string, n int) (string, int) {
	for ; n < len(text); n++ {
		switch c := text[n]; {
		case c >= 0x20 && c < 0x40:
			continue
		case c == 'm':
			return "colours or styles (SGR)", n + 1
		case strings.IndexByte("ABCDEFGHfdsu", c) >= 0:
			return "it moves the cursor, over what was written before", n + 1
		case c == 'J' || c == 'K':
			return "it erases what was written before", n + 1
		case c >= 0x40 && c < 0x7F:
			return "a control sequence (CSI)", n + 1
		}
		break
	}
	return "a control sequence without an end", n
}

// controlString reads a string (OSC, DCS, APC, PM, SOS) up to its terminator.
func controlString(text string, n int, kind byte) (string, int) {
	body := text[n:]
	end, size := len(body), 0
	for _, terminator := range []string{"\a", "\x1b\\", "\u009c"} {
		if i := strings.Index(body[:end], terminator); i >= 0 {
			end, size = i, len(terminator)
		}
	}
	what := map[byte]string{
		']': "an operating system command (OSC)", 'P': "a device control string (DCS)", '_': "an application command (APC)",
		'^': "a privacy message (PM)", 'X': "a string (SOS)",
	}[kind]
	number, _, _ := strings.Cut(body[:end], ";")
	switch {
	case kind != ']':
	case number == "8":
		what = "a link that hides its address (OSC 8)"
	case number == "52":
		what = "it writes into the clipboard (OSC 52)"
	case number == "0" || number == "1" || number == "2":
		what = "it sets the window's title (OSC)"
	}
	if size == 0 {
		what += ", without an end, which swallows what follows"
	}
	return what, n + end + size
}
