package finding

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is the deepest nesting that is read. The protocol needs far less.
const maxDepth = 128

// text is one string of a definition.
type text struct {
	value string
	key   bool // it is the name of a member
	// member is the name of the member that holds it, also through arrays; of a
	// key it is the key.
	member string
	// property is the name of the schema's property, or of the icon or such, that
	// it is about: the member above member.
	property string
	top      string // member of the definition that it is in
	schema   bool   // it is in a JSON Schema
	ascii    bool
	w        *walk
	small    string          // value in lower case, once it was asked for
	orders   map[string]bool // checks whose orders stand in it plainly
}

// lower returns the value in lower case.
func (t *text) lower() string {
	if t.small == "" {
		t.small = strings.ToLower(t.value)
	}
	return t.small
}

// prose reports whether a string is written for people or models, not for
// machines: it has several words.
func (t *text) prose() bool { return !t.key && strings.ContainsAny(t.value, " \n\t") }

// path returns the JSON pointer.
func (t *text) path() string { return t.w.pointer() }

// level is one object or array that is open.
type level struct {
	array bool
	name  string // of the member at hand
	index int    // of the element at hand
	count int
}

// walk goes through a definition once and hands every string to the checks.
type walk struct {
	s      *scan
	d      *jsontext.Decoder
	levels []level
	shape  shape
}

// walk reads the definition. What cannot be read is a finding.
func (s *scan) walk() {
	w := walk{s: s, d: jsontext.NewDecoder(bytes.NewReader(s.def.Raw))}
	err := w.run()
	var reason *jsontext.SyntacticError
	switch {
	case err == nil:
		return
	case errors.Is(err, errDeep):
		s.report(Finding{Check: "schema.depth", Severity: Hard, Path: w.pointer(),
			Explanation: fmt.Sprintf("It is nested more than %d levels deep; what lies deeper was not read.", maxDepth)})
	case errors.As(err, &reason):
		s.report(Finding{Check: "scan.unreadable", Severity: Hard, Path: w.pointer(),
			Explanation: "The definition is not strict JSON from here on, so that two readers may see two definitions."})
	default:
		s.report(Finding{Check: "scan.unreadable", Severity: Hard, Path: w.pointer(),
			Explanation: "The definition is not one JSON object."})
	}
}

var (
	errDeep  = errors.New("nested too deep")
	errShape = errors.New("not one object")
)

func (w *walk) run() error {
	if w.d.PeekKind() != '{' {
		return errShape
	}
	for {
		token, err := w.d.ReadToken()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if len(w.levels) == 0 && token.Kind() != '{' {
			return errShape
		}
		if err := w.token(token); err != nil {
			return err
		}
		if len(w.levels) == 0 {
			// Anything after the object is an error of the next read.
			if _, err := w.d.ReadToken(); !errors.Is(err, io.EOF) {
				return errShape
			}
			return nil
		}
	}
}

func (w *walk) token(token jsontext.Token) error {
	kind := token.Kind()
	if kind == '}' || kind == ']' {
		w.levels = w.levels[:len(w.levels)-1]
		return nil
	}
	if isName := w.step(); isName {
		name := token.String()
		w.levels[len(w.levels)-1].name = name
		w.look(name, true)
		return nil
	}
	switch kind {
	case '{', '[':
		if len(w.levels) == maxDepth {
			return errDeep
		}
		w.shape.enter(w)
		w.levels = append(w.levels, level{array: kind == '['})
	case '"':
		w.look(token.String(), false)
	}
	return nil
}

// step counts a token of the innermost level and reports whether it is a name.
func (w *walk) step() (isName bool) {
	if len(w.levels) == 0 {
		return false
	}
	l := &w.levels[len(w.levels)-1]
	l.count++
	if l.array {
		l.index = l.count - 1
		return false
	}
	return l.count%2 == 1
}

func (w *walk) look(value string, key bool) {
	t := text{value: value, key: key, w: w, top: w.levels[0].name, ascii: isASCII(value)}
	t.schema = isSchema(t.top)
	names := 0
	for i := len(w.levels) - 1; i >= 0 && names < 2; i-- {
		if w.levels[i].array {
			continue
		}
		if names++; names == 1 {
			t.member = w.levels[i].name
		} else {
			t.property = w.levels[i].name
		}
	}
	w.s.look(&t)
}

// isSchema reports whether a member of a definition holds a JSON Schema.
func isSchema(top string) bool { return top == "inputSchema" || top == "outputSchema" }

// pointerEscapes are those of RFC 6901.
var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

// pointer is the JSON pointer of the token at hand.
func (w *walk) pointer() string {
	var b strings.Builder
	for i := range w.levels {
		l := &w.levels[i]
		if l.count == 0 {
			break
		}
		b.WriteByte('/')
		if l.array {
			b.WriteString(strconv.Itoa(l.index))
			continue
		}
		b.WriteString(pointerEscapes.Replace(l.name))
	}
	return b.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
