//go:build unix

package tunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkHop compares one hop through a tunnel with one over HTTP/1.1 with a pool of connections, both on loopback, in turns of the same
// run. It prints how many times as many calls the tunnel carries (performance.md: at least as many), and what a call costs.
func BenchmarkHop(b *testing.B) {
	n, attach := loopback(b, Config{})
	attach(Config{Handler: echo})
	ofNode := <-n.attached
	hop := newHTTPHop(b)
	for _, size := range []int{256, 16 << 10} {
		body := bytes.Repeat([]byte("x"), size)
		through := func(ctx context.Context, into []byte) error { return callTunnel(ctx, ofNode, body, into) }
		plain := func(ctx context.Context, into []byte) error { return hop.call(ctx, body, into) }
		for _, callers := range []int{1, 16} {
			b.Run(fmt.Sprintf("%dB/%d", size, callers), func(b *testing.B) { compare(b, callers, through, plain) })
		}
	}
}

// BenchmarkTunnel is one call through a tunnel over gRPC with TLS, both ends in this process.
func BenchmarkTunnel(b *testing.B) {
	n, attach := loopback(b, Config{})
	attach(Config{Handler: echo})
	ofNode := <-n.attached
	for _, size := range []int{256, 16 << 10} {
		body := bytes.Repeat([]byte("x"), size)
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			b.ReportAllocs()
			many(b, 16, b.N, func(ctx context.Context, into []byte) error { return callTunnel(ctx, ofNode, body, into) })
		})
	}
}

// BenchmarkStalled holds P-11 over gRPC with mutual TLS: of 200 streams with one whose answer nobody reads, the slowest hundredth of the
// others' calls is at most twice as slow as of 200 without, in turns of the same run. It fails where that is not so, of samples enough to tell.
func BenchmarkStalled(b *testing.B) {
	const streams, turns, enough = 200, 10, 20_000
	n, attach := loopback(b, Config{})
	attach(Config{Handler: flood})
	ofNode := <-n.attached
	body := bytes.Repeat([]byte("x"), 256)
	var free, beside []time.Duration
	for range turns {
		free = append(free, timed(b, ofNode, streams, b.N/turns+1, body)...)
		r, err := ofNode.Do(b.Context(), &Request{Server: "flood", Method: "GET"})
		if err != nil {
			b.Fatal(err)
		}
		beside = append(beside, timed(b, ofNode, streams-1, b.N/turns+1, body)...)
		r.Body.Close()
	}
	p99 := func(all []time.Duration) float64 {
		slices.Sort(all)
		return float64(all[len(all)*99/100].Microseconds())
	}
	ratio := p99(beside) / p99(free)
	b.ReportMetric(ratio, "x-p99")
	b.ReportMetric(p99(free), "free-p99-us")
	if len(free) >= enough && ratio > 2 {
		b.Errorf("with one of %d streams stalled the p99 of the others is %.2f times what it is without", streams, ratio)
	}
}

// timed makes calls by a number of callers at once, and returns how long each took.
func timed(b *testing.B, t *Tunnel, callers, calls int, body []byte) (took []time.Duration) {
	b.Helper()
	var mu sync.Mutex
	many(b, callers, max(calls, callers), func(ctx context.Context, into []byte) error {
		begin := time.Now()
		err := callTunnel(ctx, t, body, into)
		mu.Lock()
		defer mu.Unlock()
		took = append(took, time.Since(begin))
		return err
	})
	return took
}

// compare makes b.N calls each way, in five turns each, and reports how they compare.
func compare(b *testing.B, callers int, through, plain func(context.Context, []byte) error) {
	const turns = 5
	calls := b.N/turns + 1
	many(b, callers, callers, through)
	many(b, callers, callers, plain)
	var tunnel, http time.Duration
	var tunnelCPU, httpCPU time.Duration
	for range turns {
		wall, cpu := many(b, callers, calls, through)
		tunnel, tunnelCPU = tunnel+wall, tunnelCPU+cpu
		wall, cpu = many(b, callers, calls, plain)
		http, httpCPU = http+wall, httpCPU+cpu
	}
	total := float64(turns * calls)
	b.ReportMetric(float64(http)/float64(tunnel), "x-http")
	b.ReportMetric(float64(tunnelCPU.Microseconds())/total, "cpu-us/call")
	b.ReportMetric(float64(httpCPU.Microseconds())/total, "http-cpu-us/call")
	b.ReportMetric(total/tunnel.Seconds(), "calls/s")
	b.ReportMetric(0, "ns/op")
}

// many makes calls by a number of callers at once, and returns the time and the processor's time that they took.
func many(b *testing.B, callers, calls int, call func(context.Context, []byte) error) (wall, cpu time.Duration) {
	b.Helper()
	var group sync.WaitGroup
	failed := make(chan error, callers)
	cpu, begin := processorTime(b), time.Now()
	for i := range callers {
		group.Go(func() {
			into := make([]byte, 32<<10)
			for n := calls/callers + min(1, max(0, calls%callers-i)); n > 0; n-- {
				if err := call(b.Context(), into); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	wall, cpu = time.Since(begin), processorTime(b)-cpu
	select {
	case err := <-failed:
		b.Fatal(err)
	default:
	}
	return wall, cpu
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

var benchHeader = []Field{
	{"accept", "application/json, text/event-stream"}, {"content-type", "application/json"},
	{"mcp-session-id", "0123456789abcdef"}, {"mcp-protocol-version", "2025-11-25"},
}

func callTunnel(ctx context.Context, t *Tunnel, body, into []byte) error {
	r, err := t.Do(ctx, &Request{Server: "echo", Method: "POST", Header: benchHeader, Body: body})
	if err != nil {
		return err
	}
	defer r.Body.Close()
	return readTo(r.Body, into, len(body))
}

// httpHop is a server of net/http on loopback, and a client with a pool of connections.
type httpHop struct {
	url    string
	client *http.Transport
}

func newHTTPHop(b *testing.B) *httpHop {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, body); err != nil {
			return
		}
		for _, field := range benchHeader {
			w.Header().Set(field.Name, field.Value)
		}
		_, _ = w.Write(body)
	}))
	client := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true}
	b.Cleanup(func() {
		client.CloseIdleConnections()
		server.Close()
	})
	return &httpHop{url: server.URL, client: client}
}

func (h *httpHop) call(ctx context.Context, body, into []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	for _, field := range benchHeader {
		request.Header.Set(field.Name, field.Value)
	}
	r, err := h.client.RoundTrip(request)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	return readTo(r.Body, into, len(body))
}

// readTo reads a body to its end.
func readTo(r io.Reader, into []byte, want int) error {
	got := 0
	for {
		n, err := r.Read(into[got:])
		got += n
		if errors.Is(err, io.EOF) && got == want {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d of %d bytes: %w", got, want, err)
		}
	}
}
