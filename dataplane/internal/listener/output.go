package listener

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
	"github.com/warder-gateway/warder/dataplane/internal/memfile"
	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/dataplane/internal/turns"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
)

// errGone says that the client can no longer be written to.
var errGone = errors.New("the client went away")

// errAbandoned ends the call of a client that did not come back.
var errAbandoned = fault.New(fault.Unavailable, "the client went away before the answer came")

// output writes the answer of one request, and what comes before it. It begins
// as nothing; the first message, or a wait, opens an event stream if the client
// takes one, and then the answer is the last event of it. It is the
// session.Client of its request.
//
// The timer runs beside the handler, so all writing is under mu.
type output struct {
	x *exchange

	mu     sync.Mutex
	stream bool        // headers of an event stream are out
	done   bool        // the answer is out, or nobody wants it
	gone   bool        // the client cannot be written to
	timer  *time.Timer // runs if ticking; else it is from an earlier request, or nil
	ticks  bool
	quiet  bool // after close: neither the timer nor the client's end came, nor will they
	first  lifetime.Lifetime
	leaves lifetime.Hook      // ends first when the client goes away, if anybody attends
	onGone func()             // what it does, made once
	life   *lifetime.Lifetime // of the call that outlives its client; nil: none did yet
	event  []byte             // scratch
}

// open begins: from here on the client hears from the output every KeepAlive at
// the latest, if it takes event streams.
func (o *output) open(x *exchange) {
	o.mu.Lock() // the timer may fire before it is known here
	defer o.mu.Unlock()
	o.x = x
	if x.accepts.stream {
		o.startTicking()
	}
}

// startTicking lets tick come after KeepAlive. The lock is held.
func (o *output) startTicking() {
	if o.ticks {
		return
	}
	o.ticks = true
	if o.timer == nil {
		o.timer = time.AfterFunc(o.x.config.KeepAlive, o.tick)
	} else {
		o.timer.Reset(o.x.config.KeepAlive)
	}
}

// Streams reports whether messages can be sent before the answer.
func (o *output) Streams() bool { return o.x.accepts.stream }

// Send sends a message that comes before the answer; one that is nil is an event
// without data. A client that takes no event streams does not get it: there is no
// other way to send it.
func (o *output) Send(message []byte, id string, retry time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.gone:
		return errGone
	case o.done || !o.x.accepts.stream:
		return nil
	}
	return o.send(message, id, retry)
}

// Outlive returns a context that does not end when the client goes away, but some
// time later (Config.Grace), with a cause that says so.
func (o *output) Outlive() *lifetime.Lifetime {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.startTicking()
	if o.life == nil {
		o.life = &o.first
	} else {
		o.life = new(lifetime.Lifetime) // the next message of a batch
	}
	return o.life
}

// Attend returns a context that ends when the client goes away. It is asked for
// once in a request, and not where Outlive is.
func (o *output) Attend() *lifetime.Lifetime {
	if o.onGone == nil {
		o.onGone = func() { o.first.End(nil) }
	}
	if c := o.x.connection(); c != nil {
		o.leaves.Watch(&c.over, o.onGone)
	} else {
		o.leaves.Watch(o.x.r.Context(), o.onGone)
	}
	return &o.first
}

// Stay makes the request a notification stream: its headers are sent at once, it
// gives its place among the running requests up, and its body is forgotten.
func (o *output) Stay() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.x.leave()
	o.x.dropBody()
	return o.sendHeaders()
}

// Begin sends the headers of an event stream, unless they are out.
func (o *output) Begin() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sendHeaders()
}

// sendHeaders is Begin for who holds the lock.
func (o *output) sendHeaders() error {
	switch {
	case o.gone:
		return errGone
	case o.stream || o.done:
		return nil
	}
	o.begin()
	return o.flush(nil)
}

// tick sends a comment, which clients and proxies count as a sign of life, and
// looks whether the client is still there.
func (o *output) tick() {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.done:
		return
	case o.gone:
		if o.life != nil {
			o.life.End(errAbandoned)
		}
		return
	case o.x.r.Context().Err() != nil:
		o.gone = true
	case o.x.accepts.stream:
		o.begin()
		// A failure says that the client has gone.
		_ = o.flush([]byte(": keep-alive\n\n"))
	}
	if o.gone {
		// The context of the request ends with its connection; a call that outlives
		// it has some time left.
		o.timer.Reset(o.x.config.Grace)
		return
	}
	o.timer.Reset(o.x.config.KeepAlive)
}

// finish writes the answer. One without a message ends a stream.
func (o *output) finish(answer *session.Answer) {
	turns.Gather()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done {
		return
	}
	o.done = true
	wants := o.x.accepts.prefersStream || !o.x.accepts.json
	asEvent := o.stream || wants && answer.Size() > 0 && answer.Status == http.StatusOK
	switch {
	case o.gone:
	case !asEvent:
		o.x.writeAnswer(answer)
	case answer.Size() > 0:
		o.x.nameSession(answer)
		o.x.sayWhen(answer)
		// A client that cannot be written to has gone; its call is over anyway.
		_ = o.send(answer.Message(), answer.EventID, answer.Retry)
	}
}

// close stops the timer; nothing is written after it.
func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.done = true
	o.quiet = (!o.ticks || o.timer.Stop()) && o.leaves.Stop()
}

// begin makes the headers those of an event stream, once; they are sent with what
// is flushed next.
func (o *output) begin() {
	if o.stream {
		return
	}
	o.stream = true
	header := o.x.w.Header()
	header["Content-Type"] = streamType
	header["Cache-Control"] = noCache
	header["X-Accel-Buffering"] = noBuffering
	o.x.w.WriteHeader(http.StatusOK)
}

// Shared by all answers; net/http does not change them.
var (
	jsonType    = []string{"application/json"}
	streamType  = []string{"text/event-stream"}
	noCache     = []string{"no-cache, no-transform"}
	noBuffering = []string{"no"}
)

// send writes one message as one event.
func (o *output) send(message []byte, id string, retry time.Duration) error {
	o.begin()
	o.event = mcp.AppendEvent(o.event[:0], id, retry, message)
	err := o.flush(o.event)
	if cap(o.event) > maxScratch {
		o.event = nil
	}
	return err
}

// maxScratch is what an output keeps for its next event, in bytes.
const maxScratch = 64 << 10

// flush writes and sends at once.
func (o *output) flush(text []byte) (err error) {
	o.x.timeWrites()
	defer o.x.untimeWrites()
	if len(text) > 0 {
		_, err = o.x.w.Write(text)
	}
	if err == nil {
		err = o.x.control.Flush()
	}
	if err != nil {
		o.gone = true
		return errGone
	}
	return nil
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

// writeAnswer writes an answer that is not an event.
func (x *exchange) writeAnswer(answer *session.Answer) {
	x.nameSession(answer)
	x.sayWhen(answer)
	if answer.Status == http.StatusUnauthorized { // of a credential that ended on its way here
		x.w.Header().Set("Www-Authenticate", x.challenge(&credential.Refusal{Status: answer.Status, Error: credential.InvalidToken}))
	}
	if answer.Size() == 0 {
		x.w.WriteHeader(answer.Status)
		return
	}
	x.writeJSON(answer.Status, answer.Source, answer.Parts[:]...)
}

// nameSession tells the client the id of the session that the answer opens.
func (x *exchange) nameSession(answer *session.Answer) {
	if answer.SessionID != "" {
		x.w.Header()[session.HeaderSession] = []string{answer.SessionID}
	}
}

// sayWhen tells a client that was refused when to come back, in whole seconds. Where a
// stream has begun, only the error says it.
func (x *exchange) sayWhen(answer *session.Answer) {
	if answer.ComeBack > 0 {
		seconds := (answer.ComeBack + time.Second - 1) / time.Second
		x.w.Header()["Retry-After"] = []string{strconv.FormatInt(int64(seconds), 10)}
	}
}

// maxInOnePiece is up to what size net/http writes an answer at once anyway, in
// bytes, whatever headers it has.
const maxInOnePiece = 2 << 10

// connection returns that of the request; nil: it is not one of a Socket.
func (x *exchange) connection() *connection {
	c, _ := x.r.Context().Value(connectionKey{}).(*connection)
	return c
}

// writeJSON writes and sends a whole answer, of which a source may have a part. There
// is nobody to tell if that fails: the client has gone.
func (x *exchange) writeJSON(status int, source *memfile.Source, parts ...[]byte) {
	x.timeWrites()
	defer x.untimeWrites()
	size := 0
	for _, part := range parts {
		size += len(part)
	}
	if size > maxInOnePiece {
		if c := x.connection(); c != nil {
			c.gather(source)
			// There is nobody to tell either.
			defer func() { _ = c.send() }()
		}
	}
	header := x.w.Header()
	header["Content-Type"] = jsonType
	header["Content-Length"] = x.lengths.of(size)
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
