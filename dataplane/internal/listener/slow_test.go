package listener

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestT41_AStrangerWhoHoldsHisBodyBackHoldsNoPlace: HTTP reads what is left of a
// body before it answers, which must neither last nor keep callers out.
func TestT41_AStrangerWhoHoldsHisBodyBackHoldsNoPlace(t *testing.T) {
	for name, head := range map[string]string{
		"no credential": "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n",
		"wrong path":    "POST /elsewhere HTTP/1.1\r\nHost: 127.0.0.1\r\n",
		"wrong host":    "POST /mcp HTTP/1.1\r\nHost: evil.example\r\n",
		"wrong method":  "PUT /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n",
		"preflight":     "OPTIONS /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\n",
	} {
		for _, framing := range []string{"Content-Length: 10\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"} {
			const wait = 300 * time.Millisecond
			d := open(t, func(c *Config) { c.MaxRequests, c.BodyTime = 1, wait })
			start := time.Now()
			stranger := send(t, d.Listener.Addr(), head+framing)
			got := d.send(d.legacy(call))
			for got.status == http.StatusServiceUnavailable && time.Since(start) < wait {
				got = d.send(d.legacy(call)) // the stranger is just being looked at
			}
			if got.status != http.StatusOK {
				t.Errorf("%s, %q: a caller beside it got %d for %v", name, framing, got.status, time.Since(start))
			}
			if _, err := http.ReadResponse(bufio.NewReader(stranger), nil); err != nil {
				t.Errorf("%s, %q: no answer: %v", name, framing, err)
			}
			d.Server.Close() // returns when no request is left
			if n := d.listener.Inflight(); n != 0 {
				t.Errorf("%s, %q: %d requests are still counted", name, framing, n)
			}
		}
	}
}

// send opens a connection, sends text and leaves it open until the test ends. It
// gives up on answers after ten seconds.
func send(t *testing.T, to net.Addr, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial(to.Network(), to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}
