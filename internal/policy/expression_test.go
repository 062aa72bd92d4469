package policy_test

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// Conditions for the reference interpreter: an expression is generated as a tree,
// printed for the engine, and evaluated here from the tree. Nothing of this knows
// CEL but for its definition.

// fate is why an expression has no value.
type fate string

const (
	absent fate = "absent" // an attribute is not there
	broken fate = "broken" // anything else
)

// value is nil (null), bool, int64, uint64, float64, string, []value,
// map[string]value, time.Time, or a fate.
type value any

// scene is what an expression sees.
type scene struct {
	variables map[string]value // without those that are absent
}

// expression is a node of the tree.
type expression struct {
	text  string
	reads []string // variables
	value func(s *scene) value
}

func literal(text string, v value) expression {
	return expression{text, nil, func(*scene) value { return v }}
}

// path is a variable and names that follow it.
func path(names ...string) expression {
	return expression{strings.Join(names, "."), names[:1], func(s *scene) value {
		v, found := s.variables[names[0]]
		if !found {
			return absent
		}
		for _, name := range names[1:] {
			v = member(v, name)
		}
		return v
	}}
}

// member is what is called so in a value.
func member(of value, name string) value {
	switch of := of.(type) {
	case fate:
		return of
	case map[string]value:
		if v, found := of[name]; found {
			return v
		}
		return absent
	case []value:
		return broken // It has places, not names.
	}
	return absent
}

// has asks whether the last name of a path is there.
func has(names ...string) expression {
	outer := path(names[:len(names)-1]...)
	return expression{"has(" + strings.Join(names, ".") + ")", names[:1], func(s *scene) value {
		switch of := outer.value(s).(type) {
		case fate:
			return of
		case map[string]value:
			_, found := of[names[len(names)-1]]
			return found
		case []value:
			return broken
		}
		return false
	}}
}

func readsOf(a, b expression) []string { return append(append([]string{}, a.reads...), b.reads...) }

// compare is a == b and its like.
func compare(op string, a, b expression) expression {
	return expression{fmt.Sprintf("%s %s %s", a.text, op, b.text), readsOf(a, b), func(s *scene) value {
		x := a.value(s)
		y := b.value(s)
		if f, is := x.(fate); is {
			return f
		}
		if f, is := y.(fate); is {
			return f
		}
		if op == "==" {
			return same(x, y)
		}
		if op == "!=" {
			return !same(x, y)
		}
		order, comparable := orderOf(x, y)
		if !comparable {
			return broken
		}
		switch op {
		case "<":
			return order < 0
		case "<=":
			return order <= 0
		case ">":
			return order > 0
		}
		return order >= 0
	}}
}

func numeric(v value) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true // The generator keeps to numbers that are exact so.
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func same(x, y value) bool {
	if a, is := numeric(x); is {
		b, also := numeric(y)
		return also && a == b
	}
	switch x := x.(type) {
	case []value:
		y, also := y.([]value)
		if !also || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !same(x[i], y[i]) {
				return false
			}
		}
		return true
	case map[string]value:
		y, also := y.(map[string]value)
		if !also || len(x) != len(y) {
			return false
		}
		for name, v := range x {
			if other, found := y[name]; !found || !same(v, other) {
				return false
			}
		}
		return true
	}
	switch y.(type) {
	case []value, map[string]value:
		return false
	}
	return x == y
}

func orderOf(x, y value) (int, bool) {
	if a, is := numeric(x); is {
		b, also := numeric(y)
		return cmp.Compare(a, b), also
	}
	switch x := x.(type) {
	case string:
		y, also := y.(string)
		return strings.Compare(x, y), also
	case bool:
		y, also := y.(bool)
		return cmp.Compare(strconv.FormatBool(x), strconv.FormatBool(y)), also // "false" < "true"
	case time.Time:
		y, also := y.(time.Time)
		return x.Compare(y), also
	}
	return 0, false
}

// both is a && b, or a || b: what settles it wins over what failed, and of two
// failures the first counts.
func both(op string, a, b expression) expression {
	settles := op == "||"
	return expression{fmt.Sprintf("(%s %s %s)", a.text, op, b.text), readsOf(a, b), func(s *scene) value {
		var failed value
		for _, side := range []expression{a, b} {
			switch v := side.value(s).(type) {
			case bool:
				if v == settles {
					return settles
				}
			case fate:
				if failed == nil {
					failed = v
				}
			default:
				if failed == nil {
					failed = broken
				}
			}
		}
		if failed != nil {
			return failed
		}
		return !settles
	}}
}

func not(a expression) expression {
	return expression{"!(" + a.text + ")", a.reads, func(s *scene) value {
		switch v := a.value(s).(type) {
		case bool:
			return !v
		case fate:
			return v
		}
		return broken
	}}
}

func startsWith(a, b expression) expression {
	return expression{fmt.Sprintf("%s.startsWith(%s)", a.text, b.text), readsOf(a, b), func(s *scene) value {
		x, y := a.value(s), b.value(s)
		for _, v := range []value{x, y} {
			if f, is := v.(fate); is {
				return f
			}
		}
		text, is := x.(string)
		start, also := y.(string)
		if !is || !also {
			return broken
		}
		return strings.HasPrefix(text, start)
	}}
}

// in looks for a text in a list or among the names of an object.
func in(a, b expression) expression {
	return expression{fmt.Sprintf("%s in %s", a.text, b.text), readsOf(a, b), func(s *scene) value {
		x, y := a.value(s), b.value(s)
		for _, v := range []value{x, y} {
			if f, is := v.(fate); is {
				return f
			}
		}
		switch y := y.(type) {
		case []value:
			for _, v := range y {
				if same(x, v) {
					return true
				}
			}
			return false
		case map[string]value:
			_, found := y[x.(string)]
			return found
		}
		return broken
	}}
}

func size(a expression) expression {
	return expression{"size(" + a.text + ")", a.reads, func(s *scene) value {
		switch v := a.value(s).(type) {
		case fate:
			return v
		case string:
			return int64(utf8.RuneCountInString(v))
		case []value:
			return int64(len(v))
		case map[string]value:
			return int64(len(v))
		}
		return broken
	}}
}

func pick[T any](t *rapid.T, from ...T) T { return rapid.SampledFrom(from).Draw(t, "pick") }

// drawText draws an expression that is a text if it is anything.
func drawText(t *rapid.T) expression {
	return pick(t, func() expression { w := pick(t, words...); return literal(strconv.Quote(w), w) },
		func() expression {
			return pick(t, path("principal", "user"), path("principal", "application"), path("principal", "key"), path("principal", "issuer"),
				path("tool", "server"), path("tool", "name"), path("tool", "kind"), path("tool", "risk"), path("client", "name"), path("client", "version"))
		})()
}

// drawDynamic draws an expression whose type nobody knows.
func drawDynamic(t *rapid.T) expression {
	if rapid.IntRange(0, 3).Draw(t, "deep") == 0 {
		return path("arguments", pick(t, names...), pick(t, names...))
	}
	return path("arguments", pick(t, names...))
}

func drawNumber(t *rapid.T) expression {
	n := rapid.Int64Range(-3, 5).Draw(t, "number")
	if rapid.Bool().Draw(t, "half") {
		return literal(fmt.Sprintf("%d.5", n+3), float64(n+3)+0.5)
	}
	return literal(fmt.Sprint(n), n)
}

var (
	words = []string{"a", "ab", "ana", "bo", "git", "get_x", "tool", "read", "cursor", "write", "unclassified", "k1"}
	names = []string{"a", "b", "c", "uri"}
	order = []string{"==", "!=", "<", "<=", ">", ">="}
	zone  = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
)

// drawCondition draws a condition of at most so many levels.
func drawCondition(t *rapid.T, depth int) expression {
	if depth > 0 {
		switch rapid.IntRange(0, 6).Draw(t, "compound") {
		case 0, 1:
			return both("&&", drawOperand(t, depth-1), drawOperand(t, depth-1))
		case 2, 3:
			return both("||", drawOperand(t, depth-1), drawOperand(t, depth-1))
		case 4:
			return not(drawOperand(t, depth-1))
		}
	}
	switch rapid.IntRange(0, 12).Draw(t, "simple") {
	case 0:
		return compare(pick(t, order...), drawText(t), drawText(t))
	case 1:
		return compare(pick(t, order...), drawDynamic(t), drawText(t))
	case 2:
		return compare(pick(t, order...), drawDynamic(t), drawNumber(t))
	case 3:
		return compare(pick(t, order...), drawDynamic(t), drawDynamic(t))
	case 4:
		return startsWith(pick(t, drawText, drawDynamic)(t), drawText(t))
	case 5:
		return has("arguments", pick(t, names...))
	case 6:
		return has("arguments", pick(t, names...), pick(t, names...))
	case 7:
		return pick(t, has("principal", "user"), has("principal", "groups"), has("principal", "issuer"), has("client", "name"), has("tool", "server"))
	case 8:
		return in(drawText(t), pick(t, path("principal", "groups"), path("principal", "roles"), literal(`["ana", "git", "a"]`, []value{"ana", "git", "a"})))
	case 9:
		return in(drawText(t), drawDynamic(t))
	case 10:
		return compare(pick(t, order[2:]...), size(drawDynamic(t)), drawNumber(t))
	case 11:
		at := zone.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "hours")) * time.Hour)
		return compare(pick(t, order...), path("now"), literal(fmt.Sprintf("timestamp(%q)", at.Format(time.RFC3339)), at))
	}
	return pick(t, literal("true", true), literal("false", false), compare("==", drawDynamic(t), literal("null", nil)), compare("==", drawDynamic(t), literal("true", true)))
}

// drawOperand draws a condition, or something that need not be one.
func drawOperand(t *rapid.T, depth int) expression {
	if rapid.IntRange(0, 9).Draw(t, "operand") == 0 {
		return drawDynamic(t)
	}
	return drawCondition(t, depth)
}

// drawValue draws a value of arguments and prints it as JSON.
func drawValue(t *rapid.T, depth int) (value, string) {
	switch kind := rapid.IntRange(0, 8+2*depth).Draw(t, "kind"); kind {
	case 0:
		return nil, "null"
	case 1:
		return true, "true"
	case 2, 3:
		n := rapid.Int64Range(-3, 5).Draw(t, "number")
		return n, fmt.Sprint(n)
	case 4:
		n := float64(rapid.Int64Range(-3, 5).Draw(t, "number")) + 0.5
		return n, fmt.Sprint(n)
	case 5:
		return broken, "340282366920938463463374607431768211456" // fits nowhere, and fails whoever uses it
	case 6, 7, 8:
		w := pick(t, words...)
		return w, strconv.Quote(w)
	case 9:
		return drawObject(t, depth-1)
	}
	list, text := []value{}, []string{}
	for range rapid.IntRange(0, 2).Draw(t, "items") {
		v, printed := drawValue(t, 0)
		if v == broken {
			continue
		}
		list, text = append(list, v), append(text, printed)
	}
	return list, "[" + strings.Join(text, ", ") + "]"
}

func drawObject(t *rapid.T, depth int) (value, string) {
	object, text := map[string]value{}, []string{}
	for _, name := range names[:3] {
		if rapid.Bool().Draw(t, name) {
			v, printed := drawValue(t, depth)
			if v == broken && depth == 0 {
				continue // Inside of what is compared as a whole, nobody promises who notices.
			}
			object[name], text = v, append(text, strconv.Quote(name)+": "+printed)
		}
	}
	return object, "{" + strings.Join(text, ", ") + "}"
}
