package mcp_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/mcp"
)

func TestParseCapabilities(t *testing.T) {
	tests := []struct {
		raw  string
		want mcp.Capabilities
	}{
		{`{}`, 0},
		{`{"roots":{}}`, mcp.CapRoots},
		{`{"roots":{"listChanged":true}}`, mcp.CapRoots | mcp.CapRootsListChanged},
		{`{"roots":{"listChanged":false,"x":1}}`, mcp.CapRoots},
		{`{"sampling":{}}`, mcp.CapSampling},
		{`{"sampling":{"tools":{},"context":{},"x":1}}`, mcp.CapSampling | mcp.CapSamplingTools | mcp.CapSamplingContext},
		{`{"elicitation":{}}`, mcp.CapElicitForm},
		{`{"elicitation":{"form":{"applyDefaults":true}}}`, mcp.CapElicitForm},
		{`{"elicitation":{"url":{}}}`, mcp.CapElicitURL},
		{`{"elicitation":{"form":{},"url":{}}}`, mcp.CapElicitForm | mcp.CapElicitURL},
		{`{"elicitation":{"form":null}}`, mcp.CapElicitForm},
		{`{"elicitation":null,"roots":null,"sampling":{"tools":null}}`, mcp.CapSampling},
		{`{"experimental":{"sampling":{}},"extensions":{"a/b":{}},"tasks":true,"tools":7,"Roots":{}}`, 0},
		{`{"el\u0069citation":{}}`, mcp.CapElicitForm},
	}
	for _, test := range tests {
		if got, err := mcp.ParseCapabilities([]byte(test.raw)); err != nil || got != test.want {
			t.Errorf("ParseCapabilities(%s) = %b, %v, want %b", test.raw, got, err, test.want)
		}
	}
	for _, raw := range []string{``, `[]`, `null`, `{"roots":true}`, `{"sampling":[]}`, `{"elicitation":"form"}`, `{"elicitation":{"url":true}}`, `{"roots":{},"roots":{}}`, `{"sampling":{},"sampl\u0069ng":{}}`} {
		got, err := mcp.ParseCapabilities([]byte(raw))
		if _, ok := errors.AsType[*mcp.Error](err); !ok || got != 0 {
			t.Errorf("ParseCapabilities(%s) = %b, %v, want an *Error", raw, got, err)
		}
	}
}

const allCapabilities = mcp.CapRoots | mcp.CapRootsListChanged | mcp.CapSampling | mcp.CapSamplingTools | mcp.CapSamplingContext | mcp.CapElicitForm | mcp.CapElicitURL

func TestCapabilitiesHaveTheShapeOfEachVersion(t *testing.T) {
	tests := []struct {
		caps          mcp.Capabilities
		version, want string
	}{
		{allCapabilities, mcp.Version20241105, `{"roots":{"listChanged":true},"sampling":{}}`},
		{allCapabilities, mcp.Version20250326, `{"roots":{"listChanged":true},"sampling":{}}`},
		{allCapabilities, mcp.Version20250618, `{"roots":{"listChanged":true},"sampling":{},"elicitation":{}}`},
		{allCapabilities, mcp.Version20251125, `{"roots":{"listChanged":true},"sampling":{"context":{},"tools":{}},"elicitation":{"form":{},"url":{}}}`},
		{allCapabilities, mcp.Version20260728, `{"roots":{},"sampling":{"context":{},"tools":{}},"elicitation":{"form":{},"url":{}}}`},
		{0, mcp.Version20260728, `{}`},
		{mcp.CapElicitForm, mcp.Version20251125, `{"elicitation":{"form":{}}}`},
		{mcp.CapElicitURL, mcp.Version20251125, `{"elicitation":{"url":{}}}`},
		{mcp.CapElicitURL, mcp.Version20250618, `{}`}, // it has forms only, which an empty object would promise
		{mcp.CapSampling, mcp.Version20260728, `{"sampling":{}}`},
	}
	for _, test := range tests {
		if got := string(test.caps.Append([]byte("> "), test.version)); got != "> "+test.want {
			t.Errorf("%b in %s: %s, want %s", test.caps, test.version, got, test.want)
		}
	}
}

// TestCapabilitiesComeBack: the two newest versions can say everything.
func TestCapabilitiesComeBack(t *testing.T) {
	for caps := range allCapabilities + 1 {
		if caps.Has(mcp.CapRootsListChanged) && !caps.Has(mcp.CapRoots) || caps&(mcp.CapSamplingTools|mcp.CapSamplingContext) != 0 && !caps.Has(mcp.CapSampling) {
			continue // a part without its whole cannot be said
		}
		got, err := mcp.ParseCapabilities(caps.Append(nil, mcp.Version20251125))
		if err != nil || got != caps {
			t.Errorf("%b came back as %b, %v", caps, got, err)
		}
		got, err = mcp.ParseCapabilities(caps.Append(nil, mcp.Version20260728))
		if err != nil || got != caps&^mcp.CapRootsListChanged {
			t.Errorf("modern: %b came back as %b, %v", caps, got, err)
		}
	}
}

func TestAllowsWhatWasDeclared(t *testing.T) {
	tests := []struct {
		method   string
		url      bool
		needs    mcp.Capabilities
		required string
	}{
		{mcp.MethodRootsList, false, mcp.CapRoots, `{"roots":{}}`},
		{mcp.MethodCreateMessage, false, mcp.CapSampling, `{"sampling":{}}`},
		{mcp.MethodElicit, false, mcp.CapElicitForm, `{"elicitation":{"form":{}}}`},
		{mcp.MethodElicit, true, mcp.CapElicitURL, `{"elicitation":{"url":{}}}`},
	}
	for _, test := range tests {
		if !test.needs.Allows(test.method, test.url) || (allCapabilities&^test.needs).Allows(test.method, test.url) {
			t.Errorf("%s (url: %v) does not follow from %b alone", test.method, test.url, test.needs)
		}
		if got := string(mcp.Required(test.method, test.url)); got != test.required {
			t.Errorf("Required(%s, %v) = %s, want %s", test.method, test.url, got, test.required)
		}
	}
	for _, method := range []string{"", mcp.MethodToolsCall, mcp.MethodPing, "acme/do"} {
		if allCapabilities.Allows(method, false) {
			t.Errorf("%q is allowed", method)
		}
	}
}

func TestParseServerCapabilities(t *testing.T) {
	tests := map[string]mcp.ServerCapabilities{
		`{}`: {},
		`{"tools":{"listChanged":true},"prompts":{},"resources":{"subscribe":true},"completions":{},"logging":{},"extensions":{},"tasks":[]}`: {
			Tools: true, Prompts: true, Resources: true, Subscribe: true, Completions: true, Logging: true,
		},
		`{"resources":{"subscribe":false}}`:        {Resources: true},
		`{"resources":null,"tools":null}`:          {},
		`{"experimental":{"tools":{}},"Tools":{}}`: {},
	}
	for raw, want := range tests {
		got, err := mcp.ParseServerCapabilities([]byte(raw))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("ParseServerCapabilities(%s): %v\n%s", raw, err, diff)
		}
	}
	for _, raw := range []string{``, `7`, `{"tools":true}`, `{"tools":{},"tools":{}}`} {
		if got, err := mcp.ParseServerCapabilities([]byte(raw)); err == nil || got != (mcp.ServerCapabilities{}) {
			t.Errorf("ParseServerCapabilities(%s) = %+v, %v, want an error", raw, got, err)
		}
	}
}
