package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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

// drive calls a subject in a closed loop: each caller has a connection of its
// own and sends the next call when the last is answered.
func drive(ctx context.Context, s *subject, c scenario, d time.Duration) (sample, error) {
	before, err := s.usage()
	if err != nil {
		return sample{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	began := time.Now()
	total, err := callers(ctx, s, c)
	elapsed := time.Since(began)
	if err != nil {
		return sample{}, err
	}
	after, err := s.usage()
	if err != nil {
		return sample{}, err
	}
	return sample{total.TotalCount(), elapsed, total, after.cpu - before.cpu, after.mallocs - before.mallocs, after.bytes - before.bytes}, nil
}

// callers runs the loops until ctx ends and merges what they saw.
func callers(ctx context.Context, s *subject, c scenario) (*hdrhistogram.Histogram, error) {
	var (
		group  sync.WaitGroup
		mu     sync.Mutex
		total  = newHistogram()
		failed error
	)
	for range c.Callers {
		group.Go(func() {
			h, err := loop(ctx, s, c)
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

// loop is one caller. Writing raw requests keeps the generator cheap, so that
// it is not what limits.
func loop(ctx context.Context, s *subject, c scenario) (*hdrhistogram.Histogram, error) {
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	request := rawRequest(s, c)
	in := bufio.NewReaderSize(conn, 32<<10)
	marker := []byte(payload(c.Bytes))
	histogram, body := newHistogram(), make([]byte, 0, 2*c.Bytes+1024)
	for ctx.Err() == nil {
		began := time.Now()
		if _, err := conn.Write(request); err != nil {
			return nil, fmt.Errorf("write: %w", err)
		}
		if body, err = readResponse(in, body[:0]); err != nil {
			return nil, fmt.Errorf("read: %w", err)
		}
		if !bytes.Contains(body, marker) || !bytes.Contains(body, []byte(`"id":7`)) {
			return nil, fmt.Errorf("wrong answer: %.300s", body)
		}
		if err := histogram.RecordValue(max(time.Since(began).Microseconds(), 1)); err != nil {
			return nil, err
		}
	}
	return histogram, nil
}

// payload is n bytes that need no escape in JSON.
func payload(n int) string {
	const text = "The quick brown fox jumps over the lazy dog. "
	return strings.Repeat(text, n/len(text)+1)[:n]
}

func rawRequest(s *subject, c scenario) []byte {
	body := fmt.Sprintf(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":%q,"arguments":{"text":%q}}}`, s.tool, payload(c.Bytes))
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST /mcp HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n", s.address)
	fmt.Fprintf(&b, "MCP-Protocol-Version: 2025-11-25\r\n")
	if s.key != "" {
		fmt.Fprintf(&b, "Authorization: Bearer %s\r\n", s.key)
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.Bytes()
}

// readResponse reads one HTTP/1.1 response into body: with a length, or chunked
// as a streaming proxy sends it.
func readResponse(in *bufio.Reader, body []byte) ([]byte, error) {
	status, err := in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200")) {
		return nil, fmt.Errorf("status %q", bytes.TrimSpace(status))
	}
	length, chunked := -1, false
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return nil, err
		}
		if len(line) <= 2 {
			break
		}
		name, value, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
		switch http.CanonicalHeaderKey(name) {
		case "Content-Length":
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return nil, err
			}
		case "Transfer-Encoding":
			chunked = strings.TrimSpace(value) == "chunked"
		}
	}
	if chunked {
		return readChunks(in, body)
	}
	return readFull(in, body, length)
}

func readFull(in *bufio.Reader, body []byte, n int) ([]byte, error) {
	if n < 0 {
		return nil, errors.New("a response without a length")
	}
	at := len(body)
	body = append(body, make([]byte, n)...)
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
