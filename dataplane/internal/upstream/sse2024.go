package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/mcp"
)

const (
	// maxLineAsks bounds the requests that run in one session at a time.
	maxLineAsks = 1024
)

var (
	// errLineLost ends what runs in a session whose stream has ended. Nothing of it is sent again: it may have run.
	errLineLost = errors.New("the event stream of the session ended")
)

// sseLine is a session with a server of 2024-11-05: one event stream, and the address that it named for posting.
//
//	GET ──▶ event "endpoint": where to post ──▶ messages … ──▶ end of the stream: everything in flight fails
//
// It has a goroutine of its own, which reads the stream and hands each message to the inbox that wants it.
type sseLine struct {
	endpoint *endpoint
	path     string // path and query to post to, at the endpoint's own origin
	body     io.ReadCloser
	cancel   context.CancelFunc
	over     chan struct{} // closed when err is set
	hold     holding       // for the event that is being read; of run

	mu     sync.Mutex
	asks   map[string]*sseInbox // by the raw id of the request
	latest []*sseInbox          // the same, the last asked at the end
	heard  *sseInbox            // of hear
	err    error                // why the line ended
}

// dialLine opens the event stream of a session and waits until it says where to post, at most as long as ctx lasts. The
// line outlives ctx. All errors are failures.
func (e *endpoint) dialLine(ctx context.Context) (line, error) {
	own, cancel := context.WithCancel(context.Background())
	stop := context.AfterFunc(ctx, cancel)
	l := &sseLine{endpoint: e, hold: holding{budget: &e.budget}, cancel: cancel, over: make(chan struct{}), asks: make(map[string]*sseInbox)}
	reader, err := l.open(own)
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		cancel()
		if l.body != nil {
			l.body.Close()
		}
		l.hold.release()
		return nil, e.explain(ctx, err)
	}
	go l.run(reader)
	return l, nil
}

// open asks for the stream and reads its first event.
func (l *sseLine) open(ctx context.Context) (*mcp.SSEReader, error) {
	e := l.endpoint
	response, err := e.carrier.Do(ctx, &transport.Request{Method: http.MethodGet, Common: e.get})
	if err != nil {
		return nil, err
	}
	l.body = response.Body
	media, _, _ := strings.Cut(response.Header(headerContentType), ";")
	switch {
	case response.Status != http.StatusOK:
		return nil, e.refusal(response.Status, response.Header("Retry-After"))
	case !strings.EqualFold(strings.TrimSpace(media), "text/event-stream"):
		return nil, e.fail(mcp.CodeBadServerAnswer, nil, "server %q answered with a content type that is not an event stream")
	}
	reader := mcp.NewSSEReader(response.Body, e.pool.config.MessageBytes)
	reader.SetQuota(l)
	for {
		event, err := reader.Next()
		if err != nil {
			return nil, err
		}
		if string(event.Type) != "endpoint" {
			continue
		}
		l.path, err = e.samePath(string(event.Data))
		return reader, err
	}
}

// samePath returns path and query of the address that a server names for posting. It must lie at the server's own origin:
// anything else would be a way to let requests, with the server's credentials, go elsewhere.
func (e *endpoint) samePath(reference string) (string, error) {
	target, err := e.url.Parse(strings.TrimSpace(reference))
	if err != nil || !sameOrigin(target, e.url) {
		return "", e.fail(mcp.CodeBadServerAnswer, err, "server %q names an address for messages that is not at its own origin")
	}
	return target.RequestURI(), nil
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && portOf(a) == portOf(b)
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// run reads the stream to its end.
func (l *sseLine) run(reader *mcp.SSEReader) {
	defer l.body.Close()
	defer l.hold.release()
	for {
		l.hold.release()
		event, err := reader.Next()
		if errors.Is(err, errOverBudget) {
			l.end(err)
			return
		}
		if err != nil {
			l.end(errors.Join(errLineLost, err))
			return
		}
		if len(event.Data) == 0 || len(event.Type) > 0 && string(event.Type) != "message" {
			continue
		}
		if err := l.file(event.Data); err != nil {
			l.end(err)
			return
		}
	}
}

// Grow implements mcp.Quota, as a conversation does.
func (l *sseLine) Grow(size int) error {
	if !l.hold.resize(2 * size) {
		return errOverBudget
	}
	return nil
}

// end makes everything that runs on the line fail.
func (l *sseLine) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = err
	l.cancel()
	close(l.over)
}

// file hands one message to the inbox that wants it.
func (l *sseLine) file(message []byte) error {
	var scan mcp.Response
	if err := mcp.ScanResponse(message, mcp.Limits{}, &scan); err != nil {
		return l.endpoint.garbage(err)
	}
	to := l.addressee(message, &scan)
	switch {
	case to != nil:
		to.put(message)
	case scan.Method == mcp.MethodPing && !scan.ID.Empty():
		l.pong(bytes.Clone(scan.ID.Of(message)))
	}
	return nil
}

// addressee returns whose message it is; nil if nobody's.
func (l *sseLine) addressee(message []byte, scan *mcp.Response) *sseInbox {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case scan.IsResponse():
		return l.asks[string(scan.ID.Of(message))]
	case scan.Method == mcp.MethodProgress:
		if own := l.asks[string(scan.ProgressToken.Of(message))]; own != nil {
			return own
		}
	}
	if l.heard != nil && scan.IsNotification() || len(l.latest) == 0 {
		return l.heard
	}
	return l.latest[len(l.latest)-1]
}

// pong answers a ping that no reader is there for.
func (l *sseLine) pong(id []byte) {
	answer := mcp.WriteResult(nil, id, []byte("{}"))
	l.endpoint.courtesy(func(ctx context.Context) { l.tell(ctx, answer) })
}

// ask posts a request. Its inbox is there before the request leaves, as the response may be faster than the POST's answer.
func (l *sseLine) ask(ctx context.Context, id, message []byte) (inbox, error) {
	in, err := l.expect(string(id))
	if err != nil {
		return nil, err
	}
	if err := l.tell(ctx, message); err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

// expect files an inbox for the response to a request.
func (l *sseLine) expect(id string) (*sseInbox, error) {
	in := l.newInbox(id)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.err != nil:
		return nil, l.err
	case len(l.asks) >= maxLineAsks:
		return nil, l.endpoint.fail(mcp.CodeUnavailable, nil, "the session with server %q has as many requests in flight as it may have (%d)", maxLineAsks)
	case l.asks[id] != nil:
		return nil, l.endpoint.fail(mcp.CodeInternal, nil, "the session with server %q has a request of the same id in flight")
	}
	l.asks[id] = in
	l.latest = append(l.latest, in)
	return in, nil
}

// tell posts a message. A server of 2024-11-05 answers with a status alone; one that does not know the session says 404,
// and the line is then of no use.
func (l *sseLine) tell(ctx context.Context, message []byte) error {
	response, err := l.endpoint.carrier.Do(ctx, &transport.Request{
		Method: http.MethodPost, Path: l.path, Common: l.endpoint.post, Body: message,
	})
	if err != nil {
		return err
	}
	defer response.Body.Close()
	// What it says besides is for nobody; read, so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, response.Body, maxRemainder)
	switch {
	case response.Status == http.StatusNotFound:
		l.end(errors.Join(errLineLost, errors.New("HTTP 404")))
		return l.failure()
	case response.Status < 200 || response.Status > 299:
		return l.endpoint.refusal(response.Status, response.Header("Retry-After"))
	}
	return nil
}

// failure returns why the line ended.
func (l *sseLine) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *sseLine) hear() inbox {
	in := l.newInbox("")
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heard != nil {
		l.heard.end(io.EOF)
	}
	l.heard = in
	return in
}

func (l *sseLine) ended() <-chan struct{} { return l.over }

func (l *sseLine) close() { l.end(errLineLost) }

// inboxError is io.EOF for a stream that simply ended, and else what was wrong with it.
func (l *sseLine) inboxError() error {
	if err := l.failure(); !errors.Is(err, errLineLost) {
		return err
	}
	return io.EOF
}
