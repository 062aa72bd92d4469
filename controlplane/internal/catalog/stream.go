package catalog

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"

	"github.com/warder-gateway/warder/internal/mcp"
)

// stream is the connection of a server that speaks HTTP+SSE, the transport of
// 2024-11-05: a GET opens it, its first event says where to POST, and the answers
// come on it.
type stream struct {
	endpoint string
	events   *mcp.SSEReader
	cancel   context.CancelFunc // breaks off what reads
	body     io.Closer
}

func (s *stream) close() {
	s.cancel()
	_ = s.body.Close()
}

// olderTransport reports whether the answer to a POST may come from a server that
// knows HTTP+SSE alone.
func olderTransport(status int) bool {
	return slices.Contains([]int{http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed}, status)
}

// openStream tries HTTP+SSE and reports whether the server speaks it. Where it
// does not, what it said to the POST before is the better explanation.
func (c *conversation) openStream(ctx context.Context) bool {
	// The stream outlives the request that opens it; a timer bounds that one.
	streamCtx, cancel := context.WithCancel(ctx)
	ctx, done := context.WithTimeout(ctx, c.caps.request)
	defer done()
	stop := context.AfterFunc(ctx, cancel)
	s, err := c.connectStream(streamCtx)
	if !stop() || err != nil {
		cancel()
		return false
	}
	s.cancel = cancel
	c.stream = s
	return true
}

func (c *conversation) connectStream(ctx context.Context) (*stream, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.target.URL, nil)
	if err != nil {
		return nil, err
	}
	c.setHeaders(request.Header)
	request.Header.Set("Accept", "text/event-stream")
	response, err := c.client.Do(request)
	if err != nil {
		return nil, err
	}
	s := &stream{
		events: mcp.NewSSEReader(&budget{r: response.Body, left: &c.left}, int(c.caps.bytes)),
		body:   response.Body,
	}
	if s.endpoint, err = c.readEndpoint(response, s.events); err != nil {
		_ = response.Body.Close()
		return nil, err
	}
	return s, nil
}

// readEndpoint reads where to POST. It must be at the server's own origin: the
// headers with its credentials go there.
func (c *conversation) readEndpoint(response *http.Response, events *mcp.SSEReader) (string, error) {
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil || media != "text/event-stream" || response.StatusCode != http.StatusOK {
		return "", errors.New("no event stream")
	}
	for {
		event, err := events.Next()
		if err != nil {
			return "", err
		}
		if string(event.Type) != "endpoint" {
			continue
		}
		base, err := url.Parse(c.target.URL)
		if err != nil {
			return "", err
		}
		endpoint, err := base.Parse(string(event.Data))
		if err != nil {
			return "", err
		}
		if endpoint.Scheme != base.Scheme || endpoint.Host != base.Host || endpoint.User != nil {
			return "", errors.New("endpoint is at another origin")
		}
		return endpoint.String(), nil
	}
}

// callOnStream sends a request and waits for its answer on the stream. Giving up
// on one breaks the stream off: what comes later could not be told apart in time.
func (c *conversation) callOnStream(ctx context.Context, method string, id, message []byte) (*answer, error) {
	response, err := c.post(ctx, method, message)
	if err != nil {
		return nil, err
	}
	_ = response.Body.Close()
	a := &answer{status: response.StatusCode}
	if a.status/100 != 2 {
		return a, nil
	}
	defer context.AfterFunc(ctx, c.stream.cancel)()
	if err := c.readAnswer(ctx, c.stream.events, id, a); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return nil, c.transportFault(ctx, err)
	}
	a.status = http.StatusOK
	return a, nil
}
