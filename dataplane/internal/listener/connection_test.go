package listener

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// pipe returns a connection of a Socket and its other end.
func pipe(t *testing.T) (*connection, net.Conn) {
	t.Helper()
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	client, err := net.Dial("tcp", plain.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	accepted, err := Socket(new(http.Server), plain).Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	return accepted.(*connection), client
}

func TestWhatIsGatheredLeavesInItsOrderAndNothingStays(t *testing.T) {
	const first = buffered
	for _, sizes := range [][]int{
		{}, {1}, {first}, {first, 1}, {first, 3 * first}, {3 * first}, {100, first, 100}, {first - 1, 1, 1},
		{first, 300 * first, 2}, {3 * first, 3 * first, 3 * first, 1, 3 * first}, {first, first, first},
	} {
		c, client := pipe(t)
		var want []byte
		arrived := make(chan string, 1)
		go func() {
			got, _ := io.ReadAll(client)
			arrived <- string(got)
		}()
		c.gather(nil)
		for i, size := range sizes {
			p := bytes.Repeat([]byte{byte('a' + i)}, size)
			if n, err := c.Write(p); n != size || err != nil {
				t.Fatalf("%v: wrote %d, %v", sizes, n, err)
			}
			want = append(want, p...)
		}
		if err := c.send(); err != nil || c.held != nil {
			t.Errorf("%v: sent with %v, held %v", sizes, err, c.held)
		}
		if _, err := c.Write([]byte(".")); err != nil { // It is as it was before.
			t.Error(err)
		}
		c.Close()
		if got := <-arrived; got != string(want)+"." {
			t.Errorf("%v: %d bytes arrived, want %d", sizes, len(got), len(want)+1)
		}
	}
}

// TestAnAnswerLeavesInOnePieceThatIsNotCopied has one as net/http writes it: its head with the first bytes, the rest,
// and an end.
func TestAnAnswerLeavesInOnePieceThatIsNotCopied(t *testing.T) {
	c, _ := pipe(t)
	c.gather(nil)
	long := make([]byte, 100*buffered)
	for _, p := range [][]byte{make([]byte, buffered), long, []byte("}}")} {
		if _, err := c.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if held := c.held; held.used != buffered+2 || held.count != 2 || &held.parts[1][0] != &long[0] {
		t.Errorf("%d parts wait, and %d bytes of copies", held.count, held.used)
	}
}

func TestAConnectionWhoseAnswerBrokeOffIsClosed(t *testing.T) {
	c, _ := pipe(t)
	if err := c.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	c.gather(nil)
	if _, err := c.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if err := c.send(); err == nil || c.over.Err() == nil {
		t.Errorf("sent with %v, over: %v", err, c.over.Err())
	}
	if _, err := c.Write([]byte("next")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("what follows is written: %v", err)
	}
}

func TestAConnectionIsOverWhenItsClientHasGoneAndNotBefore(t *testing.T) {
	c, client := pipe(t)
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil { // As net/http interrupts its reading.
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil || c.over.Err() != nil {
		t.Errorf("after a deadline: %v, over: %v", err, c.over.Err())
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	client.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil || c.over.Err() == nil {
		t.Errorf("after the client went away: %v, over: %v", err, c.over.Err())
	}
	other, _ := pipe(t)
	if other.Close(); other.over.Err() == nil {
		t.Error("a connection that was closed is not over")
	}
}

// TestAnswersOfAllSizesArriveWhole goes around the sizes at which net/http begins to write in pieces.
func TestAnswersOfAllSizesArriveWhole(t *testing.T) {
	d := open(t)
	for _, size := range []int{100, 1900, 2000, 2100, 3800, 3900, 4000, 4096, 4200, 8000, 16 << 10, 60 << 10} {
		text := strings.Repeat("x", size)
		params := `"name":"git__get","arguments":{"a":"` + text + `"}`
		for _, m := range []*message{d.legacy(rpc("tools/call", params)), d.modern("tools/call", "git__get", params)} {
			got := d.send(m)
			if got.status != http.StatusOK || !strings.Contains(got.body, `{"a":"`+text+`"}`) || got.header.Get("Content-Length") == "" {
				t.Fatalf("%d bytes: status %d, %d bytes arrived", size, got.status, len(got.body))
			}
		}
	}
}
