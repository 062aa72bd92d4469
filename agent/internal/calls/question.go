package calls

import (
	"cmp"
	"errors"
	"io"
	"strings"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
)

// maxLooked bounds how much of a message is looked at, in bytes: a larger one is known by its header alone, if that says
// what it is.
const maxLooked = 64 << 10

// question is the body of a call, which passes on what it reads and finds out what it asks.
type question struct {
	from   io.Reader
	header []tunnel.Field
	told   func(method, subject string)

	seen  []byte
	large bool
	done  bool
}

// Read implements io.Reader.
func (q *question) Read(p []byte) (int, error) {
	n, err := q.from.Read(p)
	if q.large = q.large || len(q.seen)+n > maxLooked; !q.large {
		q.seen = append(q.seen, p[:n]...)
	}
	if err != nil && !q.done {
		q.done = true
		if errors.Is(err, io.EOF) {
			q.told(q.read())
		}
		q.seen = nil
	}
	return n, err
}

// read says what was asked.
func (q *question) read() (method, subject string) {
	var m mcp.Request
	if q.large || mcp.ScanRequest(q.seen, mcp.Limits{}, &m) != nil {
		return cmp.Or(short(q.named(mcp.HeaderMethod)), "(unknown)"), short(q.named(mcp.HeaderName))
	}
	if m.IsResponse() {
		return "(answers)", ""
	}
	return short(m.Method), short(cmp.Or(m.Name, m.URI, m.TaskID, m.RefName, m.RefURI))
}

func (q *question) named(header string) string {
	for _, field := range q.header {
		if strings.EqualFold(field.Name, header) {
			return field.Value
		}
	}
	return ""
}
