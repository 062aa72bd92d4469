package credential

import (
	"bytes"
	"net/http"
	"strings"

	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/mcp"
)

// tail is how many bytes of a token's signature are looked for: enough that nothing
// else has them, and few enough that to look costs no allocation.
const tail = 32

// Carried reports whether what goes on to a server holds a credential of a client:
// an API key, whoever's, or the token that the request came with. Most of a request
// ends at the gateway, but its message and its Mcp-Param-* headers do not, and
// servers must never get one (security.md T-15, P-18): not by mistake, and not
// because some text talked a model into it. It is found as clients write it; whoever
// disguises his own credential gives it away.
//
// The request must be one that Authenticate accepted. Without Mcp-Param-* headers it
// allocates nothing.
func Carried(r *http.Request, message []byte) bool {
	text := r.Header["Authorization"][0]
	signature := strings.TrimRight(text[strings.LastIndexByte(text, '.')+1:], " ")
	if len(signature) == len(text) || len(signature) < tail {
		signature = "" // Of a key, which is found as such.
	} else {
		signature = signature[len(signature)-tail:]
	}
	if holds(message, signature) {
		return true
	}
	for name, values := range r.Header {
		if !strings.HasPrefix(name, mcp.HeaderParamPrefix) {
			continue
		}
		for _, value := range values {
			if decoded, err := mcp.DecodeHeaderValue(value); err == nil {
				value = decoded
			}
			if holds([]byte(value), signature) {
				return true
			}
		}
	}
	return false
}

// holds reports whether a text has an API key, or the end of a signature unless that
// is empty.
func holds(text []byte, signature string) bool {
	return apikey.In(text) || signature != "" && bytes.Contains(text, []byte(signature))
}
