package listener

import (
	"net/http"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/mcp"
)

// TestT35 holds Mcp-Param-* headers to the arguments they repeat.
func TestT35_ParamHeadersMustSayWhatTheBodySays(t *testing.T) {
	tests := []struct {
		name, arguments string
		header          [][2]string
		good            bool
	}{
		{"both right", `{"city":"Bern","at":{"n":42}}`, [][2]string{{"City", "Bern"}, {"N", "42"}}, true},
		{"number in another spelling", `{"at":{"n":42.0}}`, [][2]string{{"N", "42"}}, true},
		{"sentinel", `{"city":"Zürich"}`, [][2]string{{"City", mcp.EncodeHeaderValue("Zürich")}}, true},
		{"null, no header", `{"city":null}`, nil, true},
		{"absent, no header", `{}`, nil, true},
		{"header of nobody", `{}`, [][2]string{{"Other", "x"}}, true},
		{"missing", `{"city":"Bern"}`, nil, false},
		{"differs", `{"city":"Bern"}`, [][2]string{{"City", "bern"}}, false},
		{"extra", `{}`, [][2]string{{"City", "Bern"}}, false},
		{"extra for null", `{"city":null}`, [][2]string{{"City", "null"}}, false},
		{"twice", `{"city":"Bern"}`, [][2]string{{"City", "Bern"}, {"City", "Bern"}}, false},
		{"header of nobody twice", `{}`, [][2]string{{"Other", "x"}, {"Other", "y"}}, false},
		{"bad sentinel", `{"city":"Bern"}`, [][2]string{{"City", "=?base64?QmVybg?="}}, false},
		{"sentinel within a sentinel", `{"city":"Bern"}`, [][2]string{{"City", mcp.EncodeHeaderValue(mcp.EncodeHeaderValue("Bérn"))}}, false},
		{"hexadecimal", `{"at":{"n":16}}`, [][2]string{{"N", "0x10"}}, false},
		{"number that has neighbours", `{"at":{"n":9007199254740993}}`, [][2]string{{"N", "9007199254740993"}}, false},
		{"string for a number", `{"at":{"n":"42"}}`, [][2]string{{"N", "42"}}, true},
		{"object", `{"city":{"a":1}}`, [][2]string{{"City", "x"}}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := open(t)
			m := d.modern("tools/call", "git__look", `"name":"git__look","arguments":`+test.arguments)
			for _, pair := range test.header {
				m.header.Add("Mcp-Param-"+pair[0], pair[1])
			}
			got := d.send(m)
			if test.good {
				if got.status != http.StatusOK || got.Error.Code != 0 {
					t.Errorf("got %d %+v", got.status, got.Error)
				}
				return
			}
			if got.status != http.StatusBadRequest || got.Error.Code != mcp.CodeHeaderMismatch {
				t.Errorf("got %d %+v; want 400, %d", got.status, got.Error, mcp.CodeHeaderMismatch)
			}
			d.refusal()
		})
	}
}

func TestLegacyParamHeadersMeanNothing(t *testing.T) {
	d := open(t)
	m := d.legacy(strings.Replace(call, "git__get", "git__look", 1))
	m.set("Mcp-Param-City", "Bern")
	if got := d.send(m); got.status != http.StatusOK || got.Error.Code != 0 {
		t.Errorf("got %d %+v", got.status, got.Error)
	}
}
