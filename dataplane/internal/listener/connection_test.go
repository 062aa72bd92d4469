package listener

import (
	"bytes"
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
	accepted, err := Socket(plain).Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { accepted.Close() })
	return accepted.(*connection), client
}

func TestWhatIsGatheredLeavesInItsOrderAndNothingStays(t *testing.T) {
	const first = len(piece{}.bytes)
	for _, sizes := range [][]int{{}, {1}, {first}, {first, 1}, {first, 3 * first}, {3 * first}, {100, first, 100}, {first - 1, 1, 1}} {
		c, client := pipe(t)
		var want []byte
		c.gather()
		for i, size := range sizes {
			p := bytes.Repeat([]byte{byte('a' + i)}, size)
			if n, err := c.Write(p); n != size || err != nil {
				t.Fatalf("%v: wrote %d, %v", sizes, n, err)
			}
			want = append(want, p...)
			if i == 0 && size == first && c.held.used != first {
				t.Errorf("%v: the first piece did not wait for the second", sizes)
			}
			if i == 1 && sizes[0] == first && c.held.used != 0 && size > 0 {
				t.Errorf("%v: the first piece did not leave with the second", sizes)
			}
		}
		if err := c.send(); err != nil || c.held != nil {
			t.Errorf("%v: sent with %v, held %v", sizes, err, c.held)
		}
		if _, err := c.Write([]byte(".")); err != nil { // It is as it was before.
			t.Error(err)
		}
		c.Close()
		if got, err := io.ReadAll(client); err != nil || string(got) != string(want)+"." {
			t.Errorf("%v: %d bytes arrived, want %d (%v)", sizes, len(got), len(want)+1, err)
		}
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
