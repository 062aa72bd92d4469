package listener

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/memfile"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// lists returns the files with lists that this process has ready, by inode.
func lists(t *testing.T) map[uint64]bool {
	t.Helper()
	descriptors, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[uint64]bool)
	for _, descriptor := range descriptors {
		// One that is closed meanwhile is none.
		if name, _ := os.Readlink(descriptor); !strings.Contains(name, "memfd:warder-list") {
			continue
		}
		number, err := strconv.Atoi(filepath.Base(descriptor))
		if err != nil {
			t.Fatal(err)
		}
		if seals, err := unix.FcntlInt(uintptr(number), unix.F_GET_SEALS, 0); err != nil || seals&unix.F_SEAL_WRITE == 0 {
			continue // It is being made.
		}
		if info, err := os.Stat(descriptor); err == nil {
			files[info.Sys().(*syscall.Stat_t).Ino] = true
		}
	}
	return files
}

// another reports whether there is a file that was not there before.
func another(t *testing.T, before map[uint64]bool) bool {
	for inode := range lists(t) {
		if !before[inode] {
			return true
		}
	}
	return false
}

// openCatalogue starts a door with so many tools, of 1 KiB each.
func openCatalogue(t *testing.T, tools int) *door {
	t.Helper()
	w := gatetest.New(t)
	w.Server("big")
	for i := range tools {
		tool := w.Tool("big", fmt.Sprintf("tool_%04d", i), snapshotv1.Risk_RISK_READ)
		tool.Position = uint32(i)
		tool.Definition = fmt.Appendf(nil, `{"name":"tool_%04d","description":"%d %s"}`, i, i, strings.Repeat("x", 1<<10))
	}
	w.Role("dev", "big/*")
	w.User("ana", "dev")
	d := &door{t: t, up: &server{}, audit: &queue{}, ana: w.Key("ana", "ide", time.Time{})}
	d.index.Store(w.Index(1))
	d.start()
	return d
}

// wire returns tools/list as it goes over a connection.
func (d *door) wire() []byte {
	m := d.modern("tools/list", "", "")
	r := d.request(d.t.Context(), m)
	r.Header.Set("Accept", "application/json")
	var text bytes.Buffer
	if err := r.Write(&text); err != nil {
		d.t.Fatal(err)
	}
	return text.Bytes()
}

// list reads one answer, and returns it but for the cursor, which is another each time.
func list(t *testing.T, in *bufio.Reader) string {
	t.Helper()
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || int64(len(body)) != response.ContentLength || !bytes.HasSuffix(body, []byte("}}")) {
		t.Fatalf("status %d, %d bytes of %d, %v: ...%s", response.StatusCode, len(body), response.ContentLength, err, body[max(0, len(body)-20):])
	}
	text, _, _ := strings.Cut(string(body), `,"nextCursor":`)
	return text
}

// untilLent asks for a list until it has a file, and returns it. All answers are the same.
func (d *door) untilLent(conn net.Conn, in *bufio.Reader, before map[uint64]bool) string {
	d.t.Helper()
	ask := d.wire()
	want := ""
	end := time.Now().Add(20 * time.Second)
	if err := conn.SetDeadline(end.Add(20 * time.Second)); err != nil {
		d.t.Fatal(err)
	}
	for !another(d.t, before) {
		if _, err := conn.Write(ask); err != nil {
			d.t.Fatal(err)
		}
		got := list(d.t, in)
		if want == "" {
			want = got
		}
		if got != want {
			d.t.Fatal("the answer is another one")
		}
		if time.Now().After(end) {
			d.t.Fatal("the list never had a file")
		}
	}
	return want
}

// drips gives what is read in small pieces.
type drips struct {
	net.Conn
	size int
}

func (d *drips) Read(p []byte) (int, error) {
	d.size = (d.size + 611) % 4099
	return d.Conn.Read(p[:min(len(p), 1+d.size)])
}

// TestAListIsTheSameFromAFile asks for one page that is the last and one that is not, in many ways.
func TestAListIsTheSameFromAFile(t *testing.T) {
	for _, tools := range []int{300, 1500} {
		before := lists(t)
		d := openCatalogue(t, tools)
		conn := send(t, d.Listener.Addr(), "")
		want := d.untilLent(conn, bufio.NewReader(conn), before)
		if n := strings.Count(want, `"description":`); n < 300 || n > tools {
			t.Fatalf("%d tools are in the first page", n)
		}
		slow := send(t, d.Listener.Addr(), "")
		const at = 5
		if _, err := slow.Write(bytes.Repeat(d.wire(), at)); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewReaderSize(&drips{Conn: slow}, 16)
		for i := range at {
			if list(t, in) != want {
				t.Errorf("%d tools, request %d of %d at once: the answer is another one", tools, i, at)
			}
		}
		for _, two := range []bool{false, true} {
			secure := httptest.NewUnstartedServer(d.listener)
			secure.EnableHTTP2 = two
			secure.StartTLS()
			defer secure.Close()
			ask := d.request(t.Context(), d.modern("tools/list", "", ""))
			ask.URL.Scheme, ask.URL.Host, ask.Host = "https", secure.Listener.Addr().String(), ""
			ask.Header.Set("Accept", "application/json")
			response, err := secure.Client().Do(ask)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if text, _, _ := strings.Cut(string(body), `,"nextCursor":`); err != nil || text != want || response.TLS == nil || (response.ProtoMajor == 2) != two {
				t.Errorf("%d tools over TLS, %s: the answer is another one (%v)", tools, response.Proto, err)
			}
		}
	}
}

// TestAClientThatGoesAwayInAListLeavesOthersTheirs has many that take a part of it.
func TestAClientThatGoesAwayInAListLeavesOthersTheirs(t *testing.T) {
	before := lists(t)
	d := openCatalogue(t, 900)
	conn := send(t, d.Listener.Addr(), "")
	in := bufio.NewReader(conn)
	want := d.untilLent(conn, in, before)
	for i := range 20 {
		leaver := send(t, d.Listener.Addr(), string(bytes.Repeat(d.wire(), 10)))
		if _, err := io.ReadFull(leaver, make([]byte, 50_000*i+1)); err != nil {
			t.Fatal(err)
		}
		if err := leaver.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		leaver.Close()
		if _, err := conn.Write(d.wire()); err != nil {
			t.Fatal(err)
		}
		if list(t, in) != want {
			t.Fatal("the answer is another one")
		}
	}
	d.Server.Close() // returns when no request is left
	if n := d.listener.Inflight(); n != 0 {
		t.Errorf("%d requests are still counted", n)
	}
}

// TestWhatASourceHasIsSentWithWhatIsAroundIt has pieces as net/http writes them, and others.
func TestWhatASourceHasIsSentWithWhatIsAroundIt(t *testing.T) {
	page := bytes.Repeat([]byte("page"), memfile.Least)
	source := memfile.NewSource(page)
	for end := time.Now().Add(10 * time.Second); ; {
		if file, _ := source.Lend(page); file != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("there is no file")
		}
	}
	small, large := []byte("small"), bytes.Repeat([]byte("L"), 2*buffered)
	for name, parts := range map[string][][]byte{
		"alone":            {page},
		"between":          {small, page[10:], []byte("}}")},
		"after much":       {small, large, small, page[4000 : len(page)-2], small},
		"before much":      {page, large},
		"more than fits":   {small, large, small, large, small, page[1:], small, large},
		"of another place": {small, bytes.Clone(page), small},
	} {
		c, client := pipe(t)
		arrived := make(chan string, 1)
		go func() {
			got, _ := io.ReadAll(client)
			arrived <- string(got)
		}()
		c.gather(source)
		for _, p := range parts {
			if n, err := c.Write(p); n != len(p) || err != nil {
				t.Fatalf("%s: wrote %d, %v", name, n, err)
			}
		}
		if err := c.send(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		c.Close()
		if got, want := <-arrived, string(bytes.Join(parts, nil)); got != want {
			t.Errorf("%s: %d bytes arrived, or others; want %d", name, len(got), len(want))
		}
	}
}
