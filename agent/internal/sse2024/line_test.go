package sse2024

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/mcp"
)

// fake is a server of 2024-11-05, written by hand.
type fake struct {
	events chan string // what goes out on the stream
	// post answers a message with a status.
	post func(method, id string) int

	mu    sync.Mutex
	taken []string // methods, in the order in which they were taken
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		io.WriteString(w, ": hello\n\nevent: endpoint\ndata: /message?session=1\n\n")
		for {
			w.(http.Flusher).Flush()
			select {
			case event, ok := <-f.events:
				if !ok {
					return
				}
				io.WriteString(w, event)
			case <-r.Context().Done():
				return
			}
		}
	}
	body, err := io.ReadAll(r.Body)
	var request mcp.Request
	if err != nil || r.URL.RequestURI() != "/message?session=1" || mcp.ScanRequest(body, mcp.Limits{}, &request) != nil {
		w.WriteHeader(http.StatusTeapot)
		return
	}
	status := f.post(request.Method, string(request.ID.Of(body)))
	f.mu.Lock()
	f.taken = append(f.taken, request.Method)
	f.mu.Unlock()
	w.WriteHeader(status)
}

func (f *fake) answer(id string) {
	f.events <- `data: {"jsonrpc":"2.0","id":` + id + `,"result":{}}` + "\n\n"
}

// dial opens a session with a fake.
func dial(t *testing.T, f *fake) *Line {
	t.Helper()
	server := httptest.NewServer(f)
	target, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	l, err := Dial(t.Context(), Config{URL: target, Transport: transport, Log: discard}, silent{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Stop()
		transport.CloseIdleConnections()
		server.Close()
	})
	return l
}

var discard = slog.New(slog.DiscardHandler)

type silent struct{}

func (silent) Hear(*wire.Message) {}

func begin(t *testing.T, l *Line, method string) *wire.Call {
	t.Helper()
	body := []byte(`{"jsonrpc":"2.0","id":1,"method":"` + method + `"}`)
	var request mcp.Request
	if err := mcp.ScanRequest(body, mcp.Limits{}, &request); err != nil {
		t.Fatal(err)
	}
	call, err := l.Begin(t.Context(), body, &request)
	if err != nil {
		t.Fatal(err)
	}
	return call
}

func wait(t *testing.T, call *wire.Call) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := call.Wait(ctx)
	return err
}

func TestAPostThatHangsOrFailsHoldsItsOwnCallAlone(t *testing.T) {
	f := &fake{events: make(chan string, 10)}
	release := make(chan struct{})
	f.post = func(method, id string) int {
		switch method {
		case "hang":
			<-release
		case "refused":
			return http.StatusBadRequest
		}
		f.answer(id)
		return http.StatusAccepted
	}
	l := dial(t, f)
	hanging := begin(t, l, "hang")
	if err := wait(t, begin(t, l, "refused")); err == nil || !strings.Contains(err.Error(), "HTTP status 400") {
		t.Errorf("a refused call ended with %v", err)
	}
	if err := wait(t, begin(t, l, "quick")); err != nil {
		t.Errorf("a call beside them ended with %v", err)
	}
	close(release)
	if err := wait(t, hanging); err != nil {
		t.Error(err)
	}
}

func TestWhatComesAfterANotificationIsPostedAfterIt(t *testing.T) {
	f := &fake{events: make(chan string, 100)}
	release := make(chan struct{})
	f.post = func(method, id string) int {
		if method == "notifications/initialized" {
			<-release
		} else {
			f.answer(id)
		}
		return http.StatusAccepted
	}
	l := dial(t, f)
	if err := l.Send(t.Context(), []byte(`{"jsonrpc":"2.0","method":"notifications/initialized"}`)); err != nil {
		t.Fatal(err)
	}
	var calls []*wire.Call
	for i := range 10 {
		calls = append(calls, begin(t, l, fmt.Sprint("call", i)))
	}
	close(release)
	for _, call := range calls {
		if err := wait(t, call); err != nil {
			t.Fatal(err)
		}
	}
	if f.taken[0] != "notifications/initialized" {
		t.Errorf("the server took %q", f.taken)
	}
}

func TestTheEndOfTheSessionFailsAllCalls(t *testing.T) {
	for name, end := range map[string]func(*fake, *Line){
		"the stream ends":    func(f *fake, _ *Line) { close(f.events) },
		"HTTP 404 to a POST": func(_ *fake, l *Line) { l.Tell([]byte(`{"jsonrpc":"2.0","method":"gone"}`)) },
	} {
		f := &fake{events: make(chan string, 10)}
		f.post = func(method, _ string) int {
			if method == "gone" {
				return http.StatusNotFound
			}
			return http.StatusAccepted
		}
		l := dial(t, f)
		call := begin(t, l, "call")
		end(f, l)
		if err := wait(t, call); !errors.Is(err, wire.ErrOver) {
			t.Errorf("%s: the call ended with %v", name, err)
		}
		<-l.Dead()
		if _, err := l.Begin(t.Context(), []byte(`{"id":1}`), &mcp.Request{}); !errors.Is(err, wire.ErrOver) || !errors.Is(l.Err(), wire.ErrOver) {
			t.Errorf("%s: it is over by %v, and takes a call with %v", name, l.Err(), err)
		}
	}
	f := &fake{events: make(chan string), post: func(string, string) int { return http.StatusAccepted }}
	l := dial(t, f)
	call := begin(t, l, "call")
	l.Stop()
	if err := wait(t, call); !errors.Is(err, wire.ErrStopped) {
		t.Errorf("after Stop the call ended with %v", err)
	}
}

func TestWhatIsNoServerOf2024IsToldApart(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter){
		"no stream":  func(w http.ResponseWriter) { io.WriteString(w, "event: endpoint\ndata: /m\n\n") },
		"no address": func(w http.ResponseWriter) { stream(w, "data: {}\n\n") },
		"nothing":    func(w http.ResponseWriter) { stream(w, "") },
		"too many comments": func(w http.ResponseWriter) {
			stream(w, strings.Repeat(": x\n\n", maxPreamble)+"event: endpoint\ndata: /m\n\n")
		},
		"another status": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.WriteHeader(http.StatusAccepted)
		},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w) }))
		target, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Dial(t.Context(), Config{URL: target, Transport: &http.Transport{DisableKeepAlives: true}, Log: discard}, silent{}); !errors.Is(err, ErrOther) {
			t.Errorf("%s: %v", name, err)
		}
		server.Close()
	}
	silentServer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream(w, ": wait\n\n")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer silentServer.Close()
	target, err := url.Parse(silentServer.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, Config{URL: target, Transport: &http.Transport{DisableKeepAlives: true}, Log: discard}, silent{}); err == nil {
		t.Error("a server that names no address is waited for without end")
	}
}

func stream(w http.ResponseWriter, text string) {
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, text)
}
