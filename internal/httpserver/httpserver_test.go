package httpserver

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// soon is a bound that a test can wait for.
const soon = 20 * time.Millisecond

// exchange sends text to a handler under a bound of soon and returns the answer.
func exchange(t *testing.T, handler http.HandlerFunc, text string) (status int, answer string) {
	t.Helper()
	server := httptest.NewServer(bounded{handler, soon})
	t.Cleanup(server.Close)
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("the answer breaks off: %v", err)
	}
	return response.StatusCode, string(data)
}

func TestT41_ABodyThatNeverComesIsNotAwaited(t *testing.T) {
	for _, framing := range []string{"Content-Length: 10\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"} {
		status, _ := exchange(t, http.NotFound, "POST / HTTP/1.1\r\nHost: x\r\n"+framing)
		if status != http.StatusNotFound {
			t.Errorf("%q: status %d", framing, status)
		}
	}
}

func TestT41_AHandlerThatReadsABodyThatNeverComesIsToldSo(t *testing.T) {
	status, _ := exchange(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusRequestTimeout)
		}
	}, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
	if status != http.StatusRequestTimeout {
		t.Errorf("status %d", status)
	}
}

func TestAHandlerMayTakeLongerThanABody(t *testing.T) {
	for name, request := range map[string]string{
		"with a body":    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody",
		"without a body": "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		_, answer := exchange(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadAll(r.Body)
			select {
			case <-r.Context().Done():
				_, _ = io.WriteString(w, "cut off")
			case <-time.After(5 * soon):
				_, _ = io.WriteString(w, "in peace")
			}
		}, request)
		if answer != "in peace" {
			t.Errorf("%s: a handler that took longer ended %q", name, answer)
		}
	}
}

func TestNewBoundsWhatAClientMayHold(t *testing.T) {
	s := New(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
	if wrapped, ok := s.Handler.(bounded); !ok || wrapped.body != bodyTime {
		t.Error("bodies are not bounded")
	}
	if s.ReadHeaderTimeout == 0 || s.IdleTimeout == 0 || s.MaxHeaderBytes == 0 {
		t.Errorf("headers, idle connections: %v, %v, %d", s.ReadHeaderTimeout, s.IdleTimeout, s.MaxHeaderBytes)
	}
}

func TestPanicsAreErrorsAndNoiseIsNot(t *testing.T) {
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
	errorLog := New(nil, log).ErrorLog
	errorLog.Print("http: panic serving 127.0.0.1: bug")
	errorLog.Print("http: TLS handshake error")
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], "level=ERROR") || !strings.Contains(lines[1], "level=DEBUG") {
		t.Errorf("logged: %q", lines)
	}
	if !log.Enabled(context.Background(), slog.LevelDebug) {
		t.Error("the test's log hides what it looks for")
	}
}

// own bounds the bodies of requests to /own.
type own struct{ http.HandlerFunc }

func (own) BoundsBody(r *http.Request) bool { return r.URL.Path == "/own" }

func TestAHandlerThatBoundsABodyItselfGetsItAsItIs(t *testing.T) {
	for path, want := range map[string]bool{"/own": false, "/other": true} {
		handler := own{func(_ http.ResponseWriter, r *http.Request) {
			if _, timed := r.Body.(*body); timed != want {
				t.Errorf("%s: the body is bounded: %v", path, timed)
			}
		}}
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("body"))
		bounded{handler, soon}.ServeHTTP(httptest.NewRecorder(), r)
	}
}

func TestServeEndsWithoutErrorWhereItWasTold(t *testing.T) {
	for told, end := range map[bool]func(*http.Server, net.Listener) error{
		true:  func(s *http.Server, _ net.Listener) error { return s.Close() },
		false: func(_ *http.Server, socket net.Listener) error { return socket.Close() },
	} {
		socket, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		server := New(http.NotFoundHandler(), slog.New(slog.DiscardHandler))
		ended := make(chan error, 1)
		go func() { ended <- Serve(server, socket) }()
		response, err := http.Get("http://" + socket.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if err := end(server, socket); err != nil {
			t.Error(err)
		}
		if err := <-ended; (err == nil) != told {
			t.Errorf("told to stop: %v; it ended with %v", told, err)
		}
		server.Close()
	}
}
