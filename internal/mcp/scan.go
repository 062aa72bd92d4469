package mcp

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// DefaultDepth is the deepest nesting of a message when Limits says nothing; the message itself is level one.
const DefaultDepth = 128

// Limits bound what a scan accepts. The caller bounds the size.
type Limits struct {
	Depth int // deepest nesting of objects and arrays; 0 means DefaultDepth
}

// Span is a half-open byte range of the scanned body. The zero Span means "not there": no member starts at byte zero.
type Span struct{ Start, End int }

// Of returns the bytes of b that the span covers, sharing b's memory.
func (s Span) Of(b []byte) []byte { return b[s.Start:s.End:s.End] }

// Empty reports whether the span covers nothing.
func (s Span) Empty() bool { return s.Start >= s.End }

// scanner reads one JSON text. The first error sticks, and every method is a no-op after it.
//
// It is stricter than RFC 8259 where parsers are known to differ: every object is checked for duplicate names
// (compared unescaped), and strings must be well-formed in UTF-8 and in UTF-16 escapes.
type scanner struct {
	b     []byte
	pos   int
	depth int
	max   int
	err   *Error
	names nameStack

	// What the scan fills in: one of the two, or neither.
	req  *Request
	resp *Response
}

func newScanner(b []byte, limits Limits) scanner {
	if limits.Depth <= 0 {
		limits.Depth = DefaultDepth
	}
	return scanner{b: b, max: limits.Depth}
}

func (s *scanner) fail(code int, reason Reason, at int, text string) {
	if s.err == nil {
		s.err = newError(code, reason, text)
		s.err.Offset = at
	}
}

func (s *scanner) syntax(text string) { s.fail(CodeParse, ReasonSyntax, s.pos, text) }

// begin refuses a byte order mark and skips to the first byte of the value.
func (s *scanner) begin() {
	if bytes.HasPrefix(s.b, []byte("\xef\xbb\xbf")) {
		s.fail(CodeParse, ReasonBOM, 0, "body starts with a byte order mark")
		return
	}
	s.space()
	if s.pos == len(s.b) {
		s.syntax("body is empty")
	}
}

// end refuses anything but white space after the value.
func (s *scanner) end() {
	if s.err != nil {
		return
	}
	if s.space(); s.pos != len(s.b) {
		s.fail(CodeParse, ReasonTrailing, s.pos, "bytes after the JSON value")
	}
}

func (s *scanner) space() {
	for s.pos < len(s.b) && isSpace(s.b[s.pos]) {
		s.pos++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// peek returns the byte at hand, or 0 at the end. A zero byte is valid nowhere outside a value, so the two need no
// telling apart.
func (s *scanner) peek() byte {
	if s.pos < len(s.b) {
		return s.b[s.pos]
	}
	return 0
}

// value scans a value of any kind and returns its span without surrounding space.
func (s *scanner) value() Span {
	if s.err != nil {
		return Span{}
	}
	s.space()
	start := s.pos
	switch c := s.peek(); {
	case c == '"':
		s.str()
	case c == '{':
		s.anyObject()
	case c == '[':
		s.array()
	case c == '-' || isDigit(c):
		s.number()
	default:
		s.literal()
	}
	if s.err != nil {
		return Span{}
	}
	return Span{start, s.pos}
}

func (s *scanner) literal() {
	for _, word := range [...]string{"true", "false", "null"} {
		if rest := s.b[s.pos:]; len(rest) >= len(word) && string(rest[:len(word)]) == word {
			s.pos += len(word)
			return
		}
	}
	if s.pos == len(s.b) {
		s.syntax("JSON text ends early")
		return
	}
	s.syntax("expected a JSON value")
}

func (s *scanner) array() {
	for more := s.firstElement(); more; more = s.nextElement() {
		s.value()
	}
}

// firstElement steps into the array at hand and reports whether it has an element.
func (s *scanner) firstElement() bool {
	if !s.descend() {
		return false
	}
	if s.space(); s.peek() == ']' {
		s.ascend()
		return false
	}
	return true
}

// nextElement steps over the comma after an element, or out of the array.
func (s *scanner) nextElement() bool {
	if s.err != nil {
		return false
	}
	switch s.space(); s.peek() {
	case ',':
		s.pos++
		return true
	case ']':
		s.ascend()
	default:
		s.syntax("expected ',' or ']' in an array")
	}
	return false
}

// descend consumes an opening bracket.
func (s *scanner) descend() bool {
	if s.depth++; s.depth > s.max {
		s.fail(CodeInvalidRequest, ReasonDepth, s.pos, "nested too deep")
		return false
	}
	s.pos++
	return true
}

// ascend consumes a closing bracket.
func (s *scanner) ascend() {
	s.depth--
	s.pos++
}

// object is the state of a walk over the members of one object.
type object struct {
	start   int  // offset of '{'
	base    int  // the object's first name in the stack
	count   int  // members seen
	key     Span // name of the member at hand, without quotes
	escaped bool // the name is spelled with escapes
}

// member returns the span of the member at hand, from the quote of its name to the end of a value that ends here.
func (o *object) member(end int) Span { return Span{o.key.Start - 1, end} }

// open starts a walk at '{'. The caller then alternates next and value, until next says no.
func (s *scanner) open() object {
	o := object{start: s.pos, base: s.names.n}
	s.descend()
	return o
}

// next reads the name and the colon of the next member. At the end of the object it checks the names for duplicates.
func (s *scanner) next(o *object) bool {
	if s.err != nil {
		return false
	}
	s.space()
	if s.peek() == '}' {
		s.ascend()
		s.checkNames(o.base)
		return false
	}
	if o.count > 0 {
		if s.peek() != ',' {
			s.syntax("expected ',' or '}' in an object")
			return false
		}
		s.pos++
		s.space()
	}
	o.count++
	return s.name(o)
}

func (s *scanner) name(o *object) bool {
	if s.peek() != '"' {
		s.syntax("expected the name of a member")
		return false
	}
	o.key, o.escaped = s.str()
	if s.err != nil {
		return false
	}
	s.names.push(s.b, o.key, o.escaped)
	if s.space(); s.peek() != ':' {
		s.syntax("expected ':' after the name of a member")
		return false
	}
	s.pos++
	return true
}

// anyObject scans an object whose names mean nothing to us.
func (s *scanner) anyObject() {
	o := s.open()
	for s.next(&o) {
		if s.value(); s.err != nil {
			s.err.in(string(o.key.Of(s.b)))
		}
	}
}

// str scans the string at hand. It returns the span between the quotes and whether there are escapes in it.
func (s *scanner) str() (content Span, escaped bool) {
	b, i := s.b, s.pos+1
	for {
		i += plainRun(b[i:])
		if i >= len(b) {
			s.pos = len(b)
			s.syntax("string without an end")
			return Span{}, false
		}
		switch c := b[i]; {
		case c == '"':
			content = Span{s.pos + 1, i}
			s.pos = i + 1
			return content, escaped
		case c == '\\':
			n := s.escape(i)
			if n == 0 {
				return Span{}, false
			}
			i, escaped = i+n, true
		case c < ' ':
			s.fail(CodeParse, ReasonSyntax, i, "control character in a string")
			return Span{}, false
		default:
			r, n := utf8.DecodeRune(b[i:])
			if r == utf8.RuneError && n == 1 {
				s.fail(CodeParse, ReasonEncoding, i, "invalid UTF-8")
				return Span{}, false
			}
			i += n
		}
	}
}

// plainRun returns how many bytes at the front of b stand for themselves in a string: printable ASCII but quote and
// backslash. Eight bytes go at a time: for each of the four conditions the subtraction borrows into a byte's top bit
// exactly when the lowest offending byte is reached, so the lowest set bit is right.
func plainRun(b []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		quote, slash := w^('"'*ones), w^('\\'*ones)
		hit := (w | (w - ' '*ones) | (quote-ones)&^quote | (slash-ones)&^slash) & tops
		if hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return i
}

// escape checks the escape sequence at i and returns its length, or 0 after an error. A surrogate must come as a pair.
func (s *scanner) escape(i int) int {
	rest := s.b[i:]
	if len(rest) < 2 {
		s.pos = len(s.b)
		s.syntax("string without an end")
		return 0
	}
	switch rest[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		r, n := unescapeRune(rest)
		switch {
		case n == 0:
			s.fail(CodeParse, ReasonSyntax, i, "bad \\u escape in a string")
		case r == loneSurrogate:
			s.fail(CodeParse, ReasonEncoding, i, "lone surrogate in a string")
			return 0
		}
		return n
	}
	s.fail(CodeParse, ReasonSyntax, i, "unknown escape in a string")
	return 0
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// number scans a number by the grammar of RFC 8259.
func (s *scanner) number() {
	if s.peek() == '-' {
		s.pos++
	}
	if s.peek() == '0' {
		s.pos++
	} else if !s.digits() {
		return
	}
	if s.peek() == '.' {
		s.pos++
		if !s.digits() {
			return
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		s.digits()
	}
}

// digits scans one digit or more.
func (s *scanner) digits() bool {
	start := s.pos
	for isDigit(s.peek()) {
		s.pos++
	}
	if s.pos == start {
		s.syntax("expected a digit in a number")
		return false
	}
	return true
}
