package transport

import (
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Field is one header field of a request.
type Field struct{ Name, Value string }

// Block is a list of fields, checked and written once for all requests that have them. It is immutable.
type Block struct {
	bytes  []byte
	fields []Field
}

// NewBlock prepares fields in their order. It fails with ErrInvalidRequest if one of them is not allowed in a Request.
func NewBlock(fields []Field) (*Block, error) {
	b := &Block{fields: append([]Field(nil), fields...)}
	for i := range b.fields {
		if err := b.fields[i].check(); err != nil {
			return nil, err
		}
		b.bytes = appendField(b.bytes, &b.fields[i])
	}
	return b, nil
}

// Fields returns the fields in their order. The caller must not change them.
func (b *Block) Fields() []Field {
	if b == nil {
		return nil
	}
	return b.fields
}

// Request is one request to the origin of a Transport. Do keeps nothing of it.
type Request struct {
	// Method is an HTTP method in upper case.
	Method string
	// Path is an absolute path, escaped, with its query if it has one. Empty: those of the transport's URL.
	Path string
	// Header holds fields after those of Common. Names need not be in canonical spelling. Fields that are about framing
	// or the connection are refused, as are names and values that HTTP does not allow; leading and trailing blanks of a
	// value do not arrive.
	Header []Field
	// Common may be nil.
	Common *Block
	// Body is sent with its length. It must not change until Do returns, and is not read after. Nil and empty are the
	// same.
	Body []byte
	// Caller is for whom the request is. A Transport sends nothing of it; what leads to an agent tells that.
	Caller Caller
	// Quiet says that the answer is a stream which lasts long and says little: it gets a small buffer of its own.
	Quiet bool
	// Room, unless nil, is where the answer is made. It is in use until the answer is closed, and its owner forgets the
	// answer then.
	Room *Room
}

// Caller names a user to one server, and says nothing of who that is. The zero Caller is the gateway itself.
type Caller [16]byte

// Room is memory for one answer at a time. Its zero value is ready.
type Room struct{ made answer }

// answer returns the room's, or a new one where there is no room.
func (r *Room) answer() *answer {
	if r == nil {
		return new(answer)
	}
	return &r.made
}

// maxPath bounds a path with its query, in bytes.
const maxPath = 8 << 10

// Check returns why a request cannot be sent, as Do does: an error with ErrInvalidRequest in its chain.
func (r *Request) Check() error {
	if !validMethod(r.Method) {
		return invalid("%q is not a method", r.Method)
	}
	if r.Path != "" && !validPath(r.Path) {
		return invalid("the path is not an absolute, escaped one of at most %d bytes", maxPath)
	}
	for i := range r.Header {
		if err := r.Header[i].check(); err != nil {
			return err
		}
	}
	return nil
}

// validMethod refuses CONNECT as well: its answer has no body to read.
func validMethod(method string) bool {
	if method == "" || len(method) > 16 || method == "CONNECT" {
		return false
	}
	for i := range len(method) {
		if method[i] < 'A' || method[i] > 'Z' {
			return false
		}
	}
	return true
}

func validPath(path string) bool {
	if path[0] != '/' || len(path) > maxPath {
		return false
	}
	for i := range len(path) {
		if path[i] <= ' ' || path[i] >= 0x7f || path[i] == '#' {
			return false
		}
	}
	return true
}

// check returns an error that names the field but not its value, which may be a secret.
func (f *Field) check() error {
	switch {
	case !httpguts.ValidHeaderFieldName(f.Name):
		return invalid("%q is not the name of a header field", f.Name)
	case !httpguts.ValidHeaderFieldValue(f.Value):
		return invalid("the value of the header field %q has a control character", f.Name)
	case framing(f.Name):
		return invalid("the header field %q is not for callers", f.Name)
	}
	return nil
}

// framing reports whether a field is about the message's frame or the connection. Those are ours alone. With an
// idempotency key, net/http would take a request for one that may be sent again.
func framing(name string) bool {
	var reserved string
	switch len(name) {
	case 2:
		reserved = "te"
	case 4:
		reserved = "host"
	case 6:
		reserved = "expect"
	case 7:
		return strings.EqualFold(name, "upgrade") || strings.EqualFold(name, "trailer")
	case 10:
		return strings.EqualFold(name, "connection") || strings.EqualFold(name, "keep-alive")
	case 14:
		reserved = "content-length"
	case 15:
		reserved = "idempotency-key"
	case 16:
		reserved = "proxy-connection"
	case 17:
		return strings.EqualFold(name, "transfer-encoding") || strings.EqualFold(name, "x-idempotency-key")
	default:
		return false
	}
	return strings.EqualFold(name, reserved)
}

func appendField(dst []byte, f *Field) []byte {
	dst = append(dst, f.Name...)
	dst = append(dst, ": "...)
	dst = append(dst, f.Value...)
	return append(dst, "\r\n"...)
}

// appendHead appends everything of a checked request that comes before its body. The middle is what stands between
// method and fields for the transport's own path.
func (r *Request) appendHead(dst []byte, own *origin) []byte {
	dst = append(dst, r.Method...)
	if r.Path == "" {
		dst = append(dst, own.line...)
	} else {
		dst = append(dst, ' ')
		dst = append(dst, r.Path...)
		dst = append(dst, own.version...)
	}
	if r.Common != nil {
		dst = append(dst, r.Common.bytes...)
	}
	for i := range r.Header {
		dst = appendField(dst, &r.Header[i])
	}
	if len(r.Body) > 0 || r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH" {
		dst = append(dst, "Content-Length: "...)
		dst = strconv.AppendInt(dst, int64(len(r.Body)), 10)
		dst = append(dst, "\r\n"...)
	}
	return append(dst, "\r\n"...)
}
