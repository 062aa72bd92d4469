package listener

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
)

// accepts says which media types a client takes, and whether it would rather
// have a stream.
type accepts struct{ json, stream, prefersStream bool }

// acceptsOf reads Accept headers. None means that anything will do. Of types of
// equal weight the first counts as preferred; weights are not read, since no
// client of MCP gives any.
func acceptsOf(values []string) accepts {
	if len(values) == 0 {
		return accepts{json: true}
	}
	var a accepts
	for _, value := range values {
		for media := range strings.SplitSeq(value, ",") {
			media, _, _ = strings.Cut(media, ";")
			switch strings.ToLower(strings.TrimSpace(media)) {
			case "application/json", "application/*":
				a.json = true
			case "text/event-stream", "text/*":
				a.stream, a.prefersStream = true, !a.json
			case "*/*":
				a.json = true
			}
		}
	}
	return a
}

// isJSON reports whether the body says that it is JSON in UTF-8, as it stands.
func isJSON(header http.Header) bool {
	if encoding := header["Content-Encoding"]; len(encoding) > 0 && (len(encoding) > 1 || !strings.EqualFold(encoding[0], "identity")) {
		return false
	}
	values := header["Content-Type"]
	if len(values) != 1 {
		return false
	}
	if values[0] == "application/json" {
		return true
	}
	media, params, err := mime.ParseMediaType(values[0])
	if err != nil || media != "application/json" {
		return false
	}
	charset, named := params["charset"]
	return !named || strings.EqualFold(charset, "utf-8")
}

// body is a buffer that holds one message.
type body struct{ bytes []byte }

// bodies keeps buffers that are not in use.
type bodies struct{ pool sync.Pool }

const (
	firstBody = 8 << 10 // bytes of a new buffer
	maxKept   = 1 << 20 // larger ones are left to the collector
)

func (b *bodies) get() *body {
	if kept, ok := b.pool.Get().(*body); ok {
		return kept
	}
	return &body{bytes: make([]byte, 0, firstBody)}
}

// put takes a buffer back and wipes it: nobody finds another's message in it,
// and what wrongly kept a part of it shows.
func (b *bodies) put(used *body) {
	if cap(used.bytes) > maxKept {
		return
	}
	clear(used.bytes)
	used.bytes = used.bytes[:0]
	b.pool.Put(used)
}

// loan is what the session gets for one request, until it says that it needs it no
// more.
type loan struct {
	request session.Request
	room    upstream.Room
}

// loans keeps those that nobody has.
type loans struct{ pool sync.Pool }

func (l *loans) get() *loan {
	if kept, ok := l.pool.Get().(*loan); ok {
		return kept
	}
	return new(loan)
}

// put takes a loan back and wipes it, as bodies are.
func (l *loans) put(used *loan) {
	used.request = session.Request{}
	if cap(used.room.Body) > maxKept {
		used.room.Body = nil
	}
	clear(used.room.Body)
	used.room = upstream.Room{Body: used.room.Body[:0]}
	l.pool.Put(used)
}

// readBody reads the whole body. It trusts the announced length for a refusal
// only, never for an allocation.
func (x *exchange) readBody() (*body, *refusal) {
	if x.r.ContentLength > x.config.MaxBody {
		return nil, tooLarge
	}
	timed := timesBody(x.r.Body, x.config.BodyTime)
	if !timed {
		// A writer that has no deadlines (a test's) has no slow clients either.
		_ = x.control.SetReadDeadline(time.Now().Add(x.config.BodyTime))
	}
	buffer := x.bodies.get()
	err := buffer.fill(x.r.Body, x.config.MaxBody)
	if err == nil {
		if !timed {
			// Otherwise the deadline would end a call that takes longer.
			_ = x.control.SetReadDeadline(time.Time{})
		}
		return buffer, nil
	}
	x.bodies.put(buffer)
	switch {
	case errors.Is(err, errTooLarge):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, tooSlow
	}
	return nil, cutShort
}

// timesBody reports whether a body must arrive within so long anyhow: package
// httpserver has set the deadline, and lifts it. Deadlines cost more than reading
// a small message.
func timesBody(body io.Reader, within time.Duration) bool {
	timed, ok := body.(interface{ Within() time.Duration })
	return ok && timed.Within() <= within
}

// abandonBody is called before an answer that does not depend on the body. HTTP
// reads what is left of it first, so that the connection can be used again: that
// wait must end, and meanwhile strangers must not hold a place that a caller
// could have.
func (x *exchange) abandonBody() {
	x.leave()
	// A writer that has no deadlines (a test's) has no slow clients either.
	_ = x.control.SetReadDeadline(time.Now().Add(x.config.BodyTime))
}

var errTooLarge = errors.New("body is too large")

// fill reads to the end, at most limit bytes.
func (b *body) fill(from io.Reader, limit int64) error {
	for {
		if len(b.bytes) == cap(b.bytes) {
			b.bytes = append(b.bytes, 0)[:len(b.bytes)]
		}
		n, err := from.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		if int64(len(b.bytes)) > limit {
			return errTooLarge
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
