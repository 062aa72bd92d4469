package session

import (
	"net/http"
	"strings"

	"github.com/warder-gateway/warder/internal/mcp"
)

// checkParams holds the Mcp-Param-* headers of a modern call to its arguments
// (mcp.md E2): whoever routes by the header and whoever runs the call must see
// the same. Those that the tool's schema does not speak of pass, once each.
func (x *exchange) checkParams() *mcp.Error {
	if x.era != mcp.Modern || x.req.Method != mcp.MethodToolsCall {
		return nil
	}
	for name, values := range x.in.Header {
		if len(values) > 1 && strings.HasPrefix(name, mcp.HeaderParamPrefix) {
			return paramError(name, "stands more than once")
		}
	}
	params, arguments := x.entry.Params, x.req.Arguments.Of(x.in.Body)
	for i := range params {
		if text := checkParam(x.in.Header, &params[i], params[i].Argument(arguments)); text != "" {
			return paramError(params[i].Header, text)
		}
	}
	return nil
}

func paramError(name, text string) *mcp.Error {
	return &mcp.Error{
		Code: mcp.CodeHeaderMismatch, Text: "header " + shown(name) + " " + text, Reason: mcp.ReasonHeader, Offset: -1,
	}
}

// checkParam says what is wrong between one header and its argument, or
// nothing.
func checkParam(header http.Header, param *mcp.Param, value []byte) string {
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
		want, ok := mcp.SafeInteger(string(value))
		got, said := mcp.SafeInteger(said)
		return ok && said && want == got
	}
	return false
}
