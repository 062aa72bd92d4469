package mcp_test

import (
	"crypto/sha256"
	"errors"
	"slices"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

func TestCanonicalDefinition(t *testing.T) {
	tests := []struct{ name, raw, want string }{
		{"names sorted, at every level", `{"b":1,"a":{"d":[{"z":1,"y":2}],"c":2}}`, `{"a":{"c":2,"d":[{"y":2,"z":1}]},"b":1}`},
		{"sorted by UTF-8 bytes, not UTF-16", "{\"\U0001F600\":1,\"\uff5e\":2,\"a\":3,\"B\":4,\"\":5}", "{\"\":5,\"B\":4,\"a\":3,\"\uff5e\":2,\"\U0001F600\":1}"},
		{"a prefix goes first", `{"ab":1,"a":2}`, `{"a":2,"ab":1}`},
		{"number tokens verbatim", `[9007199254740993,1.10,1e2,-0,12345678901234567890]`, `[9007199254740993,1.10,1e2,-0,12345678901234567890]`},
		{"no white space", " { \"a\" : [ 1 , 2 ] , \"b\" : { } , \"c\" : [ ] }\n", `{"a":[1,2],"b":{},"c":[]}`},
		{"one spelling of a string", `["\u0041\/\u00e9\ud83d\ude00\t\u0009\u001f\"\\"]`, "[\"A/é\U0001F600\\t\\t\\u001f\\\"\\\\\"]"},
		{"names sorted as they read", `{"b":1,"\u0061":2}`, `{"a":2,"b":1}`},
		{"hidden characters stay", "{\"a\":\"x\u200b\u202e\"}", "{\"a\":\"x\u200b\u202e\"}"},
		{"a string", `"instructions"`, `"instructions"`},
		{"literals", `[true,false,null]`, `[true,false,null]`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := mcp.CanonicalDefinition([]byte(test.raw))
			if err != nil || string(got) != test.want {
				t.Errorf("CanonicalDefinition = %s, %v\nwant %s", got, err, test.want)
			}
		})
	}
}

func TestCanonicalDefinitionRefuses(t *testing.T) {
	for body, reason := range map[string]mcp.Reason{
		`{"a":1,"a":2}`:               mcp.ReasonDuplicate,
		`{"a":1,"\u0061":2}`:          mcp.ReasonDuplicate,
		`{"x":[{"a":1,"b":2,"a":3}]}`: mcp.ReasonDuplicate,
		`{} {}`:                       mcp.ReasonTrailing,
		``:                            mcp.ReasonSyntax,
		`{"a":}`:                      mcp.ReasonSyntax,
		`[1,]`:                        mcp.ReasonSyntax,
		`[`:                           mcp.ReasonSyntax,
		`{"a":"\ud800"}`:              mcp.ReasonEncoding,
		"\xef\xbb\xbf{}":              mcp.ReasonBOM,
	} {
		got, err := mcp.CanonicalDefinition([]byte(body))
		if refused, ok := errors.AsType[*mcp.Error](err); !ok || refused.Reason != reason {
			t.Errorf("CanonicalDefinition(%s) = %s, %v, want %s", body, got, err, reason)
		}
		if _, err := mcp.DefinitionHash([]byte(body)); err == nil {
			t.Errorf("DefinitionHash(%s) gave a hash", body)
		}
	}
}

// TestT03_HashPinsEveryByteThatMatters: what changes the meaning changes the hash, and nothing else does.
func TestT03_HashPinsEveryByteThatMatters(t *testing.T) {
	hash := func(raw string) [32]byte {
		sum, err := mcp.DefinitionHash([]byte(raw))
		if err != nil {
			t.Fatalf("DefinitionHash(%s): %v", raw, err)
		}
		return sum
	}
	const base = `{"name":"a","inputSchema":{"maximum":9007199254740993}}`
	if want := sha256.Sum256([]byte(`warder/def/v1{"inputSchema":{"maximum":9007199254740993},"name":"a"}`)); hash(base) != want {
		t.Error("hash is not SHA-256 of domain and canonical form")
	}
	if hash(base) != hash(` {"inputSchema" : {"maximum":9007199254740993}, "n\u0061me":"a"}`) {
		t.Error("order, space or escapes change the hash")
	}
	for _, other := range []string{
		`{"name":"a","inputSchema":{"maximum":9007199254740992}}`,
		`{"name":"a","inputSchema":{"maximum":9007199254740993.0}}`,
		`{"name":"a ","inputSchema":{"maximum":9007199254740993}}`,
		`{"name":"a","inputSchema":{"maximum":9007199254740993},"x-unknown":null}`,
		`{"name":"a","inputSchema":{"maximum":"9007199254740993"}}`,
		`{"name":"A","inputSchema":{"maximum":9007199254740993}}`,
	} {
		if hash(base) == hash(other) {
			t.Errorf("%s hashes like %s", other, base)
		}
	}
}

func TestMembersAndElements(t *testing.T) {
	const raw = ` {"tools":[{"name":"a"}, {"name":"b"} ],"n\u0065xt":"c"} `
	var names []string
	err := mcp.Members([]byte(raw), func(name string, value mcp.Span) error {
		names = append(names, name+"="+string(value.Of([]byte(raw))))
		if name != "tools" {
			return nil
		}
		list := value.Of([]byte(raw))
		return mcp.Elements(list, func(element mcp.Span) error {
			names = append(names, string(element.Of(list)))
			return nil
		})
	})
	want := []string{`tools=[{"name":"a"}, {"name":"b"} ]`, `{"name":"a"}`, `{"name":"b"}`, `next="c"`}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("visited %q, %v, want %q", names, err, want)
	}
}

func TestWalksEndWithTheError(t *testing.T) {
	stop := errors.New("stop")
	visits := 0
	if err := mcp.Members([]byte(`{"a":1,"b":2}`), func(string, mcp.Span) error { visits++; return stop }); err != stop || visits != 1 {
		t.Errorf("Members = %v after %d visits, want stop after 1", err, visits)
	}
	if err := mcp.Elements([]byte(`[1,2]`), func(mcp.Span) error { visits++; return stop }); err != stop || visits != 2 {
		t.Errorf("Elements = %v after %d visits, want stop after 1", err, visits-1)
	}
	ignore := func(string, mcp.Span) error { return nil }
	for body, reason := range map[string]mcp.Reason{
		`{"a":1,"a":2}`: mcp.ReasonDuplicate, `[]`: mcp.ReasonShape, `{"a":1`: mcp.ReasonSyntax, `{}x`: mcp.ReasonTrailing, ``: mcp.ReasonSyntax,
	} {
		err := mcp.Members([]byte(body), ignore)
		if refused, ok := errors.AsType[*mcp.Error](err); !ok || refused.Reason != reason {
			t.Errorf("Members(%s) = %v, want %s", body, err, reason)
		}
	}
	for body, reason := range map[string]mcp.Reason{`{}`: mcp.ReasonShape, `[1`: mcp.ReasonSyntax, `[1]]`: mcp.ReasonTrailing, `[01]`: mcp.ReasonSyntax} {
		err := mcp.Elements([]byte(body), func(mcp.Span) error { return nil })
		if refused, ok := errors.AsType[*mcp.Error](err); !ok || refused.Reason != reason {
			t.Errorf("Elements(%s) = %v, want %s", body, err, reason)
		}
	}
}

func TestLegacyDefinition(t *testing.T) {
	for name, test := range map[string]struct{ definition, want string }{
		"no output schema":          {`{"name":"t","inputSchema":{"outputSchema":1}}`, ""},
		"an object":                 {`{"name":"t","outputSchema":{"properties":{}, "type" : "object"}}`, ""},
		"no object at all":          {`"x"`, ""},
		"a list":                    {`{"name":"t", "outputSchema":{"type":"array"} ,"x":12345678901234567890}`, `{"name":"t", "x":12345678901234567890}`},
		"at the end":                {`{"name":"t" , "outputSchema":{"type":"string"} }`, `{"name":"t"  }`},
		"alone":                     {`{"outputSchema":{}}`, `{}`},
		"several types":             {`{"outputSchema":{"type":["object","null"]},"a":1}`, `{"a":1}`},
		"any of several":            {`{"outputSchema":{"anyOf":[{"type":"object"}]},"a":1}`, `{"a":1}`},
		"true":                      {`{"outputSchema":true,"a":1}`, `{"a":1}`},
		"spelled with escapes":      {`{"output\u0053chema":{"type":"array"},"a":1}`, `{"a":1}`},
		"type in a deeper schema":   {`{"outputSchema":{"properties":{"type":"object"}},"a":1}`, `{"a":1}`},
		"deeper ones are no faults": {`{"inputSchema":{"properties":{"outputSchema":{"type":"array"}}},"a":1}`, ""},
	} {
		if test.want == "" {
			test.want = test.definition
		}
		if got := string(mcp.LegacyDefinition([]byte(test.definition))); got != test.want {
			t.Errorf("%s: LegacyDefinition = %s, want %s", name, got, test.want)
		}
	}
	same := []byte(`{"name":"t"}`)
	if got := mcp.LegacyDefinition(same); &got[0] != &same[0] {
		t.Error("a definition without fault was copied")
	}
}
