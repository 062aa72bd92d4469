package listener

import (
	"bytes"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/session"
)

// output writes the answer of one request, and what comes before it. It begins
// as nothing; the first message, or a wait, opens an event stream if the client
// takes one, and then the answer is the last event of it.
//
// The timer of keep-alives runs beside the handler, so all writing is under mu.
type output struct {
	x *exchange

	mu     sync.Mutex
	stream bool // headers of an event stream are out
	done   bool // the answer is out, or nobody wants it
	timer  *time.Timer
	event  []byte // scratch
}

// open begins: from here on the client hears from the output every KeepAlive at
// the latest, if it takes event streams.
func (o *output) open(x *exchange) {
	o.mu.Lock() // the timer may fire before it is known here
	defer o.mu.Unlock()
	o.x = x
	if x.accepts.stream {
		o.timer = time.AfterFunc(x.config.KeepAlive, o.keepAlive)
	}
}

// Notification sends a message that comes before the answer. A client that takes
// no event streams does not get it: there is no other way to send it.
func (o *output) Notification(message []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done || !o.x.accepts.stream {
		return nil
	}
	return o.send(message)
}

// keepAlive sends a comment, which clients and proxies count as a sign of life.
func (o *output) keepAlive() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done {
		return
	}
	o.begin()
	if err := o.flush([]byte(": keep-alive\n\n")); err != nil {
		// The request's context ends with its connection, and the call with it.
		o.done = true
		return
	}
	o.timer.Reset(o.x.config.KeepAlive)
}

// finish writes the answer.
func (o *output) finish(answer *session.Answer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done {
		return
	}
	o.done = true
	switch {
	case o.stream || !o.x.accepts.json && answer.Size() > 0 && answer.Status == http.StatusOK:
		// A client that cannot be written to has gone; its call is over anyway.
		_ = o.send(answer.Parts[:]...)
	case answer.Size() == 0:
		o.x.w.WriteHeader(answer.Status)
	default:
		o.x.writeJSON(answer.Status, answer.Parts[:]...)
	}
}

// close stops the timer; nothing is written after it.
func (o *output) close() {
	if o.timer != nil {
		o.timer.Stop()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done = true
}

// begin sends the headers of an event stream, once.
func (o *output) begin() {
	if o.stream {
		return
	}
	o.stream = true
	header := o.x.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-cache, no-transform")
	header.Set("X-Accel-Buffering", "no")
	o.x.w.WriteHeader(http.StatusOK)
}

// send writes one message as one event.
func (o *output) send(parts ...[]byte) error {
	o.begin()
	o.event = append(o.event[:0], "event: message\ndata: "...)
	for _, part := range parts {
		o.event = appendData(o.event, part)
	}
	return o.flush(append(o.event, "\n\n"...))
}

// appendData appends a part of a message. A line break within, which JSON has
// between tokens only, begins a new line of data, and reads as a line break
// again.
func appendData(dst, part []byte) []byte {
	for {
		i := bytes.IndexAny(part, "\r\n")
		if i < 0 {
			return append(dst, part...)
		}
		dst = append(append(dst, part[:i]...), "\ndata: "...)
		part = part[i+1:]
	}
}

// flush writes and sends at once.
func (o *output) flush(text []byte) error {
	o.x.timeWrites()
	defer o.x.untimeWrites()
	if _, err := o.x.w.Write(text); err != nil {
		return err
	}
	return o.x.control.Flush()
}

// timeWrites gives the client its time to take what is written and flushed until
// untimeWrites. A client that is slower is cut off. The deadline must not outlive
// the writing: the connection's next request may be another handler's, which
// knows nothing of it.
//
// A writer that has no deadlines (a test's) has no slow clients either.
func (x *exchange) timeWrites() {
	_ = x.control.SetWriteDeadline(time.Now().Add(x.config.WriteTime))
}

func (x *exchange) untimeWrites() { _ = x.control.SetWriteDeadline(time.Time{}) }

// writeJSON writes and sends a whole answer. There is nobody to tell if that
// fails: the client has gone.
func (x *exchange) writeJSON(status int, parts ...[]byte) {
	x.timeWrites()
	defer x.untimeWrites()
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	header := x.w.Header()
	header["Content-Type"] = jsonType
	header["Content-Length"] = []string{strconv.Itoa(size)}
	x.w.WriteHeader(status)
	for _, part := range parts {
		if len(part) == 0 {
			continue
		}
		if _, err := x.w.Write(part); err != nil {
			return
		}
	}
	_ = x.control.Flush()
}

// jsonType is shared by all answers; net/http does not change it.
var jsonType = []string{"application/json"}
