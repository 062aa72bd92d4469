package sse2024

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/budget"
	"github.com/warder-gateway/warder/internal/mcp"
)

// ErrOther means that a server is not one of 2024-11-05: its answer to the GET is no event stream that names an address.
var ErrOther = errors.New("the server does not speak HTTP with SSE of 2024-11-05")

const (
	// maxPosts bounds the posts under way of one line; there may be as many as open calls, and some more.
	maxPosts = 1100
	// requestTime is how long a server may take to take a request: some answer the POST only when they have done what
	// it asks. noticeTime is that for all else, which what comes later waits for.
	requestTime = 5 * time.Minute
	noticeTime  = 30 * time.Second
	// maxPreamble is how many events may come before the one that names the address.
	maxPreamble = 16
	// maxRemainder is how much is read of the answer to a POST, so that its connection can be used again.
	maxRemainder = 64 << 10
)

// Config says where a server is.
type Config struct {
	URL *url.URL
	// Header is sent with each request. The values are secret.
	Header    map[string]string
	Transport http.RoundTripper
	Log       *slog.Logger
	// Budget bounds what is kept for callers. Nil: it has no bound.
	Budget *budget.Budget
}

// Line is one session with a server. It may be used from many goroutines, and must be stopped.
type Line struct {
	*wire.Conn
	config  Config
	address string // to post to
	stream  io.ReadCloser
	started time.Time
	posting chan struct{} // holds a token for each post under way
	asked   atomic.Bool   // Stop was called

	ctx  context.Context // of all that the line does
	end  context.CancelCauseFunc
	dead chan struct{}
	gone chan struct{} // closed when no post is under way any more, either
	err  error         // valid once dead is closed

	mu    sync.Mutex
	over  bool
	turn  chan struct{} // closed when what has to be taken before the next message is
	posts sync.WaitGroup
}

// Dial opens a session, within the time of ctx, which the session outlives. What the server sends unasked goes to hearer.
func Dial(ctx context.Context, config Config, hearer wire.Hearer) (*Line, error) {
	l := &Line{
		config: config, posting: make(chan struct{}, maxPosts), started: time.Now(),
		dead: make(chan struct{}), gone: make(chan struct{}), turn: make(chan struct{}),
	}
	close(l.turn)
	l.Conn = wire.New(sender{l}, hearer, config.Budget)
	l.ctx, l.end = context.WithCancelCause(context.Background())
	stop := context.AfterFunc(ctx, func() { l.end(context.Cause(ctx)) })
	events, err := l.open()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		l.end(err)
		if l.stream != nil {
			_ = l.stream.Close()
		}
		return nil, fmt.Errorf("open event stream: %w", err)
	}
	go l.run(events)
	return l, nil
}

// open asks for the stream, and reads it up to the address.
func (l *Line) open() (*mcp.SSEReader, error) {
	request, err := l.request(l.ctx, http.MethodGet, l.config.URL.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "text/event-stream")
	response, err := l.config.Transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	l.stream = response.Body
	media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if response.StatusCode != http.StatusOK || err != nil || media != "text/event-stream" {
		return nil, fmt.Errorf("%w: it answered with HTTP status %d", ErrOther, response.StatusCode)
	}
	events := mcp.NewSSEReader(response.Body, wire.MaxMessage)
	for range maxPreamble {
		event, err := events.Next()
		if err != nil {
			return nil, fmt.Errorf("%w: its stream ended: %w", ErrOther, err)
		}
		if string(event.Type) == "endpoint" {
			l.address, err = l.at(string(event.Data))
			return events, err
		}
		if event.HasData {
			break
		}
	}
	return nil, fmt.Errorf("%w: its stream names no address", ErrOther)
}

// at returns the address that the server names, if it is at the declared origin.
func (l *Line) at(reference string) (string, error) {
	own := l.config.URL
	target, err := own.Parse(strings.TrimSpace(reference))
	if err != nil || target.Scheme != own.Scheme || !strings.EqualFold(target.Hostname(), own.Hostname()) || port(target) != port(own) || target.User != nil {
		return "", errors.New("the server names an address for messages that is not at its own origin")
	}
	target.Fragment = ""
	return target.String(), nil
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

func (l *Line) request(ctx context.Context, method, address string, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if body == nil {
		request.Body = http.NoBody
	}
	for name, value := range l.config.Header {
		request.Header.Set(name, value)
	}
	return request, nil
}

// run reads the stream to its end, and ends everything then.
func (l *Line) run(events *mcp.SSEReader) {
	l.end(l.read(events))
	_ = l.stream.Close()
	l.err = context.Cause(l.ctx)
	if l.asked.Load() {
		l.err = wire.ErrStopped
	}
	l.Fail(l.err)
	close(l.dead)
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.posts.Wait()
	close(l.gone)
}

// read hands the messages of the stream on, and returns why there are no more.
func (l *Line) read(events *mcp.SSEReader) error {
	for {
		event, err := events.Next()
		if err != nil {
			return fmt.Errorf("%w: read event stream: %w", wire.ErrOver, err)
		}
		if !event.HasData || len(event.Type) > 0 && string(event.Type) != "message" {
			continue
		}
		if err := l.Receive(bytes.Clone(event.Data)); err != nil {
			return err
		}
	}
}

// sender is the way to the server as a wire.Sender.
type sender struct{ *Line }

func (l sender) Send(ctx context.Context, message []byte) error {
	select {
	case l.posting <- struct{}{}:
		return l.post(message)
	case <-l.dead:
		return l.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l sender) TrySend(message []byte) bool {
	select {
	case l.posting <- struct{}{}:
		return l.post(message) == nil
	default:
		return false
	}
}

// post has a message posted, for which there is a token, in its turn.
func (l *Line) post(message []byte) error {
	var scan mcp.Request
	request := mcp.ScanRequest(message, mcp.Limits{}, &scan) == nil && !scan.IsNotification() && !scan.IsResponse()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		<-l.posting
		return l.err
	}
	turn, patience, done := l.turn, requestTime, func() {}
	if !request {
		next := make(chan struct{})
		l.turn, patience, done = next, noticeTime, func() { close(next) }
	}
	l.posts.Go(func() {
		defer func() { <-l.posting }()
		defer done()
		<-turn // Whoever has it gives it on in bounded time.
		if err := l.deliver(message, patience); err != nil {
			l.config.Log.Debug("server did not take a message", "error", err)
			l.Undeliverable(message, err)
		}
	})
	return nil
}

// deliver posts a message. A server answers with a status alone.
func (l *Line) deliver(message []byte, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	request, err := l.request(ctx, http.MethodPost, l.address, message)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := l.config.Transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("post message: %w", err)
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxRemainder) // What it says besides is for nobody.
	switch {
	case response.StatusCode == http.StatusNotFound:
		l.end(wire.ErrOver)
		return wire.ErrOver
	case response.StatusCode/100 != 2:
		return fmt.Errorf("post message: the server answered with HTTP status %d", response.StatusCode)
	}
	return nil
}

// Dead is closed when the session is over and its calls have failed.
func (l *Line) Dead() <-chan struct{} { return l.dead }

// Err returns why it is over, once Dead is closed: wire.ErrStopped after Stop, wire.ErrOver where the server or the network
// ended it.
func (l *Line) Err() error { return l.err }

// Started returns when the session was opened.
func (l *Line) Started() time.Time { return l.started }

// Stop ends the session. It returns when nothing of it is left, and may be called again.
func (l *Line) Stop() {
	l.asked.Store(true)
	l.end(wire.ErrStopped)
	<-l.gone
}

// PID is 0: the agent does not run the server.
func (l *Line) PID() int { return 0 }

// Redact returns the first line of a text; what is said about a line holds no header.
func (l *Line) Redact(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	return text
}

// LastWords is empty: the server keeps its log to itself.
func (l *Line) LastWords() string { return "" }
