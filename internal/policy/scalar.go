package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// wrongAt returns an error about a place in the text of a node: line and column, a
// count of characters, from 1 in the text as it was read.
func (n *node) wrongAt(line, column int, format string, args ...any) error {
	value, err := n.text()
	if err == nil {
		begins := n.begins()
		if s, found := findScalar(n.source, begins.Line, begins.Column); found && s.follow(value, line, column) {
			line, column := s.position()
			return locatedAt(line, column, n.path, fmt.Sprintf(format, args...))
		}
	}
	return n.wrong(format, args...)
}

// scalar goes through the source of a text along with the text, so that a place in
// the one is found in the other, whatever quotes, escapes, line breaks and
// indentation are between them.
type scalar struct {
	source string
	at     int
	style  byte // ', ", | or >; 0 for plain text
	indent int  // of | and >
}

// findScalar returns the scalar that begins at a place of the source.
func findScalar(source string, line, column int) (*scalar, bool) {
	source = strings.ReplaceAll(source, "\r\n", "\n") // As the parser reads it.
	s := &scalar{source: source}
	for ; line > 1; line-- {
		if !s.nextLine() {
			return nil, false
		}
	}
	for ; column > 1 && s.at < len(source); column-- {
		_, size := utf8.DecodeRuneInString(source[s.at:])
		s.at += size
	}
	if s.at >= len(source) {
		return nil, false
	}
	switch c := source[s.at]; c {
	case '\'', '"':
		s.style = c
		s.at++
	case '|', '>':
		s.style = c
		if !s.nextLine() {
			return nil, false
		}
		s.indent = leadingSpaces(strings.TrimLeft(source[s.at:], "\n"))
		s.unindent()
	}
	return s, true
}

// unindent moves behind the indentation of a line.
func (s *scalar) unindent() { s.at += min(s.indent, leadingSpaces(s.source[s.at:])) }

func leadingSpaces(text string) int { return len(text) - len(strings.TrimLeft(text, " ")) }

func (s *scalar) nextLine() bool {
	i := strings.IndexByte(s.source[s.at:], '\n')
	s.at += i + 1
	return i >= 0 && s.at < len(s.source)
}

// follow moves to a place in the text; false if source and text part before it.
func (s *scalar) follow(text string, line, column int) bool {
	l, c := 1, 1
	for _, r := range text {
		if l == line && c == column {
			break
		}
		if !s.pass(r) {
			return false
		}
		if c++; r == '\n' {
			l, c = l+1, 1
		}
	}
	return l == line && c == column
}

// pass moves behind one character of the text.
func (s *scalar) pass(r rune) bool {
	next, size := utf8.DecodeRuneInString(s.source[s.at:])
	switch {
	case s.style == '\'' && r == '\'':
		s.at += 2
		return strings.HasPrefix(s.source[s.at-2:], "''")
	case s.style == '"' && next == '\\':
		s.at += 2
		return s.at <= len(s.source) && rune(s.source[s.at-1]) == r
	case s.style == '|' && next == '\n' && r == '\n':
		s.at++
		s.unindent()
		return true
	case next == '\n' && (r == ' ' || r == '\n'):
		// Lines are folded: the break and all white space around it is one character.
		s.at = len(s.source) - len(strings.TrimLeft(s.source[s.at:], " \t\r\n"))
		return true
	}
	s.at += size
	return next == r
}

// position returns line and column, from 1.
func (s *scalar) position() (line, column int) {
	before := s.source[:s.at]
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}
