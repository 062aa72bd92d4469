package transport

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// goodAnswer is what a server may say. Want and reused are what becomes of it.
type goodAnswer struct {
	name, method, raw string
	want              result
	reused            bool
	closes            bool // the server closes the connection after it
}

const long = 40_000

var goodAnswers = []goodAnswer{
	{name: "sized", raw: plain, want: result{200, 2, "ok"}, reused: true},
	{name: "empty", raw: "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", want: result{202, 0, ""}, reused: true},
	{name: "no reason", raw: "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", want: result{200, 2, "ok"}, reused: true},
	{name: "no reason and no blank", raw: "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", want: result{200, 2, "ok"}, reused: true},
	{name: "same length twice", raw: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\ncontent-length:2\r\n\r\nok", want: result{200, 2, "ok"}, reused: true},
	{name: "large", raw: "HTTP/1.1 200 OK\r\nContent-Length: 40000\r\n\r\n" + strings.Repeat("x", long), want: result{200, long, strings.Repeat("x", long)}, reused: true},
	{name: "large head", raw: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: " + strings.Repeat("a", 30_000) + "\r\nX-B: " + strings.Repeat("b", 30_000) + "\r\n\r\nok",
		want: result{200, 2, "ok"}, reused: true},
	{name: "chunked", raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n00A\r\n0123456789\r\n0\r\n\r\n", want: result{200, -1, "abc0123456789"}, reused: true},
	{name: "chunked, large", raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9c40\r\n" + strings.Repeat("x", long) + "\r\n0\r\n\r\n", want: result{200, -1, strings.Repeat("x", long)}, reused: true},
	{name: "chunked with extensions and trailers", raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0;x\r\nX-Trailer: 1\r\nContent-Length: 99\r\n\r\n",
		want: result{200, -1, "abc"}, reused: true},
	{name: "chunked with padded sizes", raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3  \r\nabc\r\n0 \r\n\r\n", want: result{200, -1, "abc"}, reused: true},
	{name: "chunked and empty", raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", want: result{200, -1, ""}, reused: true},
	{name: "until close", raw: "HTTP/1.1 200 OK\r\n\r\nall of it", want: result{200, -1, "all of it"}, closes: true},
	{name: "HTTP/1.0", raw: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", want: result{200, 2, "ok"}},
	{name: "HTTP/1.0 until close", raw: "HTTP/1.0 404 No\r\n\r\nno", want: result{404, -1, "no"}, closes: true},
	{name: "Connection: close", raw: "HTTP/1.1 200 OK\r\nConnection: x,\tClose\r\nContent-Length: 2\r\n\r\nok", want: result{200, 2, "ok"}},
	{name: "204", raw: "HTTP/1.1 204 No Content\r\n\r\n", want: result{204, 0, ""}, reused: true},
	{name: "204 with a length", raw: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", want: result{204, 0, ""}, reused: true},
	{name: "204 with a body", raw: "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok", want: result{204, 0, ""}},
	{name: "304", raw: "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", want: result{304, 0, ""}, reused: true},
	{name: "HEAD", method: "HEAD", raw: "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", want: result{200, 0, ""}, reused: true},
	{name: "HEAD, chunked", method: "HEAD", raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", want: result{200, 0, ""}, reused: true},
	{name: "GET", method: "GET", raw: plain, want: result{200, 2, "ok"}, reused: true},
	{name: "DELETE", method: "DELETE", raw: plain, want: result{200, 2, "ok"}, reused: true},
	{name: "continue first", raw: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + plain, want: result{200, 2, "ok"}, reused: true},
	{name: "bytes after it", raw: plain + "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", want: result{200, 2, "ok"}},
	{name: "bytes after chunks", raw: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n", want: result{200, -1, "ok"}},
	{name: "bytes after an empty body", raw: "HTTP/1.1 204 No Content\r\n\r\n" + plain, want: result{204, 0, ""}},
	{name: "server error", raw: "HTTP/1.1 503 Unavailable\r\nContent-Length: 2\r\n\r\nno", want: result{503, 2, "no"}, reused: true},
	{name: "redirect", raw: "HTTP/1.1 307 There\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", want: result{307, 0, ""}, reused: true},
}

// TestAnswersAreReadAndTheirConnectionsUsedAgainOnlyIfNothingIsOdd also sends each answer byte by byte.
func TestAnswersAreReadAndTheirConnectionsUsedAgainOnlyIfNothingIsOdd(t *testing.T) {
	for _, test := range goodAnswers {
		for _, way := range []string{"whole", "byte by byte"} {
			if way == "byte by byte" && len(test.raw) > 1000 {
				continue
			}
			t.Run(test.name+"/"+way, func(t *testing.T) {
				t.Parallel()
				server := serve(t, func(s *step) (string, bool) {
					if s.k > 1 || s.n > 1 {
						return plain, true
					}
					if way == "whole" {
						return test.raw, !test.closes
					}
					for _, b := range []byte(test.raw) {
						s.conn.Write([]byte{b})
					}
					return "", !test.closes
				})
				tr := transportTo(t, server.url)
				method := test.method
				if method == "" {
					method = "POST"
				}
				got, err := send(t, tr, &Request{Method: method})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Error(diff)
				}
				if way != "whole" && strings.HasPrefix(test.name, "bytes after") {
					return // no client can know of bytes that are yet to come
				}
				if next, err := call(t, tr); err != nil || next.Body != "ok" {
					t.Errorf("the next call: %v, %v", next, err)
				}
				if (server.connections.Load() == 1) != test.reused {
					t.Errorf("%d connections, reuse expected: %v", server.connections.Load(), test.reused)
				}
			})
		}
	}
}

// TestGoodAnswersAreReadAsNetHTTPReadsThem is differential, over the same bytes.
func TestGoodAnswersAreReadAsNetHTTPReadsThem(t *testing.T) {
	for _, test := range goodAnswers {
		t.Run(test.name, func(t *testing.T) {
			request := &http.Request{Method: test.method}
			r := bufio.NewReader(strings.NewReader(test.raw))
			var response *http.Response
			for response == nil || response.StatusCode < 200 {
				var err error
				if response, err = http.ReadResponse(r, request); err != nil {
					t.Fatal(err)
				}
			}
			body, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			if response.StatusCode != test.want.Status || string(body) != test.want.Body {
				t.Errorf("net/http reads %d %q, the table says %v", response.StatusCode, body, test.want)
			}
		})
	}
}

// hostileAnswers are refused: in words that hold none of the server's bytes.
var hostileAnswers = []struct{ name, raw, words string }{
	{"length and coding", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "both a Content-Length and a transfer coding"},
	{"coding and length", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", "both a Content-Length and a transfer coding"},
	{"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", "two different Content-Lengths"},
	{"same length, written otherwise", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 02\r\n\r\nok", "two different Content-Lengths"},
	{"list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", "not a number"},
	{"signed length", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", "not a number"},
	{"negative length", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nok", "not a number"},
	{"hexadecimal length", "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nok", "not a number"},
	{"empty length", "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok", "not a number"},
	{"huge length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok", "not a number"},
	{"gzip and chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "not just chunked"},
	{"chunked twice", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "not just chunked"},
	{"identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "not just chunked"},
	{"chunked with a tab in", "HTTP/1.1 200 OK\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "not one"},
	{"chunked in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0"},
	{"blank before the colon", "HTTP/1.1 200 OK\r\nTransfer-Encoding : chunked\r\nContent-Length: 2\r\n\r\nok", "header field"},
	{"folded", "HTTP/1.1 200 OK\r\nX-A: b\r\n c: d\r\nContent-Length: 2\r\n\r\nok", "header field"},
	{"folded length", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\t0\r\n\r\n0123456789", "header field"},
	{"first field folded", "HTTP/1.1 200 OK\r\n X: y\r\nContent-Length: 2\r\n\r\nok", "header field"},
	{"no colon", "HTTP/1.1 200 OK\r\nContent-Length 2\r\n\r\nok", "header field"},
	{"no name", "HTTP/1.1 200 OK\r\n: x\r\nContent-Length: 2\r\n\r\nok", "header field"},
	{"NUL in a value", "HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 2\r\n\r\nok", "header field"},
	{"CR in a value", "HTTP/1.1 200 OK\r\nX: a\rContent-Length: 5\r\nContent-Length: 2\r\n\r\nok", "header field"},
	{"bare LF in the head", "HTTP/1.1 200 OK\r\nX: a\nContent-Length: 2\r\n\r\nok", "CRLF"},
	{"bare LF after the status", "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok", "CRLF"},
	{"bare LF at the end", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok", "CRLF"},
	{"other protocol", "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "status line"},
	{"HTTP/1.2", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok", "status line"},
	{"status of two digits", "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok", "status line"},
	{"status of four digits", "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok", "status line"},
	{"status below 100", "HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok", "status line"},
	{"status 600", "HTTP/1.1 600 OK\r\nContent-Length: 2\r\n\r\nok", "status line"},
	{"control character in the reason", "HTTP/1.1 200 O\x1bK\r\nContent-Length: 2\r\n\r\nok", "status line"},
	{"blank line first", "\r\n" + plain, "status line"},
	{"HTML", "<html>\r\n\r\n", "status line"},
	{"SSH", "SSH-2.0-OpenSSH_9.6\r\n\r\n", "status line"},
	{"switching protocols", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "switches protocols"},
	{"too many interim answers", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 20) + plain, "interim"},
	{"large interim answers", strings.Repeat("HTTP/1.1 103 Hints\r\nX: "+strings.Repeat("x", 20_000)+"\r\n\r\n", 5) + plain, "too large"},
	{"large head", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: "+strings.Repeat("x", 1000)+"\r\n", 70) + "\r\n", "too large"},
	{"long line", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 40_000) + "\r\n\r\n", "too l"},
	{"endless line", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 200_000), "too large"},
	{"endless status line", "HTTP/1.1 200 " + strings.Repeat("x", 200_000), "too large"},
	{"chunk without a size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nok\r\n0\r\n\r\n", "size of a chunk"},
	{"chunk with a signed size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+2\r\nok\r\n0\r\n\r\n", "size of a chunk"},
	{"chunk with a size of 0x2", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n", "size of a chunk"},
	{"chunk with blanks first", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n 2\r\nok\r\n0\r\n\r\n", "size of a chunk"},
	{"chunk size that overflows", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000002\r\nok\r\n0\r\n\r\n", "chunk is too large"},
	{"chunk size with many zeros", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0000000000000002\r\nok\r\n0\r\n\r\n", "chunk is too large"},
	{"chunk longer than its size", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n0\r\n\r\n", ""},
	{"chunk without CRLF after", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok0\r\n\r\n", ""},
	{"chunk with a bare LF", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n", "CRLF"},
	{"chunk ended with a bare LF", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\n0\r\n\r\n", "CRLF"},
	{"LF hidden in an extension", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;\nok\r\n0\r\n\r\n", "CRLF"},
	{"long extension", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;" + strings.Repeat("x", 5000) + "\r\nok\r\n0\r\n\r\n", "too long"},
	{"many extensions", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("1;"+strings.Repeat("x", 500)+"\r\na\r\n", 50) + "0\r\n\r\n", "extensions"},
	{"endless trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("X: "+strings.Repeat("x", 500)+"\r\n", 50) + "\r\n", "trailer"},
	{"folded trailer", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n", "header field"},
}

// TestAHostileAnswerIsRefusedAndItsConnectionClosed: whatever follows on that connection is not an answer to anybody
// (security.md T-22).
func TestAHostileAnswerIsRefusedAndItsConnectionClosed(t *testing.T) {
	for _, test := range hostileAnswers {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(s *step) (string, bool) {
				if s.k > 1 {
					return plain, true
				}
				return test.raw + strings.Repeat("\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 3), true
			})
			tr := transportTo(t, server.url)
			got, err := call(t, tr)
			if err == nil {
				t.Fatalf("accepted: %v", got)
			}
			if !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), test.words) {
				t.Errorf("error %q", err)
			}
			if !wantError(t, err).Sent {
				t.Error("the request is said not to have been sent")
			}
			if next, err := call(t, tr); err != nil || next.Body != "ok" || server.connections.Load() != 2 {
				t.Errorf("the next call: %v, %v, over connection %d", next, err, server.connections.Load())
			}
		})
	}
}

// TestAnAnswerThatIsCutShortIsAnError cuts good answers everywhere.
func TestAnAnswerThatIsCutShortIsAnError(t *testing.T) {
	for _, whole := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n",
	} {
		next := 0
		server := serve(t, func(*step) (string, bool) { return whole[:next], false })
		tr := transportTo(t, server.url)
		for ; next < len(whole); next++ {
			got, err := call(t, tr)
			if err == nil || !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("cut after %q: %v, %v", whole[:next], got, err)
			}
			if !wantError(t, err).Sent {
				t.Error("the request is said not to have been sent")
			}
			if again, err := call(t, tr); err == nil {
				t.Fatalf("cut after %q, a second time: %v", whole[:next], again)
			}
		}
		if got, err := call(t, tr); err != nil || got.Body != "hello" {
			t.Errorf("whole: %v, %v", got, err)
		}
	}
}

func TestHeaderFieldsAreFoundByNameInAnyCase(t *testing.T) {
	server := serve(t, func(*step) (string, bool) {
		return "HTTP/1.1 200 OK\r\ncontent-TYPE:\t text/event-stream \r\nMcp-Session-Id: one\r\nMCP-Session-Id: two\r\nX-Empty:\r\nX-Large: " + strings.Repeat("x", 20_000) +
			"\r\nX-Last: last\r\nContent-Length: 20000\r\n\r\n" + strings.Repeat("y", 20_000), true
	})
	response, err := transportTo(t, server.url).Do(t.Context(), &Request{Method: "POST"})
	if err != nil {
		t.Fatal(err)
	}
	fields := func() map[string]string {
		got := map[string]string{}
		for _, name := range []string{"Content-Type", "mcp-session-id", "X-Empty", "X-Las", "X-Last", "X-Lastt", "HTTP/1.1 200 OK", ""} {
			got[name] = response.Header(name)
		}
		return got
	}
	want := map[string]string{"Content-Type": "text/event-stream", "mcp-session-id": "one", "X-Empty": "", "X-Las": "", "X-Last": "last", "X-Lastt": "", "HTTP/1.1 200 OK": "", "": ""}
	before := fields()
	if diff := cmp.Diff(want, before); diff != "" {
		t.Error(diff)
	}
	if n, err := io.Copy(io.Discard, response.Body); n != 20_000 || err != nil {
		t.Errorf("a body of %d bytes, %v", n, err)
	}
	if diff := cmp.Diff(want, fields()); diff != "" {
		t.Errorf("after the body was read: %s", diff)
	}
	response.Body.Close()
	if diff := cmp.Diff(want, before); diff != "" {
		t.Errorf("values do not outlive the answer: %s", diff)
	}
	if n, err := response.Body.Read(make([]byte, 1)); n != 0 || !errors.Is(err, ErrClosed) {
		t.Errorf("read after close: %d, %v", n, err)
	}
	response.Body.Close()
	response.Finish()
}
