package endpoint

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

type words struct {
	Text string `json:"text"`
}

// older is a server of 2024-11-05.
type older struct {
	*httptest.Server
	sdk  *mcp.Server
	stop func()
}

// sdkOver2024 is a server of the official SDK that speaks HTTP with SSE alone, and knows only who has the key.
func sdkOver2024(t *testing.T) older {
	t.Helper()
	gone := make(chan struct{})
	server := mcp.NewServer(&mcp.Implementation{Name: "older", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "echo"}, func(ctx context.Context, req *mcp.CallToolRequest, in words) (*mcp.CallToolResult, words, error) {
		if token := req.Params.GetProgressToken(); token != nil {
			if err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: token, Progress: 1, Message: in.Text}); err != nil {
				return nil, words{}, err
			}
		}
		return nil, in, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "hang"}, func(ctx context.Context, _ *mcp.CallToolRequest, _ words) (*mcp.CallToolResult, words, error) {
		select { // The SDK waits for it, when a stream has ended.
		case <-ctx.Done():
		case <-gone:
		}
		return nil, words{}, errors.New("nobody waits for it")
	})
	mcp.AddTool(server, &mcp.Tool{Name: "ask"}, func(ctx context.Context, req *mcp.CallToolRequest, _ words) (*mcp.CallToolResult, words, error) {
		result, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Message: "which?"})
		if err != nil {
			return nil, words{}, err
		}
		return nil, words{fmt.Sprint(result.Content["answer"])}, nil
	})
	handler := mcp.NewSSEHandler(func(*http.Request) *mcp.Server { return server }, nil)
	beside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer ours" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	stop := sync.OnceFunc(func() {
		_ = beside.Listener.Close() // At once, as when a process ends.
		beside.CloseClientConnections()
		close(gone)
		beside.Close()
	})
	t.Cleanup(stop)
	return older{beside, server, stop}
}

// front serves a Server by HTTP, as a node has it by a tunnel.
func front(t *testing.T, s *Server) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := &tunnel.Incoming{Server: "wiki", Method: r.Method, Body: r.Body}
		for name, values := range r.Header {
			for _, value := range values {
				in.Header = append(in.Header, tunnel.Field{Name: name, Value: value})
			}
		}
		s.Serve(r.Context(), in, overHTTP{w})
	}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server.URL
}

// overHTTP is a tunnel.Answer by HTTP.
type overHTTP struct{ w http.ResponseWriter }

func (a overHTTP) Head(status int, header []tunnel.Field) error {
	for _, field := range header {
		a.w.Header().Add(field.Name, field.Value)
	}
	a.w.WriteHeader(status)
	return http.NewResponseController(a.w).Flush()
}

func (a overHTTP) Write(piece []byte) (int, error) {
	n, err := a.w.Write(piece)
	if err != nil {
		return n, err
	}
	return n, http.NewResponseController(a.w).Flush()
}

func (a overHTTP) Reply(status int, header []tunnel.Field, body []byte) error {
	if err := a.Head(status, header); err != nil {
		return err
	}
	_, err := a.Write(body)
	return err
}

func (a overHTTP) Reset(tunnelv1.ResetCode, string) { panic(http.ErrAbortHandler) }

// connect connects a client of the official SDK.
func connect(t *testing.T, url string, options *mcp.ClientOptions) (*mcp.ClientSession, error) {
	t.Helper()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, options).
		Connect(t.Context(), &mcp.StreamableClientTransport{Endpoint: url, MaxRetries: -1}, nil)
	if err == nil {
		t.Cleanup(func() { session.Close() })
	}
	return session, err
}

// say calls a tool and returns its text.
func say(t *testing.T, session *mcp.ClientSession, tool, word string) (string, error) {
	t.Helper()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: words{word}})
	if err != nil {
		return "", err
	}
	return result.Content[0].(*mcp.TextContent).Text, nil
}

// eventually polls until ok says yes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: never came", what)
		}
	}
}

func TestAServerOf2024IsServedAsOneOfStreamableHTTP(t *testing.T) {
	beside := sdkOver2024(t)
	s := open(t, Config{Name: "wiki", URL: beside.URL, Header: map[string]string{"Authorization": "Bearer ours"}})
	url := front(t, s)
	var told atomic.Int64
	changed := make(chan struct{}, 100)
	var clients sync.WaitGroup
	for i := range 5 {
		own := fmt.Sprint("client-", i)
		session, err := connect(t, url, &mcp.ClientOptions{
			ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
				return &mcp.ElicitResult{Action: "accept", Content: map[string]any{"answer": own}}, nil
			},
			ProgressNotificationHandler: func(_ context.Context, req *mcp.ProgressNotificationClientRequest) {
				told.Add(1)
				if req.Params.Message != own {
					t.Errorf("%s was told %q", own, req.Params.Message)
				}
			},
			ToolListChangedHandler: func(context.Context, *mcp.ToolListChangedRequest) { changed <- struct{}{} },
		})
		if err != nil {
			t.Fatal(err, s.Status())
		}
		clients.Go(func() {
			hanging, stop := context.WithCancel(t.Context())
			defer stop()
			go session.CallTool(hanging, &mcp.CallToolParams{Name: "hang", Arguments: words{}})
			for range 10 {
				params := &mcp.CallToolParams{Name: "echo", Arguments: words{own}}
				params.SetProgressToken("1")
				result, err := session.CallTool(t.Context(), params)
				if err != nil || !strings.Contains(result.Content[0].(*mcp.TextContent).Text, `"`+own+`"`) {
					t.Errorf("%s got %v, %v", own, result, err)
				}
			}
			if got, err := say(t, session, "ask", ""); err != nil || !strings.Contains(got, own) {
				t.Errorf("%s was answered %q, %v", own, got, err)
			}
		})
	}
	clients.Wait()
	eventually(t, "all progress", func() bool { return told.Load() == 50 })
	mcp.AddTool(beside.sdk, &mcp.Tool{Name: "more"}, func(context.Context, *mcp.CallToolRequest, words) (*mcp.CallToolResult, words, error) {
		return nil, words{}, nil
	})
	for range 5 {
		select {
		case <-changed:
		case <-time.After(10 * time.Second):
			t.Fatal("a client was not told of the new tool")
		}
	}
	if status := s.Status(); !status.Ready || status.Failures != 0 {
		t.Errorf("the status is %+v", status)
	}
}

func TestWhatAServerOf2024NamesMustLieAtItsOrigin(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a message went elsewhere") }))
	defer elsewhere.Close()
	for _, address := range []string{elsewhere.URL + "/message", "//evil.example/message", "https://127.0.0.1/message", "http://ana:pw@HOST/message", "http://[::1", "ftp://HOST/x"} {
		asked := make(chan struct{}, 10)
		beside := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet {
				w.WriteHeader(http.StatusMethodNotAllowed)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: endpoint\ndata: %s\n\n", strings.ReplaceAll(address, "HOST", r.Host))
			asked <- struct{}{}
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}))
		s := open(t, Config{URL: beside.URL + "/sse"})
		a := &answer{}
		s.Serve(t.Context(), incoming("POST", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`), a)
		if a.status != http.StatusMethodNotAllowed || len(asked) != 1 {
			t.Errorf("%s: the answer was %d, after %d streams", address, a.status, len(asked))
		}
		s.Close()
		beside.Close()
	}
}

func TestAServerOf2024ThatGoesIsAwayAndItsSuccessorIsFound(t *testing.T) {
	beside := sdkOver2024(t)
	s := open(t, Config{Name: "wiki", URL: beside.URL, Header: map[string]string{"Authorization": "Bearer ours"}})
	url := front(t, s)
	session, err := connect(t, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	hanging := make(chan error, 1)
	go func() {
		_, err := say(t, session, "hang", "")
		hanging <- err
	}()
	if got, err := say(t, session, "echo", "x"); err != nil {
		t.Fatal(got, err)
	}
	address := beside.Listener.Addr().String()
	beside.stop()
	if err := <-hanging; err == nil {
		t.Error("a call outlived its stream")
	}
	eventually(t, "its being away", func() bool { return !s.Status().Ready })

	newer := mcp.NewServer(&mcp.Implementation{Name: "newer", Version: "1"}, nil)
	next := &http.Server{Addr: address, Handler: mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return newer }, nil)}
	defer next.Close()
	go next.ListenAndServe()
	eventually(t, "its return", func() bool { return s.Status().Ready })
	eventually(t, "a session with its successor", func() bool {
		session, err := connect(t, url, nil)
		return err == nil && session.InitializeResult().ServerInfo.Name == "newer"
	})
}
