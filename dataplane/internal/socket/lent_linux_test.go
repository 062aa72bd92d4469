package socket

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/memfile"
)

// filed returns bytes and a file that has them.
func filed(t *testing.T, size int) ([]byte, *memfile.File) {
	t.Helper()
	all := pattern(size)
	source := memfile.NewSource(all)
	for end := time.Now().Add(10 * time.Second); ; {
		if file, at := source.Lend(all); file != nil && at == 0 {
			return all, file
		}
		if time.Now().After(end) {
			t.Fatal("there is no file")
		}
	}
}

// TestWhatIsLentArrivesInItsPlace has a reader that takes little at a time, and a network that holds little. What it gives
// to be written is not what the file has, to see that all of it comes from there.
func TestWhatIsLentArrivesInItsPlace(t *testing.T) {
	all, file := filed(t, 5*memfile.Least+3)
	for _, test := range []struct{ before, from, to int }{
		{0, 0, len(all)}, {1, 1, len(all)}, {4096, 2000, len(all) - 2}, {3 * Quiet, 7, 8}, {100, 4096, 8192}, {Quiet, len(all), len(all)},
	} {
		c, far := pair(t)
		if err := errors.Join(c.SetWriteBuffer(8<<10), far.SetReadBuffer(64<<10)); err != nil {
			t.Fatal(err)
		}
		before := bytes.Repeat([]byte("b"), test.before)
		wrote := make(chan error, 1)
		go func() {
			err := c.WriteLent(before, make([]byte, test.to-test.from), file, int64(test.from))
			if err == nil {
				_, err = c.Write([]byte("the next answer"))
			}
			wrote <- errors.Join(err, c.CloseWrite())
		}()
		var got []byte
		for p := make([]byte, 3001); ; {
			n, err := far.Read(p[:1+len(got)%len(p)])
			got = append(got, p[:n]...)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := <-wrote; err != nil {
			t.Errorf("%+v: %v", test, err)
		}
		if want := string(before) + string(all[test.from:test.to]) + "the next answer"; string(got) != want {
			t.Errorf("%+v: %d bytes arrived, or others; want %d", test, len(got), len(want))
		}
	}
}

func TestWhatIsLentFailsAsWhatIsWritten(t *testing.T) {
	all, file := filed(t, 64*memfile.Least) // more than the network holds
	for name, test := range map[string]struct {
		meanwhile func(*Conn, *net.TCPConn) error
		want      []error // any of them
	}{
		"a deadline before":     {func(c *Conn, _ *net.TCPConn) error { return c.SetWriteDeadline(time.Unix(1, 0)) }, []error{os.ErrDeadlineExceeded}},
		"a deadline on the way": {func(c *Conn, _ *net.TCPConn) error { return c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond)) }, []error{os.ErrDeadlineExceeded}},
		"closed":                {func(c *Conn, _ *net.TCPConn) error { return c.Close() }, []error{net.ErrClosed}},
		"the client goes away in the middle": {func(_ *Conn, far *net.TCPConn) error {
			go func() {
				_, _ = io.ReadFull(far, make([]byte, memfile.Least))
				_ = errors.Join(far.SetLinger(0), far.Close())
			}()
			return nil
		}, []error{syscall.EPIPE, syscall.ECONNRESET}},
	} {
		c, far := pair(t)
		if err := test.meanwhile(c, far); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		err := c.WriteLent([]byte("before"), all, file, 0)
		right := false
		for _, want := range test.want {
			right = right || errors.Is(err, want)
		}
		if failed, _ := errors.AsType[*net.OpError](err); !right || failed == nil || failed.Op != "write" {
			t.Errorf("%s: %v, want %v of a write", name, err, test.want)
		}
	}
}

// TestWhatTheSystemDoesNotLendIsCopied has a file that is none any more for the system.
func TestWhatTheSystemDoesNotLendIsCopied(t *testing.T) {
	c, far := pair(t)
	want := pattern(4 * Quiet)
	wrote := make(chan error, 1)
	go func() {
		l := errors.Join(c.WriteLent([]byte("before "), want, new(memfile.File), 1<<62), c.CloseWrite())
		wrote <- l
	}()
	got, err := io.ReadAll(far)
	if err := errors.Join(err, <-wrote); err != nil || string(got) != "before "+string(want) {
		t.Errorf("%d bytes arrived, or others (%v)", len(got), err)
	}
}
