package endpoint

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// answer records what a handler answers.
type answer struct {
	status int
	header map[string]string
	body   bytes.Buffer
	pieces chan string
	reset  tunnelv1.ResetCode
}

func (a *answer) Head(status int, header []tunnel.Field) error {
	a.status, a.header = status, map[string]string{}
	for _, field := range header {
		a.header[field.Name] = field.Value
	}
	return nil
}

func (a *answer) Write(piece []byte) (int, error) {
	if a.pieces != nil {
		a.pieces <- string(piece)
	}
	return a.body.Write(piece)
}

func (a *answer) Reply(status int, header []tunnel.Field, body []byte) error {
	_ = a.Head(status, header)
	_, err := a.Write(body)
	return err
}

func (a *answer) Reset(code tunnelv1.ResetCode, _ string) { a.reset = code }

func incoming(method, body string, header ...string) *tunnel.Incoming {
	r := &tunnel.Incoming{Server: "wiki", Method: method, Body: strings.NewReader(body)}
	for i := 0; i < len(header); i += 2 {
		r.Header = append(r.Header, tunnel.Field{Name: header[i], Value: header[i+1]})
	}
	return r
}

func open(t *testing.T, config Config) *Server {
	t.Helper()
	s, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestWhatMCPNeedsPassesAndCredentialsAreOurs(t *testing.T) {
	var got http.Header
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, body = r.Header.Clone(), readAll(t, r.Body)
		w.Header().Set("Mcp-Session-Id", "s1")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Set-Cookie", "a=b")
		w.Header().Set("WWW-Authenticate", "Bearer")
		io.WriteString(w, "{}")
	}))
	defer server.Close()
	s := open(t, Config{URL: server.URL + "/mcp", Header: map[string]string{"Authorization": "Bearer ours"}})
	a := &answer{}
	s.Serve(t.Context(), incoming("POST", `{"x":1}`, "content-type", "application/json", "mcp-method", "ping", "Authorization", "Bearer theirs",
		"Cookie", "c=d", "Host", "elsewhere", "X-Forwarded-For", "1.2.3.4", "origin", "http://evil"), a)
	for name, want := range map[string]string{"Authorization": "Bearer ours", "Mcp-Method": "ping", "Content-Type": "application/json",
		"Cookie": "", "X-Forwarded-For": "", "Origin": ""} {
		if got.Get(name) != want {
			t.Errorf("%s was %q; want %q", name, got.Get(name), want)
		}
	}
	want := map[string]string{"mcp-session-id": "s1", "content-type": "application/json"}
	if diff := cmp.Diff(want, a.header); diff != "" || a.status != 200 || a.body.String() != "{}" || string(body) != `{"x":1}` {
		t.Errorf("the answer was %d %q: %s", a.status, a.body.String(), diff)
	}
}

func readAll(t *testing.T, r io.Reader) []byte {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	return text
}

func TestRedirectsAreNotFollowedAndMethodsOfOthersAreRefused(t *testing.T) {
	hits := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits++
		http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	s := open(t, Config{URL: server.URL})
	a := &answer{}
	if s.Serve(t.Context(), incoming("POST", "{}"), a); a.status != 307 || hits != 1 || a.header["location"] != "" {
		t.Errorf("the answer was %d %v after %d requests", a.status, a.header, hits)
	}
	a = &answer{}
	if s.Serve(t.Context(), incoming("CONNECT", ""), a); a.reset != tunnelv1.ResetCode_RESET_CODE_REFUSED || hits != 1 {
		t.Errorf("CONNECT was not refused: %+v", a)
	}
}

func TestEventsPassAsTheyCome(t *testing.T) {
	next := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, event := range []string{"one", "two"} {
			io.WriteString(w, event)
			w.(http.Flusher).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	s := open(t, Config{URL: server.URL})
	a := &answer{pieces: make(chan string)}
	done := make(chan struct{})
	go func() { s.Serve(t.Context(), incoming("GET", ""), a); close(done) }()
	for _, want := range []string{"one", "two"} {
		if got := <-a.pieces; got != want {
			t.Errorf("got %q; want %q", got, want)
		}
		next <- struct{}{}
	}
	if <-done; a.reset != tunnelv1.ResetCode_RESET_CODE_FAILED {
		t.Error("an answer that broke off passes for a whole one")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done = make(chan struct{})
	go func() { s.Serve(ctx, incoming("GET", ""), a); close(done) }()
	<-a.pieces
	cancel()
	<-done
}

func TestAServerThatIsNotThereIsAwayUntilItIs(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := socket.Addr().String()
	socket.Close()
	changed := make(chan struct{}, 100)
	s := open(t, Config{URL: "http://" + address, Changed: func() { changed <- struct{}{} }})
	a := &answer{}
	if s.Serve(t.Context(), incoming("POST", "{}"), a); a.status != 502 || s.Status().Ready || s.Status().LastError == "" {
		t.Fatalf("the answer was %d, the status is %+v", a.status, s.Status())
	}
	if socket, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	for deadline := time.After(20 * time.Second); !s.Status().Ready; {
		select {
		case <-changed:
		case <-deadline:
			t.Fatal("it never came back")
		}
	}
}

func TestURLsAndHeadersThatCannotBe(t *testing.T) {
	for _, url := range []string{"", "file:///etc/passwd", "http://", "http://ana:pw@host/", "http://host/#x", "http:host", "http://[::1"} {
		if _, err := New(Config{URL: url}); err == nil || strings.Contains(err.Error(), "pw") {
			t.Errorf("%q: %v", url, err)
		}
	}
	for _, name := range []string{"Mcp-Session-Id", "Host", "Content-Length", "a b"} {
		if _, err := New(Config{URL: "http://host/", Header: map[string]string{name: "x"}}); err == nil {
			t.Errorf("header %q was taken", name)
		}
	}
}
