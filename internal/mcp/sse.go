package mcp

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// ErrEventTooLarge is returned by SSEReader.Next for an event beyond the reader's limit. The stream is then useless.
var ErrEventTooLarge = errors.New("read event: larger than the limit")

// Event is one block of a stream of server-sent events: what stands between two empty lines. A block with nothing but
// comments is an Event too, because a keep-alive has to be passed on.
type Event struct {
	Type       []byte // the event field; empty means message
	Data       []byte // data lines, joined by LF
	HasData    bool   // there was a data line, even if it was empty
	ID         []byte
	HasID      bool   // there was an id field, even if it was empty
	Retry      []byte // digits: milliseconds to wait before reconnecting
	Comment    []byte // comment lines without their colon, joined by LF
	HasComment bool
}

// SSEReader reads events from a stream. Lines end in LF, CR or CRLF; a CR is enough to end an event, so that nothing
// waits for an LF that may not come.
type SSEReader struct {
	r       io.Reader
	limit   int
	chunk   []byte
	buf     []byte // of chunk: read and not consumed
	line    []byte
	event   Event
	size    int  // bytes of the event at hand
	started bool // past the place of a byte order mark
	afterCR bool // an LF at the front of buf belongs to the line before
	quota   Quota
}

// Quota says whether there is room for a large event. It is asked again and again while an event of more than 64 KiB
// grows, with the bytes that it has; an error comes back from Next.
type Quota interface{ Grow(size int) error }

// SetQuota has the reader ask before it reads large events, until it is reset.
func (r *SSEReader) SetQuota(quota Quota) { r.quota = quota }

// How much is read of a stream at a time, in bytes.
const (
	sseChunk      = 8 << 10
	sseQuietChunk = 1 << 10
)

// NewSSEReader returns a reader that refuses events of more than limit bytes, line ends not counted.
func NewSSEReader(r io.Reader, limit int) *SSEReader {
	return &SSEReader{r: r, limit: limit, chunk: make([]byte, sseChunk)}
}

// NewQuietSSEReader returns one that holds little, for a stream that is open for long and says little.
func NewQuietSSEReader(r io.Reader, limit int) *SSEReader {
	return &SSEReader{r: r, limit: limit, chunk: make([]byte, sseQuietChunk)}
}

// keptEvent is what a reader keeps of its buffers for the next event, in bytes: one large event is not paid for ever
// after.
const keptEvent = 64 << 10

// Reset makes the reader read another stream from its beginning, with the buffers and the limit that it has. Slices of
// the last event are no longer valid.
func (r *SSEReader) Reset(stream io.Reader) {
	r.shrink()
	line, data := r.line[:0], r.event.Data[:0]
	*r = SSEReader{r: stream, limit: r.limit, chunk: r.chunk, line: line, event: Event{Data: data}}
}

// shrink gives up buffers that a large event made grow.
func (r *SSEReader) shrink() {
	if e := &r.event; max(cap(r.line), cap(e.Data), cap(e.Type), cap(e.ID), cap(e.Retry), cap(e.Comment)) > keptEvent {
		r.line, r.event = nil, Event{}
	}
}

// Next returns the next event. Its slices are valid until the next call. At the end of the stream it returns io.EOF,
// or io.ErrUnexpectedEOF if the stream broke off within an event, which is then lost, as the standard wants it.
func (r *SSEReader) Next() (Event, error) {
	if err := r.Read(); err != nil {
		return Event{}, err
	}
	return r.event, nil
}

// Event returns what Read has read, until it is called again.
func (r *SSEReader) Event() *Event { return &r.event }

// Read reads the next event, as Next does. Whoever waits for long in it has a stack that is the smaller for not having
// room for an event.
func (r *SSEReader) Read() error {
	r.shrink()
	r.event.reset()
	r.size = 0
	for {
		if err := r.readLine(); err != nil {
			return err
		}
		if len(r.line) > 0 {
			r.event.field(r.line)
		} else if r.size > 0 {
			return nil
		}
	}
}

// reset makes an event one of which nothing was read yet.
func (e *Event) reset() {
	e.Type, e.Data, e.ID, e.Retry, e.Comment = e.Type[:0], e.Data[:0], e.ID[:0], e.Retry[:0], e.Comment[:0]
	e.HasData, e.HasID, e.HasComment = false, false, false
}

// readLine reads the next line, without its end, into r.line.
func (r *SSEReader) readLine() error {
	r.line = r.line[:0]
	for ended := false; !ended; {
		if err := r.fill(); err != nil {
			return err
		}
		n := lineEnd(r.buf)
		if r.size += n; r.size > r.limit {
			return ErrEventTooLarge
		}
		if r.size > keptEvent && r.quota != nil {
			if err := r.quota.Grow(r.size); err != nil {
				return err
			}
		}
		r.line = append(r.line, r.buf[:n]...)
		if ended = n < len(r.buf); ended {
			r.afterCR = r.buf[n] == '\r'
			n++
		}
		r.buf = r.buf[n:]
	}
	if !r.started {
		r.started = true
		if rest, marked := bytes.CutPrefix(r.line, []byte("\xef\xbb\xbf")); marked {
			r.line, r.size = rest, len(rest)
		}
	}
	return nil
}

// lineEnd returns the offset of the first CR or LF, or len(b).
func lineEnd(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i]
	}
	if i := bytes.IndexByte(b, '\r'); i >= 0 {
		b = b[:i]
	}
	return len(b)
}

// fill reads until there is a byte to look at. It drops the LF of a CRLF whose CR has already ended a line.
func (r *SSEReader) fill() error {
	for {
		if r.afterCR && len(r.buf) > 0 {
			r.afterCR = false
			if r.buf[0] == '\n' {
				r.buf = r.buf[1:]
			}
		}
		if len(r.buf) > 0 {
			return nil
		}
		n, err := r.r.Read(r.chunk)
		r.buf = r.chunk[:n]
		if n == 0 && err != nil {
			return r.readError(err)
		}
	}
}

func (r *SSEReader) readError(err error) error {
	switch {
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("read event: %w", err)
	case r.size > 0:
		return io.ErrUnexpectedEOF
	}
	return io.EOF
}

// field files one line. Fields that the standard does not know are ignored.
func (e *Event) field(line []byte) {
	name, value, _ := bytes.Cut(line, []byte(":"))
	if len(name) == 0 {
		e.Comment, e.HasComment = appendLine(e.Comment, value, e.HasComment), true
		return
	}
	value = bytes.TrimPrefix(value, []byte(" "))
	switch string(name) {
	case "data":
		e.Data, e.HasData = appendLine(e.Data, value, e.HasData), true
	case "event":
		e.Type = append(e.Type[:0], value...)
	case "id":
		if bytes.IndexByte(value, 0) < 0 {
			e.ID, e.HasID = append(e.ID[:0], value...), true
		}
	case "retry":
		if isDigits(value) {
			e.Retry = append(e.Retry[:0], value...)
		}
	}
}

func isDigits(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
	}
	return len(b) > 0
}

func appendLine(dst, line []byte, more bool) []byte {
	if more {
		dst = append(dst, '\n')
	}
	return append(dst, line...)
}

// RetryAfter returns how long the server wants its client to wait before reconnecting, an hour at most; 0 when it did
// not say.
func (e *Event) RetryAfter() time.Duration {
	if len(e.Retry) == 0 {
		return 0
	}
	ms, err := strconv.ParseInt(string(e.Retry), 10, 64)
	if err != nil || ms > maxRetry.Milliseconds() {
		return maxRetry
	}
	return time.Duration(ms) * time.Millisecond
}

const maxRetry = time.Hour

// AppendEvent appends one JSON-RPC message as an event, with its id and the time to wait before reconnecting, in whole
// milliseconds, if they are not zero. The message may come in parts. Line ends between its tokens, which are the only
// ones that JSON allows, become line ends between data lines. An id that does not fit on one line is left out.
//
// Without data it is a priming event (2025-11-25): an id to resume from, and no message. It has no type then, so that
// nobody takes it for a message.
func AppendEvent(dst []byte, id string, retry time.Duration, data ...[]byte) []byte {
	start := len(dst)
	dst = append(dst, "event: message\n"...)
	head := len(dst)
	if id != "" && !strings.ContainsAny(id, "\r\n\x00") {
		dst = append(append(append(dst, "id: "...), id...), '\n')
	}
	if ms := retry.Milliseconds(); ms > 0 {
		dst = append(strconv.AppendInt(append(dst, "retry: "...), ms, 10), '\n')
	}
	dst = append(dst, "data: "...)
	body := len(dst)
	for _, part := range data {
		dst = appendLines(dst, part)
	}
	if len(dst) == body {
		dst = append(dst[:start], dst[head:]...)
	}
	return append(dst, "\n\n"...)
}

// appendLines appends text, with the field's name after each line end in it.
func appendLines(dst, text []byte) []byte {
	for {
		n := lineEnd(text)
		dst = append(dst, text[:n]...)
		if n == len(text) {
			return dst
		}
		dst = append(dst, "\ndata: "...)
		if text[n] == '\r' && n+1 < len(text) && text[n+1] == '\n' {
			n++
		}
		text = text[n+1:]
	}
}
