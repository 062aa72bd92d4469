package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
)

// errTooLarge ends a conversation that has used up its bytes.
var errTooLarge = errors.New("more bytes than one discovery may read")

const (
	// maxFailure bounds what is shown of an agent's words, in bytes.
	maxFailure = 1_000
	// courtesyTimeout bounds what is said out of courtesy alone.
	courtesyTimeout = 2 * time.Second
	maxSession      = 1024
	// maxDeclined bounds how many requests of a server get an answer in one
	// discovery; those after it get none.
	maxDeclined = 100
)

// conversation is one discovery's exchange with a server. It belongs to one
// goroutine. What it has read counts against one budget.
type conversation struct {
	target   Target
	caps     caps
	client   *http.Client
	agent    string // version of Warder
	failure  string // why an agent does not start the server, as its last answer said; printable
	left     int64  // bytes that may still be read
	lastID   int
	declined int // requests of the server that were answered

	// As negotiated; version is empty and the era legacy until then.
	version string
	era     mcp.Era
	session string
	// stream is how a server of 2024-11-05 answers; nil for all others.
	stream *stream
}

func newConversation(target Target, client *http.Client, agent string, limits caps) *conversation {
	return &conversation{target: target, caps: limits, client: client, agent: agent, left: limits.bytes}
}

// answer is what came back for a request. The message is there only if the
// server sent a JSON-RPC response with our id.
type answer struct {
	status  int
	session string // Mcp-Session-Id
	body    []byte
	message *mcp.Response
}

// result returns the result object, or nil.
func (a *answer) result() []byte {
	if a.message == nil || a.message.Result.Empty() || a.status != http.StatusOK {
		return nil
	}
	return a.message.Result.Of(a.body)
}

// code returns the code of a JSON-RPC error, and false if it is none.
func (a *answer) code() (int, bool) {
	if a.message == nil || a.message.Error.Empty() {
		return 0, false
	}
	return a.message.ErrorCode, true
}

// call sends a request and reads its answer. An error means that there was none;
// it is a fault.
func (c *conversation) call(ctx context.Context, method string, params []byte) (*answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.caps.request)
	defer cancel()
	c.lastID++
	id := strconv.AppendInt(nil, int64(c.lastID), 10)
	message := mcp.WriteRequest(nil, id, method, params)
	if c.stream != nil {
		return c.callOnStream(ctx, method, id, message)
	}
	response, err := c.post(ctx, method, message)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	a := &answer{status: response.StatusCode, session: response.Header.Get("Mcp-Session-Id")}
	if method == mcp.MethodInitialize && visibleASCII(a.session) {
		c.session = a.session // What the server asks before its answer is answered in the session.
	}
	if err := c.read(ctx, response, id, a); err != nil {
		return nil, c.transportFault(ctx, err)
	}
	return a, nil
}

// notify sends a notification; the server must accept it.
func (c *conversation) notify(ctx context.Context, method string) error {
	ctx, cancel := context.WithTimeout(ctx, c.caps.request)
	defer cancel()
	response, err := c.post(ctx, method, mcp.WriteNotification(nil, method, nil))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		return c.statusFault(response.StatusCode)
	}
	return nil
}

func (c *conversation) post(ctx context.Context, method string, body []byte) (*http.Response, error) {
	endpoint := c.target.URL
	if c.stream != nil {
		endpoint = c.stream.endpoint
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	c.setHeaders(request.Header)
	request.Header.Set("Content-Type", "application/json")
	if c.era == mcp.Modern {
		request.Header.Set("Mcp-Method", method)
	}
	response, err := c.client.Do(request)
	if err != nil {
		return nil, c.transportFault(ctx, err)
	}
	if c.target.Agent != "" {
		c.failure = mcp.EscapeName(response.Header.Get(tunnel.HeaderFailure), maxFailure)
	}
	return response, nil
}

// setHeaders puts the server's own headers in, and ours over them.
func (c *conversation) setHeaders(h http.Header) {
	for name, values := range c.target.Headers {
		h[http.CanonicalHeaderKey(name)] = values
	}
	h.Set("Accept", "application/json, text/event-stream")
	h.Set("User-Agent", "warder/"+c.agent)
	if c.version != "" {
		h.Set("Mcp-Protocol-Version", c.version)
	}
	if c.session != "" {
		h.Set("Mcp-Session-Id", c.session)
	}
}

// read reads the answer to the request id, as JSON or from an event stream. A
// body of another type, or that is no answer to this request, leaves
// a.message nil.
func (c *conversation) read(ctx context.Context, response *http.Response, id []byte, a *answer) error {
	body := &budget{r: response.Body, left: &c.left}
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		return nil //nolint:nilerr // no type, or a broken one: no answer
	}
	switch media {
	case "application/json":
		if a.body, err = io.ReadAll(body); err != nil {
			return err
		}
		a.message = answerTo(id, a.body)
	case "text/event-stream":
		return c.readAnswer(ctx, mcp.NewSSEReader(body, int(c.caps.bytes)), id, a)
	}
	return nil
}

// readAnswer reads events until the answer comes. Notifications that come before
// it are of no concern to discovery; requests are declined.
func (c *conversation) readAnswer(ctx context.Context, events *mcp.SSEReader, id []byte, a *answer) error {
	for {
		event, err := events.Next()
		if errors.Is(err, io.EOF) {
			return io.ErrUnexpectedEOF
		}
		if errors.Is(err, mcp.ErrEventTooLarge) {
			return errTooLarge
		}
		if err != nil {
			return err
		}
		if message := answerTo(id, event.Data); message != nil {
			a.body, a.message = bytes.Clone(event.Data), message
			return nil
		}
		c.decline(ctx, event.Data)
	}
}

// decline answers a message of a server if it is a request, as a legacy server
// may send one for what we declared and wait for the answer before it gives ours.
// Nobody is there to be asked. Whether the server takes that does not matter: its
// answer to our request does.
func (c *conversation) decline(ctx context.Context, body []byte) {
	request := new(mcp.Response)
	err := mcp.ScanResponse(body, mcp.Limits{}, request)
	if err != nil || request.IsResponse() || request.IsNotification() || c.era == mcp.Modern || c.declined == maxDeclined {
		return
	}
	c.declined++
	id := request.ID.Of(body)
	message := mcp.WriteError(nil, id, mcp.CodeMethodNotFound, "nobody can be asked: this session only lists what the server offers", nil)
	if request.Method == mcp.MethodPing {
		message = mcp.WriteResult(nil, id, []byte("{}"))
	}
	ctx, cancel := context.WithTimeout(ctx, courtesyTimeout)
	defer cancel()
	if response, err := c.post(ctx, "", message); err == nil {
		_ = response.Body.Close()
	}
}

// answerTo returns the message if it is a response to the request id, or an
// error response of a server that could not read the id.
func answerTo(id, body []byte) *mcp.Response {
	message := new(mcp.Response)
	if err := mcp.ScanResponse(body, mcp.Limits{}, message); err != nil || !message.IsResponse() {
		return nil
	}
	got := string(message.ID.Of(body))
	if got == string(id) || !message.Error.Empty() && (got == "" || got == "null") {
		return message
	}
	return nil
}

// close ends the server's session, if it made one, and the connections. A server
// that does not care to hear it loses nothing.
func (c *conversation) close(ctx context.Context) {
	defer c.client.CloseIdleConnections()
	if c.stream != nil {
		c.stream.close()
	}
	if c.session == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), courtesyTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodDelete, c.target.URL, nil)
	if err != nil {
		return
	}
	c.setHeaders(request.Header)
	if response, err := c.client.Do(request); err == nil {
		_ = response.Body.Close()
	}
}

// budget is a reader that takes what it reads off a number it shares.
type budget struct {
	r    io.Reader
	left *int64
}

func (b *budget) Read(p []byte) (int, error) {
	if *b.left <= 0 {
		return 0, errTooLarge
	}
	if int64(len(p)) > *b.left {
		p = p[:*b.left]
	}
	n, err := b.r.Read(p)
	*b.left -= int64(n)
	return n, err
}
