package mcp

import (
	"errors"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// loneSurrogate is what unescapeRune returns for a \u escape that is half a character.
const loneSurrogate = -1

// unescapeRune reads the \u escape at the front of b, or two of them when they form a pair, and returns the character
// and the bytes used; 0 bytes when it is malformed.
func unescapeRune(b []byte) (r rune, n int) {
	r, ok := hex4(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, 6
	}
	low, ok := hex4(b[6:])
	if !ok {
		return loneSurrogate, 6
	}
	if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
		return loneSurrogate, 6
	}
	return r, 12
}

// hex4 reads `\uXXXX` at the front of b.
func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// appendUnescaped appends the text of a string's content, which a scanner has accepted.
func appendUnescaped(dst, content []byte) []byte {
	for i := 0; i < len(content); {
		c := content[i]
		if c != '\\' {
			dst = append(dst, c)
			i++
			continue
		}
		switch c = content[i+1]; c {
		case 'u':
			r, n := unescapeRune(content[i:])
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		}
		dst = append(dst, c)
		i += 2
	}
	return dst
}

// unquote returns the text of a string token that a scanner has accepted.
func unquote(token []byte) string {
	content := token[1 : len(token)-1]
	if i := plainRun(content); i == len(content) {
		return string(content)
	}
	return string(appendUnescaped(nil, content))
}

// String decodes a raw JSON string token, strictly: `"a\u0062"` gives ab.
func String(token []byte) (string, error) {
	if len(token) == 0 || token[0] != '"' {
		return "", errors.New("decode string: not a JSON string")
	}
	s := newScanner(token, Limits{})
	s.str()
	if s.end(); s.err != nil {
		return "", s.err
	}
	return unquote(token), nil
}

// AppendString appends s as a JSON string. Quotes, backslashes and control characters are escaped in their shortest
// form, everything else stands as it is; invalid UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\b':
			dst = append(dst, '\\', 'b')
		case r == '\f':
			dst = append(dst, '\\', 'f')
		case r == '\n':
			dst = append(dst, '\\', 'n')
		case r == '\r':
			dst = append(dst, '\\', 'r')
		case r == '\t':
			dst = append(dst, '\\', 't')
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// AppendCompact appends an accepted JSON text without the white space between its tokens. The result is one line: what
// frames messages by lines (stdio) must send nothing else.
func AppendCompact(dst, json []byte) []byte {
	quoted := false
	for i := 0; i < len(json); i++ {
		c := json[i]
		switch {
		case !quoted && isSpace(c):
			continue
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			dst = append(dst, c)
			i++
			c = json[i]
		}
		dst = append(dst, c)
	}
	return dst
}

// WriteError appends a JSON-RPC error response. An empty id is written as null, empty data (raw JSON) is left out.
func WriteError(dst, id []byte, code int, message string, data []byte) []byte {
	dst = appendHead(dst, id)
	dst = append(dst, `,"error":{"code":`...)
	dst = strconv.AppendInt(dst, int64(code), 10)
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, message)
	if len(data) > 0 {
		dst = append(dst, `,"data":`...)
		dst = append(dst, data...)
	}
	return append(dst, "}}"...)
}

// WriteResult appends a JSON-RPC response that carries result (raw JSON).
func WriteResult(dst, id, result []byte) []byte {
	dst = appendHead(dst, id)
	dst = append(dst, `,"result":`...)
	dst = append(dst, result...)
	return append(dst, '}')
}

// WriteRequest appends a JSON-RPC request, or a notification when id is empty. Empty params (raw JSON) are left out.
func WriteRequest(dst, id []byte, method string, params []byte) []byte {
	dst = append(dst, `{"jsonrpc":"2.0"`...)
	if len(id) > 0 {
		dst = append(dst, `,"id":`...)
		dst = append(dst, id...)
	}
	dst = append(dst, `,"method":`...)
	dst = AppendString(dst, method)
	if len(params) > 0 {
		dst = append(dst, `,"params":`...)
		dst = append(dst, params...)
	}
	return append(dst, '}')
}

// WriteNotification appends a JSON-RPC notification. Empty params (raw JSON) are left out.
func WriteNotification(dst []byte, method string, params []byte) []byte {
	return WriteRequest(dst, nil, method, params)
}

func appendHead(dst, id []byte) []byte {
	dst = append(dst, `{"jsonrpc":"2.0","id":`...)
	if len(id) == 0 {
		return append(dst, "null"...)
	}
	return append(dst, id...)
}
