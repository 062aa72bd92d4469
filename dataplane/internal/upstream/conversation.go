package upstream

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
)

const (
	// maxDrains bounds the streams that are read to their end after their answer came; lingerTime bounds each.
	maxDrains  = 1024
	lingerTime = time.Second

	// maxRemainder bounds, in bytes, what is read of a body that nobody wants, so that its connection can be used again.
	maxRemainder = 64 << 10
)

// listener takes what a server says before its answer. An error ends the conversation.
type listener interface {
	// hear takes a notification or a request of the server. Message and scan are valid during the call only.
	hear(message []byte, scan *mcp.Response) error
}

// conversation is one request to a server and what comes back. It is used once, by one goroutine, and must be closed.
type conversation struct {
	endpoint *endpoint
	watch    *watch
	id       []byte   // of our request: a JSON number
	listener listener // nil: what comes before the answer is ignored

	response *http.Response
	status   int
	reader   *mcp.SSEReader // of a stream
	buffer   *buffer        // of a JSON answer
	scan     mcp.Response
	ended    bool // the body was read to its end
}

// ask sends a request and returns the response message, which is one to our id and lies scanned in c.scan. It is valid
// until the conversation is closed. With an HTTP status of 400 and above it is a JSON-RPC error. All errors are
// failures, except those of the listener.
func (c *conversation) ask(header http.Header, body []byte) ([]byte, error) {
	c.watch.wait()
	response, err := c.endpoint.transport.RoundTrip(c.endpoint.request(c.watch.ctx, http.MethodPost, header, body))
	if err != nil {
		return nil, c.endpoint.explain(c.watch.ctx, err)
	}
	c.watch.moved()
	c.response, c.status = response, response.StatusCode
	media := mediaType(response.Header)
	if c.status < 200 || c.status >= 300 {
		return c.refused(media)
	}
	switch {
	case strings.EqualFold(media, "application/json"):
		return c.readJSON()
	case strings.EqualFold(media, "text/event-stream"):
		return c.readStream()
	case c.status == http.StatusAccepted || c.status == http.StatusNoContent:
		return nil, c.endpoint.fail(mcp.CodeBadServerAnswer, nil, "server %q took the request and gave no answer to it (HTTP %d)", c.status)
	}
	return nil, c.endpoint.fail(mcp.CodeBadServerAnswer, nil, "server %q answered with a content type that is neither JSON nor an event stream")
}

// mediaType returns the type of a body without its parameters.
func mediaType(header http.Header) string {
	media, _, _ := strings.Cut(header.Get(headerContentType), ";")
	return strings.TrimSpace(media)
}

// refused reads an answer whose status is not 2xx: an error in JSON-RPC is passed on, unless the status alone says what
// to do.
func (c *conversation) refused(media string) ([]byte, error) {
	switch {
	case c.status < 400, c.status == http.StatusUnauthorized, c.status == http.StatusForbidden, c.status == http.StatusTooManyRequests:
	case strings.EqualFold(media, "application/json"):
		message, err := c.readJSON()
		if err == nil && !c.scan.Error.Empty() {
			return message, nil
		}
		if c.watch.ctx.Err() != nil {
			return nil, err
		}
	}
	return nil, c.endpoint.refusal(c.status, c.response.Header.Get("Retry-After"))
}

// readJSON reads a body that is one message.
func (c *conversation) readJSON() ([]byte, error) {
	limit := c.endpoint.pool.config.MessageBytes
	if c.response.ContentLength > int64(limit) {
		return nil, c.endpoint.tooLarge()
	}
	c.buffer = newBuffer()
	fits, err := c.buffer.readAll(c.response.Body, limit)
	if err != nil {
		return nil, c.endpoint.explain(c.watch.ctx, err)
	}
	if !fits {
		return nil, c.endpoint.tooLarge()
	}
	c.ended = true
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
	if !bytes.Equal(c.scan.ID.Of(message), c.id) {
		return nil, c.endpoint.garbage(errors.New("a response to another id"))
	}
	return message, nil
}

// readStream reads events until the response comes.
func (c *conversation) readStream() ([]byte, error) {
	config := &c.endpoint.pool.config
	budget := &budgetReader{r: c.response.Body, left: config.StreamBytes}
	c.reader = c.endpoint.pool.readers.Get().(*mcp.SSEReader)
	c.reader.Reset(budget)
	for {
		event, err := c.reader.Next()
		if err != nil {
			if budget.left <= 0 {
				return nil, c.endpoint.fail(mcp.CodeBadServerAnswer, nil, "server %q sent more than the %d bytes that one stream may have", config.StreamBytes)
			}
			return nil, c.endpoint.explain(c.watch.ctx, err)
		}
		c.watch.moved()
		if len(event.Data) == 0 || len(event.Type) > 0 && string(event.Type) != "message" {
			continue // a keep-alive, or the empty event that a stream may begin with
		}
		if err := mcp.ScanResponse(event.Data, mcp.Limits{}, &c.scan); err != nil {
			return nil, c.endpoint.garbage(err)
		}
		if c.scan.IsResponse() {
			return c.ours(event.Data)
		}
		if c.listener == nil {
			continue
		}
		if err := c.listener.hear(event.Data, &c.scan); err != nil {
			return nil, err
		}
		c.watch.moved() // the client may have been slow
	}
}

// release gives up the message.
func (c *conversation) release() {
	if c.buffer != nil {
		c.buffer.release()
		c.buffer = nil
	}
	if c.reader != nil {
		c.reader.Reset(nil)
		c.endpoint.pool.readers.Put(c.reader)
		c.reader = nil
	}
}

// close gives the connection back, if the answer was read to its end, and else closes it.
func (c *conversation) close() {
	c.release()
	if c.response != nil {
		c.response.Body.Close()
	}
}

// finish is close for the last conversation of a call that was answered: it takes over the watch. Servers end a stream
// right after the answer, but not always in the same packet; the connection is worth waiting for, the client is not kept.
func (c *conversation) finish() {
	if c.ended || c.response == nil {
		c.close()
		c.watch.close()
		return
	}
	select {
	case c.endpoint.pool.drains <- struct{}{}:
	default:
		c.close()
		c.watch.close()
		return
	}
	c.release()
	c.watch.linger(lingerTime)
	go func(body io.ReadCloser, watch *watch) {
		defer func() { <-c.endpoint.pool.drains }()
		io.CopyN(io.Discard, body, maxRemainder)
		body.Close()
		watch.close()
	}(c.response.Body, c.watch)
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
