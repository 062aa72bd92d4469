package uri

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/warder-gateway/warder/internal/fault"
)

// Bounds of a template. They keep what is compiled of it small, and matching fast.
const (
	maxExpressions = 32
	maxVariables   = 64
	// maxPrefixes is how long the prefixes of values ({var:3}) may be together to be
	// held to their length; those beyond may have any.
	maxPrefixes = 16
	// maxWeight bounds how many values of any length a matcher may have to follow
	// at the same time; a prefix counts by its length.
	maxWeight = 16
)

// MaxWork is how much work looking one URI up may be, as of Template.Work, all
// templates together: a few milliseconds.
const MaxWork = 64 << 10

// ErrTooMuch is the cause where a template has more expressions, variables or
// prefixes than can be matched in a short time.
var ErrTooMuch = errors.New("more than can be matched in a short time")

// Template is a compiled URI template (RFC 6570, levels 1 to 4). It is immutable.
type Template struct {
	literals []string // in this order in each match: it begins with the first, and ends with the last
	weight   int
	pattern  *regexp.Regexp
}

// ParseTemplate compiles a template. The error is fault.Invalid: it is longer than
// MaxLength, has an expression that RFC 6570 does not know, or, with ErrTooMuch as
// the cause, too many of them.
func ParseTemplate(text string) (*Template, error) {
	if text == "" || len(text) > MaxLength || !utf8.ValidString(text) {
		return nil, fault.Newf(fault.Invalid, "a URI template is 1 to %d bytes of UTF-8 text", MaxLength)
	}
	p := parser{rest: text}
	p.pattern.WriteString(`\A(?s:`)
	if err := p.parse(); err != nil {
		return nil, fault.Wrap(fault.Invalid, err.Error(), err)
	}
	p.pattern.WriteString(`)\z`)
	pattern, err := regexp.Compile(p.pattern.String())
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, "the URI template cannot be compiled", err)
	}
	return &Template{p.literals, max(p.weight, 1), pattern}, nil
}

// Matches reports whether the template may have been expanded to the URI. It
// takes time in proportion to the URI's length.
//
// Literals match exactly. An expression matches what it may expand to, with any
// of its variables left out; servers and clients are less strict than the RFC, so
// that a value may also have the characters of a path segment that need no
// encoding there, a query its variables in any order, and {var*} slashes.
func (t *Template) Matches(uri string) bool {
	return t.Work(uri) > 0 && t.pattern.MatchString(uri)
}

// Work returns how much work Matches is, as the number of bytes that it looks at:
// 0 where the literals alone tell that there is no match. Whoever asks many
// templates adds it up first, and takes a URI for one that names nothing where it
// comes to more than MaxWork.
func (t *Template) Work(uri string) int {
	first, last := t.literals[0], t.literals[len(t.literals)-1]
	rest, found := strings.CutPrefix(uri, first)
	if len(uri) > MaxLength || !found || len(t.literals) == 1 && rest != "" {
		return 0
	}
	if len(t.literals) > 1 {
		if rest, found = strings.CutSuffix(rest, last); !found {
			return 0
		}
		for _, literal := range t.literals[1 : len(t.literals)-1] {
			if _, rest, found = strings.Cut(rest, literal); !found {
				return 0
			}
		}
	}
	return t.weight * (len(uri) + 1)
}

// parser turns a template into a regular expression.
type parser struct {
	rest                   string
	pattern                strings.Builder
	expressions, variables int
	prefixes               int // lengths, together
	literals               []string
	weight                 int
}

func (p *parser) parse() error {
	for {
		literal, expression, found := strings.Cut(p.rest, "{")
		if i := strings.IndexFunc(literal, notLiteral); i >= 0 {
			return fmt.Errorf("the URI template has a character that no URI has, at %q", literal[i:])
		}
		p.pattern.WriteString(regexp.QuoteMeta(literal))
		p.literals = append(p.literals, literal)
		if !found {
			return nil
		}
		body, rest, closed := strings.Cut(expression, "}")
		if !closed {
			return fmt.Errorf("the URI template has a %q without %q", "{", "}")
		}
		if err := p.expression(body); err != nil {
			return err
		}
		p.rest = rest
	}
}

func notLiteral(c rune) bool {
	return c <= ' ' || c == 0x7f || c == utf8.RuneError || strings.ContainsRune("\"<>\\^`{|}", c)
}

// What values are made of. A text in a path segment may have more characters than
// the RFC lets a value have; none of them ends a value.
const (
	plainChar    = `[A-Za-z0-9\-._~!'()*@:$]|[^\x00-\x7f]`
	valueChar    = plainChar + `|%[0-9A-Fa-f]{2}`
	wholeChar    = plainChar + `|%[0-7][0-9A-Fa-f]|%[89A-Fa-f][0-9A-Fa-f](?:%[89ABab][0-9A-Fa-f])*` // of several bytes too
	reservedChar = valueChar + `|[/?#\[\]&+,;=]`
)

// variable is one variable of an expression.
type variable struct {
	name    string
	explode bool
	prefix  int // longest value in characters; 0: any
}

// expression writes the pattern of what stands between braces.
func (p *parser) expression(body string) error {
	operator := byte(0)
	if body != "" && strings.IndexByte("+#./;?&=,!@|", body[0]) >= 0 {
		operator, body = body[0], body[1:]
	}
	variables, err := parseVariables(body)
	if err != nil {
		return err
	}
	p.expressions++
	p.variables += len(variables)
	if p.expressions > maxExpressions || p.variables > maxVariables {
		return fmt.Errorf("the URI template has more than %d expressions or %d variables: %w", maxExpressions, maxVariables, ErrTooMuch)
	}
	if err := p.operate(operator, variables); err != nil {
		return err
	}
	if p.weight > maxWeight {
		return fmt.Errorf("the URI template has more than %d values of any length: %w", maxWeight, ErrTooMuch)
	}
	return nil
}

// operate writes the pattern of one expression, and counts what it weighs.
func (p *parser) operate(operator byte, variables []variable) error {
	switch operator {
	case 0:
		p.separated("", ",", variables)
	case '+':
		p.weight++
		p.pattern.WriteString(`(?:` + reservedChar + `)*`)
	case '#':
		p.weight++
		p.pattern.WriteString(`(?:#(?:` + reservedChar + `)*)?`)
	case '.', '/':
		p.separated(string(operator), string(operator), variables)
	case ';':
		p.named(`(?:;%s)*`, "", variables)
	case '?':
		p.named(`(?:\?(?:%[1]s(?:&%[1]s)*)?)?`, `|[+/?]`, variables)
	case '&':
		p.named(`(?:&%s)*`, `|[+/?]`, variables)
	default:
		return fmt.Errorf("the URI template has the operator %q, which has no meaning yet (RFC 6570, section 2.2)", operator)
	}
	return nil
}

// separated writes values after one another: the first after one text, those
// that follow after another.
func (p *parser) separated(first, next string, variables []variable) {
	first, next = regexp.QuoteMeta(first), regexp.QuoteMeta(next)
	for i, v := range variables {
		lead := next
		if i == 0 {
			lead = first
		}
		switch {
		case v.explode:
			// Some servers mean "and all that follows" by it, slashes too.
			p.weight++
			p.pattern.WriteString(`(?:` + lead + `(?:` + valueChar + `|[,=/]|` + next + `)*)?`)
		case v.prefix > 0 && p.prefixes+v.prefix <= maxPrefixes:
			p.prefixes += v.prefix
			p.weight += (v.prefix + 1) / 2
			p.pattern.WriteString(`(?:` + lead + `(?:` + wholeChar + `){0,` + strconv.Itoa(v.prefix) + `})?`)
		default:
			p.weight++
			p.pattern.WriteString(`(?:` + lead + `(?:` + valueChar + `|,)*)?`)
		}
	}
}

// named writes pairs of names and values by a format that takes the pattern of
// one pair. Besides those of values, more characters may be in a value.
func (p *parser) named(format, more string, variables []variable) {
	value := `(?:=(?:` + valueChar + `|,` + more + `)*)?`
	p.weight++
	names := make([]string, len(variables))
	for i, v := range variables {
		names[i] = regexp.QuoteMeta(v.name)
		if v.explode { // Its keys are the names, if it is a map.
			p.weight++
			names[i] = `(?:` + valueChar + `)+`
		}
	}
	fmt.Fprintf(&p.pattern, format, `(?:`+strings.Join(names, "|")+`)`+value)
}

// parseVariables reads the list of an expression.
func parseVariables(list string) ([]variable, error) {
	var variables []variable
	for spec := range strings.SplitSeq(list, ",") {
		v := variable{name: spec}
		if name, found := strings.CutSuffix(spec, "*"); found {
			v = variable{name: name, explode: true}
		} else if name, length, found := strings.Cut(spec, ":"); found {
			n, err := strconv.ParseUint(length, 10, 16)
			if err != nil || n == 0 || n >= 10_000 {
				return nil, fmt.Errorf("the URI template has %q, whose length is not 1 to 9999", spec)
			}
			v = variable{name: name, prefix: int(n)}
		}
		if !isName(v.name) {
			return nil, fmt.Errorf("the URI template has %q where a variable is due", spec)
		}
		variables = append(variables, v)
	}
	return variables, nil
}

// isName takes, besides the names of the RFC, hyphens, which servers use.
func isName(name string) bool {
	for i := range len(name) {
		if c := name[i]; !isUnreserved(c) && c != '%' || c == '~' {
			return false
		}
	}
	return name != ""
}
