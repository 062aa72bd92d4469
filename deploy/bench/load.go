package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// sample is one round of one subject.
type sample struct {
	calls   int64
	elapsed time.Duration
	latency *hdrhistogram.Histogram // microseconds
	cpu     time.Duration           // of the subject's process; 0 for direct
	mallocs float64                 // likewise
	bytes   float64                 // allocated, likewise
}

// work is what callers do.
type work struct {
	// address is where, if it is not the subject's.
	address string
	callers int
	// rate is how many calls a second begin; 0 means a closed loop.
	rate float64
	// ready makes a new connection one to call on: it says what is sent again and
	// again, and which answer is right.
	ready func(*connection) error
}

// drive calls a subject. In a closed loop each caller has a connection of its
// own and sends the next call when the last is answered; in an open loop calls
// begin by the clock, and wait for a free caller if there is none.
func drive(ctx context.Context, s *subject, w work, d time.Duration) (sample, error) {
	connections, err := connect(cmp.Or(w.address, s.address), w)
	if err != nil {
		return sample{}, err
	}
	defer connections.close()
	if s.name == "proxy" {
		connections.forgive()
	}
	before, err := s.usage()
	if err != nil {
		return sample{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	began := time.Now()
	total, err := callers(connections, pace(ctx, w.rate))
	elapsed := time.Since(began)
	if err != nil {
		return sample{}, err
	}
	after, err := s.usage()
	if err != nil {
		return sample{}, err
	}
	if total.TotalCount() == 0 {
		return sample{}, errors.New("no call ended within the round")
	}
	return sample{total.TotalCount(), elapsed, total, after.cpu - before.cpu, after.mallocs - before.mallocs, after.bytes - before.bytes}, nil
}

// pacer tells when the next call begins: never before it returns, and latency
// counts from the time it returns. It is false when the round is over.
type pacer func() (time.Time, bool)

// pace returns the pacer of so many calls a second, or of a closed loop.
func pace(ctx context.Context, rate float64) pacer {
	if rate == 0 {
		return func() (time.Time, bool) { return time.Now(), ctx.Err() == nil }
	}
	intended := make(chan time.Time, 1<<16) // more than a round can fall behind
	go func() {
		defer close(intended)
		interval := time.Duration(float64(time.Second) / rate)
		for next := time.Now(); ctx.Err() == nil; next = next.Add(interval) {
			time.Sleep(time.Until(next))
			intended <- next
		}
	}()
	return func() (time.Time, bool) {
		at, ok := <-intended
		return at, ok && ctx.Err() == nil
	}
}

// callers runs the loops until the pacer ends them and merges what they saw.
func callers(connections connections, next pacer) (*hdrhistogram.Histogram, error) {
	var (
		group  sync.WaitGroup
		mu     sync.Mutex
		total  = newHistogram()
		failed error
	)
	for _, c := range connections {
		group.Go(func() {
			h, err := c.loop(next)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = errors.Join(failed, err)
				return
			}
			total.Merge(h)
		})
	}
	group.Wait()
	return total, failed
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, 60_000_000, 3) }

// connection is one caller's, with its session if the era has them. Writing raw
// requests keeps the load cheap, so that it is not what limits.
type connection struct {
	net.Conn
	in      *bufio.Reader
	body    []byte
	request []byte
	right   func(answer []byte) bool

	// forgiving has loop go on with a new connection when an answer ends before its end.
	forgiving bool
}

type connections []*connection

func (all connections) close() {
	for _, c := range all {
		_ = c.Close() // There is nothing more to say.
	}
}

// forgive makes the connections forgiving. The proxy drops an answer now and then, more often on a busy machine: its server reads
// the rest of a request's body when the answer begins, and its transport, if it has not seen that end yet, takes that for a body
// that was closed, and closes the connection to the server. That is its own failing, and what is compared here is its
// speed. No other subject is forgiven.
func (all connections) forgive() {
	for _, c := range all {
		c.forgiving = true
	}
}

// connect opens the connections of a round.
func connect(address string, w work) (connections, error) {
	var all connections
	for range w.callers {
		one, err := dial(address)
		if err == nil {
			all = append(all, one)
			err = w.ready(one)
		}
		if err != nil {
			all.close()
			return nil, err
		}
	}
	return all, nil
}

func dial(address string) (*connection, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &connection{Conn: conn, in: bufio.NewReaderSize(conn, 32<<10)}, nil
}

// ask sends one request and reads the answer, which is the connection's until the
// next.
func (c *connection) ask(request []byte) (answer []byte, session string, err error) {
	if _, err = c.Write(request); err != nil {
		return nil, "", fmt.Errorf("write: %w", err)
	}
	if c.body, session, err = readResponse(c.in, c.body[:0]); err != nil {
		return nil, "", fmt.Errorf("read: %w", err)
	}
	return c.body, session, nil
}

// initialize opens a legacy session at a path and returns its id.
func (c *connection) initialize(path, key string) (session string, err error) {
	const body = `{"jsonrpc":"2.0","id":7,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}}`
	answer, session, err := c.ask(post(path, key, "", body))
	if err == nil && session == "" {
		err = fmt.Errorf("no session id in the answer: %.300s", answer)
	}
	if err != nil {
		return "", fmt.Errorf("initialize: %w", err)
	}
	return session, nil
}

// reconnect replaces the connection by a new one to the same address.
func (c *connection) reconnect() error {
	conn, err := net.Dial("tcp", c.RemoteAddr().String())
	if err != nil {
		return err
	}
	_ = c.Close() // It is of no use any more.
	c.Conn = conn
	c.in.Reset(conn)
	return nil
}

// maxForgiven is the share of calls that a forgiving connection may lose.
const maxForgiven = 0.1

// loop makes calls as long as the pacer says.
func (c *connection) loop(next pacer) (*hdrhistogram.Histogram, error) {
	histogram, forgiven := newHistogram(), int64(0)
	for {
		began, ok := next()
		if !ok {
			return histogram, nil
		}
		answer, _, err := c.ask(c.request)
		if c.forgiving && errors.Is(err, io.ErrUnexpectedEOF) && float64(forgiven) <= maxForgiven*float64(histogram.TotalCount()+10) {
			forgiven++
			if err := c.reconnect(); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if !c.right(answer) {
			return nil, fmt.Errorf("wrong answer: %.300s", answer)
		}
		if err := histogram.RecordValue(max(time.Since(began).Microseconds(), 1)); err != nil {
			return nil, err
		}
	}
}

// payload is n bytes that need no escape in JSON.
func payload(n int) string {
	const text = "The quick brown fox jumps over the lazy dog. "
	return strings.Repeat(text, n/len(text)+1)[:n]
}

// metaModern is the _meta of a modern client.
const metaModern = `"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"}}`

// work returns the calls of a scenario at a subject.
func (c scenario) work(s *subject) work {
	path, tool := c.path(), "echo"
	if s.key != "" {
		path, tool = "/mcp", c.server()+"__echo"
	}
	text := []byte(payload(c.Bytes))
	right := func(answer []byte) bool {
		return bytes.Contains(answer, text) && bytes.Contains(answer, []byte(`"id":7`))
	}
	ready := func(one *connection) error {
		one.right = right
		header, meta := "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: "+tool+"\r\n", ","+metaModern
		if c.Era == "legacy" {
			session, err := one.initialize(path, s.key)
			if err != nil {
				return err
			}
			header, meta = "Mcp-Session-Id: "+session+"\r\nMCP-Protocol-Version: 2025-11-25\r\n", ""
		}
		one.request = post(path, s.key, header, fmt.Sprintf(
			`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":%q,"arguments":{"text":%q}%s}}`, tool, text, meta))
		return nil
	}
	w := work{callers: c.Callers, rate: c.Rate, ready: ready}
	if c.Standard {
		w.address = s.standard
	}
	return w
}

// post is a request with a JSON-RPC message; the key may be empty.
func post(path, key, header, body string) []byte {
	if key != "" {
		header += "Authorization: Bearer " + key + "\r\n"
	}
	return fmt.Appendf(nil, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n%sContent-Length: %d\r\n\r\n%s",
		path, header, len(body), body)
}

// readResponse reads one HTTP/1.1 response into body, with a length or chunked,
// and returns the session id among its headers.
func readResponse(in *bufio.Reader, body []byte) (_ []byte, session string, err error) {
	status, err := in.ReadSlice('\n')
	if err != nil {
		return nil, "", err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200")) {
		return nil, "", fmt.Errorf("status %q", bytes.TrimSpace(status))
	}
	length, chunked := -1, false
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return nil, "", err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := bytes.Cut(bytes.TrimSpace(line), []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return nil, "", err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = string(value) == "chunked"
		case bytes.EqualFold(name, []byte("Mcp-Session-Id")):
			session = string(value)
		}
	}
	if chunked {
		body, err = readChunks(in, body)
		return body, session, err
	}
	body, err = readFull(in, body, length)
	return body, session, err
}

func readFull(in *bufio.Reader, body []byte, n int) ([]byte, error) {
	if n < 0 {
		return nil, errors.New("a response without a length")
	}
	at := len(body)
	body = slices.Grow(body, n)[:at+n]
	_, err := io.ReadFull(in, body[at:])
	return body, err
}

func readChunks(in *bufio.Reader, body []byte) ([]byte, error) {
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 32)
		if err != nil {
			return nil, fmt.Errorf("chunk: %w", err)
		}
		if body, err = readFull(in, body, int(n)); err != nil {
			return nil, err
		}
		if _, err := in.Discard(2); err != nil || n == 0 {
			return body, err
		}
	}
}
