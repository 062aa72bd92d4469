package policy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/warder-gateway/warder/internal/principal"
)

// Facts are what only a call can tell: conditions may read them, nothing else does.
// The zero value has none.
type Facts struct {
	// Arguments is the JSON object that the client sent with tools/call or
	// prompts/get; nil if it sent none, which is the same as an empty object. Of
	// resources/read the arguments are {uri}, and other methods have none, whatever
	// is here. It is read only if a condition asks, and never kept.
	Arguments []byte
	// Client is what the client says of itself.
	Client Client
	// Now is the time of the call; the zero time is an absent one.
	Now time.Time
}

// Client is what a client says of itself: claims, which nobody verified. An empty
// field is an absent attribute.
type Client struct {
	Name, Version string
}

// evaluation is what conditions are evaluated on, one after another, in one
// decision. It belongs to one goroutine.
type evaluation struct {
	principal *principal.Principal
	target    *Target
	method    string
	// facts is never nil; sent says that there is a call, so that a method which has
	// arguments has them.
	facts *Facts
	sent  bool

	arguments any    // decoded, once asked for
	spent     uint64 // by open conditions
}

// noFacts are those of a decision without a call.
var noFacts Facts

func newEvaluation(p *principal.Principal, t *Target, method string, f *Facts) *evaluation {
	if f == nil {
		return &evaluation{principal: p, target: t, method: method, facts: &noFacts}
	}
	return &evaluation{principal: p, target: t, method: method, facts: f, sent: true}
}

// ResolveName implements the activation of CEL.
func (e *evaluation) ResolveName(name string) (any, bool) {
	switch name {
	case "principal":
		return record{principalKind, e}, true
	case "tool":
		return record{toolKind, e}, true
	case "client":
		return record{clientKind, e}, true
	case "now":
		return types.Timestamp{Time: e.facts.Now}, !e.facts.Now.IsZero()
	case "arguments":
		if !e.sent || !hasArguments(e.method) {
			return nil, false
		}
		if e.arguments == nil {
			e.arguments = e.decode()
		}
		return e.arguments, true
	}
	return nil, false
}

// Parent implements the activation of CEL.
func (e *evaluation) Parent() cel.Activation { return nil }

// hasArguments reports whether requests of a method have arguments.
func hasArguments(method string) bool {
	return method == MethodCall || method == MethodGet || method == MethodRead
}

// decode returns the arguments, or an error as a value of CEL.
func (e *evaluation) decode() any {
	switch {
	case e.method == MethodRead:
		return map[string]any{"uri": types.String(e.target.Name)}
	case e.facts.Arguments == nil:
		return map[string]any{}
	}
	value, err := decodeObject(e.facts.Arguments)
	if err != nil {
		return types.WrapErr(fmt.Errorf("read arguments: %w", err))
	}
	return value
}

// maxArgumentDepth is how deep arguments may nest where a condition reads them.
const maxArgumentDepth = 64

// decodeObject reads one JSON object into what CEL takes without further ado:
// map[string]any, lists and values of its own.
func decodeObject(raw []byte) (map[string]any, error) {
	decoder := jsontext.NewDecoder(bytes.NewReader(raw))
	if decoder.PeekKind() != '{' {
		return nil, errors.New("they are not a JSON object")
	}
	value, err := decodeValue(decoder)
	if err != nil {
		return nil, err
	}
	if _, err := decoder.ReadToken(); err != io.EOF {
		return nil, errors.New("something follows the JSON object")
	}
	return value.(map[string]any), nil
}

func decodeValue(decoder *jsontext.Decoder) (any, error) {
	if decoder.StackDepth() > maxArgumentDepth {
		return nil, fmt.Errorf("they nest deeper than %d levels", maxArgumentDepth)
	}
	token, err := decoder.ReadToken()
	if err != nil {
		return nil, err
	}
	switch token.Kind() {
	case '{':
		return decodeMembers(decoder)
	case '[':
		return decodeItems(decoder)
	case '"':
		return types.String(token.String()), nil
	case '0':
		return number(token.String()), nil
	case 't', 'f':
		return types.Bool(token.Bool()), nil
	}
	return types.NullValue, nil
}

func decodeMembers(decoder *jsontext.Decoder) (any, error) {
	members := map[string]any{}
	for decoder.PeekKind() != '}' {
		name, err := decoder.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String() // The token is good for until the next one.
		if members[key], err = decodeValue(decoder); err != nil {
			return nil, err
		}
	}
	_, err := decoder.ReadToken()
	return members, err
}

func decodeItems(decoder *jsontext.Decoder) (any, error) {
	var items []ref.Val
	for decoder.PeekKind() != ']' {
		item, err := decodeValue(decoder)
		if err != nil {
			return nil, err
		}
		items = append(items, types.DefaultTypeAdapter.NativeToValue(item))
	}
	_, err := decoder.ReadToken()
	return types.NewRefValList(types.DefaultTypeAdapter, items), err
}

// number returns the value of a JSON number: of a whole one, written without
// fraction and exponent, an int or else a uint, never rounded; of another the
// nearest double. One that fits nowhere is an error to whoever uses it.
func number(text string) ref.Val {
	if !strings.ContainsAny(text, ".eE") {
		if whole, err := strconv.ParseInt(text, 10, 64); err == nil {
			return types.Int(whole)
		}
		if whole, err := strconv.ParseUint(text, 10, 64); err == nil {
			return types.Uint(whole)
		}
		return types.NewErr("a whole number of the arguments has more than 64 bits")
	}
	double, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return types.NewErr("a number of the arguments is too large")
	}
	return types.Double(double)
}
