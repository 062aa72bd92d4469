package mcp_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/mcp"
)

// annotated returns the definition of a tool with these properties.
func annotated(properties string) []byte {
	return []byte(`{"name":"t","inputSchema":{"type":"object","properties":` + properties + `}}`)
}

func TestParamsFollowTheSchema(t *testing.T) {
	definition := annotated(`{
		"x-mcp-header":{"type":"string"}, "any":true,
		"city":{"type":"string","x-mcp-header":"city"},
		"at":{"type":"object","properties":{"z\u006fne":{"type":"integer","x-mcp-header":"tz"}}},
		"sure":{"x-mcp-h\u0065ader":"Sure","type":"boolean"}}`)
	want := []mcp.Param{
		{Header: "Mcp-Param-City", Path: []string{"city"}},
		{Header: "Mcp-Param-Tz", Path: []string{"at", "zone"}},
		{Header: "Mcp-Param-Sure", Path: []string{"sure"}},
	}
	got, err := mcp.Params(definition)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Params: %v\n%s", err, diff)
	}
	if got, err := mcp.Params(annotated(`{"a":{"type":"string"}}`)); got != nil || err != nil {
		t.Errorf("Params without annotations = %v, %v", got, err)
	}
}

func TestParamsRefuse(t *testing.T) {
	for name, properties := range map[string]string{
		"number":                   `{"a":{"type":"number","x-mcp-header":"A"}}`,
		"object":                   `{"a":{"type":"object","x-mcp-header":"A"}}`,
		"no type":                  `{"a":{"x-mcp-header":"A"}}`,
		"space":                    `{"a":{"type":"string","x-mcp-header":"A b"}}`,
		"colon":                    `{"a":{"type":"string","x-mcp-header":"A:"}}`,
		"beyond ASCII":             `{"a":{"type":"string","x-mcp-header":"ä"}}`,
		"empty":                    `{"a":{"type":"string","x-mcp-header":""}}`,
		"no string":                `{"a":{"type":"string","x-mcp-header":1}}`,
		"twice, in another case":   `{"a":{"type":"string","x-mcp-header":"A"},"b":{"properties":{"c":{"type":"string","x-mcp-header":"a"}}}}`,
		"properties are no object": `["x-mcp-header"]`,
	} {
		if got, err := mcp.Params(annotated(properties)); err == nil {
			t.Errorf("%s: Params = %v, want an error", name, got)
		}
	}
}

// Each is looked for in the arguments of every call.
func TestParamsAreBounded(t *testing.T) {
	properties := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`"p%d":{"type":"string","x-mcp-header":"P%d"}`, i, i))
		}
		return "{" + strings.Join(list, ",") + "}"
	}
	if got, err := mcp.Params(annotated(properties(32))); len(got) != 32 || err != nil {
		t.Errorf("32 parameters: %d, %v", len(got), err)
	}
	if got, err := mcp.Params(annotated(properties(33))); err == nil {
		t.Errorf("33 parameters are accepted: %d", len(got))
	}
}

func TestParamValue(t *testing.T) {
	const absent = "(absent)"
	tests := []struct{ arguments, want string }{
		{`{"a":{"b":"Zürich"}}`, "=?base64?WsO8cmljaA==?="},
		{`{"a":{"b":"plain text"}}`, "plain text"},
		{`{"a":{"b":" edge"}}`, "=?base64?IGVkZ2U=?="},
		{`{"a":{"b":"=?base64?YQ==?="}}`, "=?base64?PT9iYXNlNjQ/WVE9PT89?="},
		{`{"a":{"b":""}}`, ""},
		{`{"a":{"\u0062":"\u0041"}}`, "A"},
		{`{ "x" : 1 , "a" : { "b" : 42 } }`, "42"},
		{`{"a":{"b":-42.0}}`, "-42"},
		{`{"a":{"b":1.5e2}}`, "150"},
		{`{"a":{"b":-0}}`, "0"},
		{`{"a":{"b":9007199254740991}}`, "9007199254740991"},
		{`{"a":{"b":true}}`, "true"},
		{`{"a":{"b":false}}`, "false"},
		{`{"a":{"b":null}}`, absent},
		{`{"a":{}}`, absent},
		{`{"a":"b"}`, absent},
		{`{"b":"x"}`, absent},
		{``, absent},
	}
	param := mcp.Param{Header: "Mcp-Param-B", Path: []string{"a", "b"}}
	for _, test := range tests {
		got, present, err := param.Value([]byte(test.arguments))
		if !present {
			got = absent
		}
		if err != nil || got != test.want {
			t.Errorf("Value of %s = %q, %v, want %q", test.arguments, got, err, test.want)
		}
	}
	for _, value := range []string{`{}`, `[]`, `1.5`, `9007199254740992`, `12345678901234567890`, `-1e300`, `1e999`} {
		if got, present, err := param.Value([]byte(`{"a":{"b":` + value + `}}`)); err == nil || present {
			t.Errorf("Value of %s = %q, %v, want an error", value, got, present)
		}
	}
}
