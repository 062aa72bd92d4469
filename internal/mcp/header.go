package mcp

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf8"
)

// Headers that repeat what the body says, in the canonical spelling of http.Header.
const (
	HeaderVersion     = "Mcp-Protocol-Version"
	HeaderMethod      = "Mcp-Method"
	HeaderName        = "Mcp-Name"
	HeaderSession     = "Mcp-Session-Id"
	HeaderParamPrefix = "Mcp-Param-"
)

// Header returns the value of a header that may stand once at most, and "" when it is absent. The map is an
// http.Header.
func Header(headers map[string][]string, name string) (string, *Error) {
	switch values := headers[name]; len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", headerError(name, "stands more than once")
}

// CheckHeaders holds the Mcp-* headers of a modern message to its body (mcp.md E2): nothing is decided on them here,
// but somebody before or behind us may. Each may stand once, and must say what the body says. A request must have
// them; a notification need not. The map is an http.Header.
//
// A name outside printable ASCII is accepted in the sentinel form, and also as it is: clients made with the Go SDK up
// to 1.8.0 send it so. Nothing can be smuggled by it, since it must be the body's name byte for byte, which is UTF-8.
//
// Mcp-Param-* depend on the schema of the tool that the name resolves to, which this package does not know.
func CheckHeaders(headers map[string][]string, req *Request) *Error {
	if err := checkHeader(headers, HeaderMethod, req.Method, !req.IsNotification(), false); err != nil {
		return err
	}
	name, named := req.Subject()
	if !named {
		_, err := Header(headers, HeaderName)
		return err
	}
	return checkHeader(headers, HeaderName, name, !req.IsNotification(), true)
}

// Subject returns what Mcp-Name must repeat: the name, URI or task that the message is about, and whether its method
// has one at all.
func (r *Request) Subject() (name string, ok bool) {
	switch r.Method {
	case MethodToolsCall, MethodPromptsGet:
		return r.Name, true
	case MethodResourcesRead:
		return r.URI, true
	case MethodTasksGet, MethodTasksUpdate, MethodTasksCancel:
		return r.TaskID, true
	}
	return "", false
}

func checkHeader(headers map[string][]string, name, want string, required, encoded bool) *Error {
	value, err := Header(headers, name)
	if err != nil {
		return err
	}
	if len(headers[name]) == 0 {
		if required {
			return headerError(name, "is missing")
		}
		return nil
	}
	if encoded && !(value == want && isRawUTF8(value)) {
		decoded, err := DecodeHeaderValue(value)
		if err != nil {
			return headerError(name, "is not well-formed: "+err.Error())
		}
		value = decoded
	}
	if value != want {
		return headerError(name, "differs from the body")
	}
	return nil
}

func headerError(name, text string) *Error {
	return newError(CodeHeaderMismatch, ReasonHeader, "header "+name+" "+text)
}

const (
	sentinelPrefix = "=?base64?"
	sentinelSuffix = "?="
)

// EncodeHeaderValue returns s as it stands in an Mcp-* header: itself where HTTP carries it unchanged, else in the
// sentinel form =?base64?…?=.
func EncodeHeaderValue(s string) string {
	if isPlainHeader(s) && !isSentinel(s) && strings.Trim(s, " \t") == s {
		return s
	}
	return sentinelPrefix + base64.StdEncoding.EncodeToString([]byte(s)) + sentinelSuffix
}

// DecodeHeaderValue undoes EncodeHeaderValue, once: a sentinel within a sentinel stays. It refuses bytes that a header
// may not carry, padding that is not exact, and content that is not UTF-8.
func DecodeHeaderValue(value string) (string, error) {
	if !isPlainHeader(value) {
		return "", errors.New("value has characters outside printable ASCII")
	}
	if !isSentinel(value) {
		return value, nil
	}
	content := value[len(sentinelPrefix) : len(value)-len(sentinelSuffix)]
	decoded, err := base64.StdEncoding.Strict().DecodeString(content)
	if err != nil {
		return "", errors.New("content of the sentinel is not base64")
	}
	if !utf8.Valid(decoded) {
		return "", errors.New("content of the sentinel is not UTF-8")
	}
	return string(decoded), nil
}

// isSentinel looks for the markers, which are lower-case and do not overlap.
func isSentinel(s string) bool {
	return len(s) >= len(sentinelPrefix)+len(sentinelSuffix) &&
		strings.HasPrefix(s, sentinelPrefix) && strings.HasSuffix(s, sentinelSuffix)
}

// isRawUTF8 reports whether s is text outside ASCII that HTTP carries as it is: no control characters, and no white
// space at its edges.
func isRawUTF8(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return !isPlainHeader(s) && utf8.ValidString(s) && strings.Trim(s, " \t") == s
}

func isPlainHeader(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c > '~') && c != '\t' {
			return false
		}
	}
	return true
}
