package upstream

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/mcp"
)

// listener takes what a server says before its answer. An error ends the reading, and comes back as it is.
type listener interface {
	// hear takes a notification or a request of the server. Message and scan are valid during the call only.
	hear(message []byte, scan *mcp.Response, at Mark) error
	// prime takes an event that has an id and no message.
	prime(at Mark) error
}

// conversation is one request to a server and what comes back. It is used once, by one goroutine, and must be closed.
//
//	ask ──▶ JSON: the answer
//	    └─▶ stream: next, next, … read ──▶ the answer
//	                              │  ▲
//	                              ▼  │ reopen, where the stream ended after events that had ids
//	                           errDetached
type conversation struct {
	endpoint *endpoint
	watch    *watch
	session  *session // nil: none, as with a modern server
	caller   transport.Caller
	id       []byte     // of our request, raw; nil: any response is the answer
	listener listener   // nil: what comes before the answer is ignored
	quiet    bool       // the answer is a stream that lasts long and says little
	admitted *admission // is settled as soon as the server begins to answer; nil: there is none

	sending  transport.Request // that was sent last
	room     transport.Room    // of the answer
	response *transport.Response
	status   int
	inbox    inbox          // of a server of 2024-11-05
	reader   *mcp.SSEReader // of a stream
	budget   budgetReader
	buffer   *buffer // of a JSON answer
	hold     holding // of the server's budget, for the message at hand
	size     int     // that the message at hand has there
	scan     mcp.Response
	resumed  bool          // the stream is not the first
	at       Mark          // of the event at hand
	last     string        // id of the last event that had one
	retry    time.Duration // that the server last asked for
}

// ask sends a request and returns the response message, which is one to our id and lies scanned in c.scan. It is valid
// until the conversation is closed. With an HTTP status of 400 and above it is a JSON-RPC error. All errors are
// failures, except those of the listener and errDetached.
func (c *conversation) ask(fields []transport.Field, body []byte) ([]byte, error) {
	if c.session != nil && c.session.line != nil {
		return c.askLine(body)
	}
	if err := c.send(http.MethodPost, fields, body); err != nil {
		return nil, err
	}
	switch media := c.media(); {
	case c.status < 200 || c.status >= 300:
		return c.refused(media)
	case strings.EqualFold(media, "application/json"):
		return c.readJSON()
	case strings.EqualFold(media, "text/event-stream"):
		c.begin()
		return c.read()
	case c.status == http.StatusAccepted || c.status == http.StatusNoContent:
		return nil, c.endpoint.fail(mcp.CodeBadServerAnswer, nil, "server %q took the request and gave no answer to it (HTTP %d)", c.status)
	}
	return nil, c.endpoint.fail(mcp.CodeBadServerAnswer, nil, "server %q answered with a content type that is neither JSON nor an event stream")
}

// askLine is ask for a session of 2024-11-05.
func (c *conversation) askLine(body []byte) ([]byte, error) {
	c.watch.wait()
	inbox, err := c.session.line.ask(c.watch, c.id, body)
	if err != nil {
		return nil, c.endpoint.explain(c.watch, err)
	}
	c.answered()
	c.inbox, c.status = inbox, http.StatusOK
	return c.read()
}

// send sends an HTTP request and waits for the head of the answer. Body is nil for methods that have none.
func (c *conversation) send(method string, fields []transport.Field, body []byte) error {
	c.sending = transport.Request{Method: method, Header: fields, Common: c.endpoint.get, Body: body, Caller: c.caller, Quiet: c.quiet, Room: &c.room}
	if method == http.MethodPost {
		c.sending.Common = c.endpoint.post
	}
	c.watch.wait()
	response, err := c.endpoint.carrier.Do(c.watch, &c.sending)
	if err != nil {
		return c.endpoint.explain(c.watch, err)
	}
	c.answered()
	c.response, c.status = response, response.Status
	return nil
}

// answered notes that the server lives.
func (c *conversation) answered() {
	c.watch.moved()
	if c.admitted != nil {
		c.admitted.settle(alive)
	}
}

// media returns the type of the answer's body, without its parameters.
func (c *conversation) media() string {
	media, _, _ := strings.Cut(c.response.Header(headerContentType), ";")
	return strings.TrimSpace(media)
}

// refused reads an answer whose status is not 2xx: an error in JSON-RPC is passed on, unless the status alone says what
// to do.
func (c *conversation) refused(media string) ([]byte, error) {
	retryAfter := c.response.Header("Retry-After")
	switch {
	case c.status < 400, c.status == http.StatusUnauthorized, c.status == http.StatusForbidden, c.status == http.StatusTooManyRequests:
	case strings.EqualFold(media, "application/json"):
		message, err := c.readJSON()
		if err == nil && !c.scan.Error.Empty() {
			return message, nil
		}
		if c.watch.Err() != nil {
			return nil, err
		}
	}
	return nil, c.endpoint.refusal(c.status, retryAfter)
}

// readJSON reads a body that is one message.
func (c *conversation) readJSON() ([]byte, error) {
	limit := c.endpoint.pool.config.MessageBytes
	if c.response.ContentLength > int64(limit) {
		return nil, c.endpoint.tooLarge()
	}
	c.buffer, c.hold.budget = newBuffer(), &c.endpoint.budget
	fits, err := c.buffer.readAll(c.response.Body, limit, &c.hold)
	c.size = len(c.buffer.bytes)
	if err != nil {
		return nil, c.endpoint.explain(c.watch, err)
	}
	if !fits {
		return nil, c.endpoint.tooLarge()
	}
	if err := mcp.ScanResponse(c.buffer.bytes, mcp.Limits{}, &c.scan); err != nil {
		return nil, c.endpoint.garbage(err)
	}
	if !c.scan.IsResponse() {
		return nil, c.endpoint.garbage(errors.New("a message that is no response"))
	}
	// A server that could not read our id answers with none. With an HTTP error there is no doubt what that is about.
	if c.status >= 400 && !c.scan.Error.Empty() && nullID(c.scan.ID.Of(c.buffer.bytes)) {
		return c.buffer.bytes, nil
	}
	return c.ours(c.buffer.bytes)
}

func nullID(id []byte) bool { return len(id) == 0 || string(id) == "null" }

// ours returns a scanned response if it is to our request.
func (c *conversation) ours(message []byte) ([]byte, error) {
	if c.id != nil && !bytes.Equal(c.scan.ID.Of(message), c.id) {
		return nil, c.endpoint.garbage(errors.New("a response to another id"))
	}
	return message, nil
}

// begin prepares to read the answer's body as a stream of events.
func (c *conversation) begin() {
	if c.reader == nil {
		c.reader = c.endpoint.pool.readers.Get().(*mcp.SSEReader)
	}
	c.budget = budgetReader{r: c.response.Body, left: c.endpoint.pool.config.StreamBytes}
	c.reader.Reset(&c.budget)
	c.reader.SetQuota(c)
	c.hold.budget = &c.endpoint.budget
}

// Grow implements mcp.Quota for an event that is being read: it lies in memory as a line and as the event's data.
func (c *conversation) Grow(size int) error {
	if c.size = 2 * size; !c.hold.resize(c.size) {
		return errOverBudget
	}
	return nil
}

// errDetached means that a stream ended before the answer, and can be read on from its last event.
var errDetached = errors.New("the server closed its stream before the answer")

// read reads events until the response comes. After an error of the listener, and after reopen, it may be called again.
func (c *conversation) read() ([]byte, error) {
	for {
		message, err := c.next()
		switch {
		case err != nil:
			return nil, err
		case message == nil:
			err = c.prime()
		case c.scan.IsResponse():
			return c.ours(message)
		case c.listener != nil:
			err = c.listener.hear(message, &c.scan, c.at)
		}
		if err != nil {
			return nil, err
		}
		c.watch.moved() // the client may have been slow
	}
}

// prime passes on what an event without a message is for: from where to resume the stream, or after what time, which a
// server says on its own when it closes a stream for the client to come back.
func (c *conversation) prime() error {
	if c.listener == nil || c.at.EventID == "" && c.at.Retry == 0 {
		return nil
	}
	return c.listener.prime(c.at)
}

// next reads one event. It returns its message, scanned in c.scan, or nil if it has none: a keep-alive, or the event that a
// stream may begin with. c.at says where it stands. The message is valid until the next call.
func (c *conversation) next() ([]byte, error) {
	message, err := c.nextEvent()
	if err != nil || message == nil {
		return nil, err
	}
	c.watch.moved()
	if err := mcp.ScanResponse(message, mcp.Limits{}, &c.scan); err != nil {
		return nil, c.endpoint.garbage(err)
	}
	return message, nil
}

func (c *conversation) nextEvent() ([]byte, error) {
	c.hold.release() // of the event before, which has been passed on
	c.size = 0
	if c.inbox != nil {
		message, err := c.inbox.next(c.watch)
		if err != nil {
			return nil, c.endpoint.explain(c.watch, err)
		}
		return message, nil
	}
	if err := c.reader.Read(); err != nil {
		return nil, c.ended(err)
	}
	c.watch.moved()
	event := c.reader.Event()
	c.mark(event)
	if len(event.Data) == 0 || len(event.Type) > 0 && string(event.Type) != "message" {
		return nil, nil
	}
	return event.Data, nil
}

// mark notes where an event stands.
func (c *conversation) mark(event *mcp.Event) {
	c.at = Mark{}
	if len(event.Retry) > 0 {
		if ms, err := strconv.ParseUint(string(event.Retry), 10, 31); err == nil {
			c.at.Retry = time.Duration(ms) * time.Millisecond
			c.retry = c.at.Retry
		}
	}
	if event.HasID {
		c.last = string(event.ID) // an empty one takes the former back
	}
	if event.HasID && len(event.ID) > 0 && c.session != nil {
		c.at.EventID = c.last
		c.at.Session = c.session.ref()
	}
}

// ended explains the end of a stream.
func (c *conversation) ended(err error) error {
	switch e := c.endpoint; {
	case c.budget.left <= 0:
		return e.fail(mcp.CodeBadServerAnswer, nil, "server %q sent more than the %d bytes that one stream may have", e.pool.config.StreamBytes)
	case c.watch.Err() == nil && c.last != "" && c.session != nil && !errors.Is(err, mcp.ErrEventTooLarge) && !errors.Is(err, errOverBudget):
		return errDetached
	default:
		return e.explain(c.watch, err)
	}
}

// reopen asks for the rest of a stream, after its last event. The server may answer that there is none, which is a
// failure.
func (c *conversation) reopen() error {
	c.response.Body.Close()
	c.resumed = true
	var space [4]transport.Field
	fields := append(c.session.fields(space[:0]), transport.Field{Name: headerLastEvent, Value: c.last})
	if err := c.send(http.MethodGet, fields, nil); err != nil {
		return err
	}
	if c.status != http.StatusOK || !strings.EqualFold(c.media(), "text/event-stream") {
		return c.endpoint.fail(mcp.CodeUnavailable, nil, "server %q closed its stream before the answer, and does not let it be resumed (HTTP %d)", c.status)
	}
	c.begin()
	return nil
}

// fits makes the hold one for the message at hand and n bytes more, and reports whether there is room.
func (c *conversation) fits(n int) bool {
	c.hold.budget = &c.endpoint.budget
	return c.hold.resize(c.size + n)
}

// release gives up the message.
func (c *conversation) release() {
	c.hold.release()
	if c.buffer != nil {
		c.buffer.release()
		c.buffer = nil
	}
	if c.reader != nil {
		c.reader.Reset(nil)
		c.endpoint.pool.readers.Put(c.reader)
		c.reader = nil
	}
	if c.inbox != nil {
		c.inbox.close()
		c.inbox = nil
	}
}

// close ends the conversation. The connection is used again if the answer was read to its end.
func (c *conversation) close() {
	c.release()
	if c.response != nil {
		c.response.Body.Close()
		c.response = nil
	}
}

// finish is close for a conversation that had its answer: servers end a stream right after it, but not always in the same
// packet, and the connection is worth waiting for.
func (c *conversation) finish() {
	c.release()
	if c.response != nil {
		c.response.Finish()
		c.response = nil
	}
}

// budgetReader ends a stream that is longer than it may be.
type budgetReader struct {
	r    io.Reader
	left int64
}

func (b *budgetReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("stream too long")
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}
