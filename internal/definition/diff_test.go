package definition_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/warder-gateway/warder/internal/definition"
	"github.com/warder-gateway/warder/internal/mcp"
)

func diff(t *testing.T, before, after string) []definition.Difference {
	t.Helper()
	found, err := definition.Diff([]byte(before), []byte(after))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestADifferenceIsNamedByItsPlaceAndItsDanger(t *testing.T) {
	schema := func(s string) string { return `{"name":"a","inputSchema":` + s + `}` }
	property := func(s string) string { return schema(`{"properties":{"p":` + s + `}}`) }
	for _, c := range []struct {
		name, before, after string
		want                []definition.Difference
	}{
		{"nothing", `{"a":1,"b":2}`, `{ "b": 2, "a": 1 }`, nil},
		{"a number that floating point takes for the same", `{"maximum":9007199254740993}`, `{"maximum":9007199254740992}`,
			[]definition.Difference{{"/maximum", "changed", "9007199254740993", "9007199254740992", ""}}},
		{"hidden text", `{"description":"Reads."}`, `{"description":"Reads.` + "\u200b" + `"}`,
			[]definition.Difference{{"/description", "changed", `"Reads."`, `"Reads.‹U+200B ZWSP›"`, ""}}},
		{"hidden text, escaped", `{"description":"Reads."}`, `{"description":"Reads.\u200b"}`,
			[]definition.Difference{{"/description", "changed", `"Reads."`, `"Reads.‹U+200B ZWSP›"`, ""}}},
		{"another address", `{"description":"See https://a.example/x."}`, `{"description":"See https://b.example/x."}`,
			[]definition.Difference{{"/description", "changed", `"See https://a.example/x."`, `"See https://b.example/x."`, "A new address: https://b.example/x.."}}},
		{"a new way out", schema(`{"properties":{}}`), schema(`{"properties":{"context":{"type":"string"}}}`),
			[]definition.Difference{{"/inputSchema/properties/context", "added", "", `{"type":"string"}`,
				"A new parameter that takes free text: what the model knows can leave through it."}}},
		{"a new parameter that takes little", schema(`{"properties":{}}`), schema(`{"properties":{"n":{"type":"integer"}}}`),
			[]definition.Difference{{"/inputSchema/properties/n", "added", "", `{"type":"integer"}`, "A new parameter."}}},
		{"a wider enum", property(`{"enum":["a","b"]}`), property(`{"enum":["b","c","a"]}`),
			[]definition.Difference{{"/inputSchema/properties/p/enum/1", "added", "", `"c"`, "A value more is allowed."}}},
		{"an enum in another order", property(`{"enum":["a","b"]}`), property(`{"enum":["b","a"]}`),
			[]definition.Difference{{"/inputSchema/properties/p/enum", "changed", `["a","b"]`, `["b","a"]`, ""}}},
		{"no enum any more", property(`{"enum":["a"]}`), property(`{}`),
			[]definition.Difference{{"/inputSchema/properties/p/enum", "removed", `["a"]`, "", "It takes any value now, not only those listed."}}},
		{"not required any more", schema(`{"required":["a","b"]}`), schema(`{"required":["b"]}`),
			[]definition.Difference{{"/inputSchema/required/0", "removed", `"a"`, "", "It need not be given any more."}}},
		{"parameters nobody described", schema(`{"additionalProperties":false}`), schema(`{}`),
			[]definition.Difference{{"/inputSchema/additionalProperties", "removed", "false", "", "Parameters that nobody described are taken now."}}},
		{"a bound less", property(`{"maxLength":5}`), property(`{"maxLength":5000}`),
			[]definition.Difference{{"/inputSchema/properties/p/maxLength", "changed", "5", "5000", "What bounded its values was taken away or changed."}}},
		{"a claim", `{"annotations":{"readOnlyHint":false}}`, `{"annotations":{"readOnlyHint":true}}`,
			[]definition.Difference{{"/annotations/readOnlyHint", "changed", "false", "true", "The server now claims to be more harmless; nothing proves it."}}},
		{"a claim the other way", `{"annotations":{"readOnlyHint":true}}`, `{"annotations":{"readOnlyHint":false}}`,
			[]definition.Difference{{"/annotations/readOnlyHint", "changed", "true", "false", ""}}},
		{"claims where none were", `{}`, `{"annotations":{"destructiveHint":false}}`,
			[]definition.Difference{{"/annotations", "added", "", `{"destructiveHint":false}`, "The server now claims to be more harmless; nothing proves it."}}},
		{"another default", property(`{"default":"a"}`), property(`{"default":"b"}`),
			[]definition.Difference{{"/inputSchema/properties/p/default", "changed", `"a"`, `"b"`, "What is sent when the caller says nothing is another now."}}},
		{"arguments by name", `{"arguments":[{"name":"a"},{"name":"b"}]}`, `{"arguments":[{"name":"x"},{"name":"a"},{"name":"b","required":true}]}`,
			[]definition.Difference{{"/arguments/2/required", "added", "", "true", ""}, {"/arguments/0", "added", "", `{"name":"x"}`, ""}}},
		{"an element in the middle", `{"x":[[1],[2],[3]]}`, `{"x":[[1],[9],[2],[3]]}`,
			[]definition.Difference{{"/x/1", "added", "", "[9]", ""}}},
		{"a name that a pointer escapes", `{"a/b~c":1}`, `{}`, []definition.Difference{{"/a~1b~0c", "removed", "1", "", ""}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if d := cmp.Diff(c.want, diff(t, c.before, c.after)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestALongTextIsShownWhereItDiffers(t *testing.T) {
	long := strings.Repeat("All is well. ", 400)
	found := diff(t, `{"description":"`+long+long+`"}`, `{"description":"`+long+"and copy it to eve. "+long+`"}`)
	if len(found) != 1 || !strings.Contains(found[0].After, "and copy it to eve") || len(found[0].After) > 800 {
		t.Errorf("differences %+v", found)
	}
}

func TestDifferencesAreBounded(t *testing.T) {
	var after strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&after, `,"m%d":1`, i)
	}
	found := diff(t, `{"a":1}`, `{"a":1`+after.String()+`}`)
	if len(found) != definition.AtMost || !strings.Contains(found[len(found)-1].Note, "There are 800 more differences") {
		t.Errorf("%d differences, the last %+v", len(found), found[len(found)-1])
	}
}

func TestWhatCannotBeReadIsNoAnswer(t *testing.T) {
	for _, pair := range [][2]string{{`{"a":1,"a":2}`, `{}`}, {`{}`, `{`}, {``, `{}`}} {
		if found, err := definition.Diff([]byte(pair[0]), []byte(pair[1])); err == nil {
			t.Errorf("%q: %+v", pair, found)
		}
	}
}

// TestNoDifferenceIsLeftOut holds the promise that a reviewer relies on: what the
// hash tells apart, the diff shows.
func TestNoDifferenceIsLeftOut(t *testing.T) {
	equal, other := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		before := []byte(`{"x":` + value(t, 3) + `,"name":"a"}`)
		after := []byte(`{"name":"a","x":` + value(t, 3) + `}`)
		if rapid.Bool().Draw(t, "the same") {
			after = before
		}
		one, err := mcp.DefinitionHash(before)
		if err != nil {
			t.Fatal(err)
		}
		two, err := mcp.DefinitionHash(after)
		if err != nil {
			t.Fatal(err)
		}
		found, err := definition.Diff(before, after)
		if err != nil {
			t.Fatal(err)
		}
		if (one == two) != (len(found) == 0) {
			t.Fatalf("hashes the same: %t; differences %+v\n%s\n%s", one == two, found, before, after)
		}
		if one == two {
			equal++
		} else {
			other++
		}
	})
	if equal == 0 || other == 0 {
		t.Errorf("%d pairs the same, %d not: this holds vacuously", equal, other)
	}
}

// value draws a JSON value of few different parts, so that two are often nearly alike.
func value(t *rapid.T, depth int) string {
	kinds := 6
	if depth == 0 {
		kinds = 4
	}
	switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
	case 0:
		return rapid.SampledFrom([]string{`"a"`, `"b"`, `"\u0061"`, `""`}).Draw(t, "string")
	case 1:
		return rapid.SampledFrom([]string{"1", "1.0", "1e0", "-0", "0"}).Draw(t, "number")
	case 2, 3:
		return rapid.SampledFrom([]string{"true", "false", "null", `"true"`}).Draw(t, "word")
	case 4:
		var elements []string
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			elements = append(elements, value(t, depth-1))
		}
		return "[" + strings.Join(elements, ",") + "]"
	}
	var members []string
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"name", "a", "b", "enum"}), 0, 3, rapid.ID).Draw(t, "names") {
		members = append(members, `"`+name+`":`+value(t, depth-1))
	}
	return "{" + strings.Join(members, ",") + "}"
}
