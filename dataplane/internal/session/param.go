package session

import (
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/internal/mcp"
)

// checkParams holds the Mcp-Param-* headers of a modern call to its arguments
// (mcp.md E2): whoever routes by the header and whoever runs the call must see
// the same. Those that the tool's schema does not speak of pass, once each.
func (x *exchange) checkParams(tool *gate.Tool) *mcp.Error {
	if x.era != mcp.Modern {
		return nil
	}
	for name, values := range x.in.Header {
		if len(values) > 1 && strings.HasPrefix(name, mcp.HeaderParamPrefix) {
			return paramError(name, "stands more than once")
		}
	}
	for i := range tool.Params {
		if text := checkParam(x.in.Header, &tool.Params[i], x.argument(tool.Params[i].Path)); text != "" {
			return paramError(tool.Params[i].Header, text)
		}
	}
	return nil
}

func paramError(name, text string) *mcp.Error {
	return &mcp.Error{
		Code: mcp.CodeHeaderMismatch, Text: "header " + shown(name) + " " + text, Reason: mcp.ReasonHeader, Offset: -1,
	}
}

// argument returns the raw value at a path in the arguments, empty if there is
// none.
func (x *exchange) argument(path []string) []byte {
	value := x.req.Arguments.Of(x.in.Body)
	for _, step := range path {
		if len(value) == 0 || value[0] != '{' {
			return nil
		}
		var next []byte
		object := value
		// The message has been scanned already, so that the walk cannot fail.
		_ = mcp.Members(object, func(name string, span mcp.Span) error {
			if name == step {
				next = span.Of(object)
			}
			return nil
		})
		value = next
	}
	return value
}

// checkParam says what is wrong between one header and its argument, or
// nothing.
func checkParam(header http.Header, param *gate.Param, value []byte) string {
	sent := header[param.Header]
	if len(value) == 0 || string(value) == "null" {
		if len(sent) > 0 {
			return "is there, and its argument is not"
		}
		return ""
	}
	if len(sent) == 0 {
		return "is missing"
	}
	decoded, err := mcp.DecodeHeaderValue(sent[0])
	if err != nil {
		return "is not well-formed: " + err.Error()
	}
	if !sameValue(value, decoded) {
		return "differs from the body"
	}
	return ""
}

// sameValue compares a raw argument with what its header says. Numbers are
// compared as numbers: 42.0 is 42.
func sameValue(value []byte, said string) bool {
	switch c := value[0]; {
	case c == '"':
		text, err := mcp.String(value)
		return err == nil && text == said
	case c == 't', c == 'f':
		return string(value) == said
	case c == '-', c >= '0' && c <= '9':
		want, ok := safeInteger(string(value))
		got, said := safeInteger(said)
		return ok && said && want == got
	}
	return false
}

// safeInteger reads an integer that every client can tell from its neighbours.
func safeInteger(text string) (float64, bool) {
	if strings.Trim(text, "0123456789+-.eE") != "" {
		return 0, false // ParseFloat knows more spellings than JSON
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil && n == math.Trunc(n) && math.Abs(n) <= 1<<53-1
}
