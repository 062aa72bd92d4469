//go:build unix

package transport

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkPost is one POST over a kept connection to a server in another process: our client beside that of net/http.
// Allocations and cpu-us/op are those of the client alone.
func BenchmarkPost(b *testing.B) {
	for _, size := range []int{256, 16 << 10} {
		for _, callers := range []int{1, 16, 64} {
			for _, chunked := range []bool{false, true} {
				address := echo(b, chunked)
				body := bytes.Repeat([]byte("x"), size)
				name := fmt.Sprintf("%dB/%d/%s/", size, callers, map[bool]string{false: "sized", true: "chunked"}[chunked])
				b.Run(name+"own", func(b *testing.B) { benchmarkOwn(b, address, body, callers) })
				b.Run(name+"net-http", func(b *testing.B) { benchmarkStandard(b, address, body, callers) })
			}
		}
	}
}

func benchmarkOwn(b *testing.B, address *url.URL, body []byte, callers int) {
	t, err := New(Config{URL: address, Private: true})
	if err != nil {
		b.Fatal(err)
	}
	defer t.CloseIdle()
	common, err := NewBlock([]Field{{"Accept", "application/json, text/event-stream"}, {"Content-Type", "application/json"}, {"User-Agent", "warder/0"}})
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	many(b, callers, func(into []byte) error {
		fields := [...]Field{{"Mcp-Session-Id", "0123456789abcdef"}, {"Mcp-Protocol-Version", "2025-11-25"}}
		response, err := t.Do(ctx, &Request{Method: "POST", Common: common, Header: fields[:], Body: body})
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.Status != 200 || response.Header("Content-Type") != "application/json" {
			return fmt.Errorf("status %d", response.Status)
		}
		return readTo(response.Body, into, len(body))
	})
}

func benchmarkStandard(b *testing.B, address *url.URL, body []byte, callers int) {
	t := &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true, WriteBufferSize: 18 << 10}
	defer t.CloseIdleConnections()
	ctx := b.Context()
	many(b, callers, func(into []byte) error {
		header := http.Header{
			"Accept": {"application/json, text/event-stream"}, "Content-Type": {"application/json"}, "User-Agent": {"warder/0"},
			"Mcp-Session-Id": {"0123456789abcdef"}, "Mcp-Protocol-Version": {"2025-11-25"},
		}
		request := (&http.Request{Method: "POST", URL: address, Host: address.Host, Header: header, ProtoMajor: 1, ProtoMinor: 1,
			Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}).WithContext(ctx)
		response, err := t.RoundTrip(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != 200 || response.Header.Get("Content-Type") != "application/json" {
			return fmt.Errorf("status %d", response.StatusCode)
		}
		return readTo(response.Body, into, len(body))
	})
}

// readTo reads a body to its end.
func readTo(r io.Reader, into []byte, want int) error {
	got := 0
	for {
		n, err := r.Read(into[got:])
		got += n
		if err == io.EOF && got == want {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", got, err)
		}
	}
}

// many runs a call in a number of goroutines at once.
func many(b *testing.B, callers int, call func(into []byte) error) {
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime(b)
	done := make(chan error, callers)
	for i := range callers {
		go func() {
			into := make([]byte, 32<<10)
			for n := b.N/callers + min(1, max(0, b.N%callers-i)); n > 0; n-- {
				if err := call(into); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range callers {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-us/op")
}

// processorTime is what this process has used.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// asEcho makes the test binary an echo server, which ends with its standard input.
const asEcho = "WARDER_TRANSPORT_ECHO"

func TestMain(m *testing.M) {
	if framing := os.Getenv(asEcho); framing != "" {
		serveEchos(framing == "chunked")
		return
	}
	os.Exit(m.Run())
}

// echo starts a process that answers each request with the body of that request.
func echo(b *testing.B, chunked bool) *url.URL {
	command := exec.CommandContext(b.Context(), os.Args[0])
	command.Env = append(os.Environ(), asEcho+"="+map[bool]string{false: "sized", true: "chunked"}[chunked])
	stdin, err := command.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		stdin.Close()
		command.Wait()
	})
	address, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return &url.URL{Scheme: "http", Host: strings.TrimSpace(address), Path: "/mcp"}
}

func serveEchos(chunked bool) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Println(listener.Addr())
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go serveEcho(c, chunked)
		}
	}()
	io.Copy(io.Discard, os.Stdin)
}

func serveEcho(c net.Conn, chunked bool) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 32<<10)
	var answer []byte
	for {
		length := 0
		for {
			line, err := r.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) == 2 {
				break
			}
			if digits, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
				length, _ = strconv.Atoi(strings.TrimSpace(digits))
			}
		}
		body, err := r.Peek(length)
		if err != nil {
			return
		}
		answer = append(answer[:0], "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"...)
		if chunked {
			answer = fmt.Appendf(answer, "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", length, body)
		} else {
			answer = fmt.Appendf(answer, "Content-Length: %d\r\n\r\n%s", length, body)
		}
		r.Discard(length)
		if _, err := c.Write(answer); err != nil {
			return
		}
	}
}
