package bridge

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/agent/internal/process"
	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// TestMain runs the tests, or, as a child of theirs, a server.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		if os.Args[2] == "broken" {
			fmt.Fprintln(os.Stderr, "starting")
			fmt.Fprintln(os.Stderr, "cannot find the module", os.Getenv("TOKEN"))
			os.Exit(1)
		}
		if os.Args[2] == "slow" {
			download(os.Args[3])
		}
		if os.Args[2] == "refuses" {
			refuseAll(os.Args[3])
			return
		}
		serveSDK(os.Args[2] == "legacy")
		return
	}
	os.Exit(m.Run())
}

// download takes until there is the file NAME, as npx takes when it has to fetch a program. It notes in NAME.starts that it
// has begun.
func download(name string) {
	starts, err := os.OpenFile(name+".starts", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	fmt.Fprint(starts, "x")
	fmt.Fprintln(os.Stderr, "fetching the program")
	for {
		if _, err := os.Stat(name); err == nil {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// refuseAll answers each request with an error of this code.
func refuseAll(code string) {
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var request struct {
			ID jsontext.Value `json:"id"`
		}
		if err := json.Unmarshal(in.Bytes(), &request); err != nil {
			panic(err)
		}
		if request.ID != nil {
			fmt.Printf(`{"jsonrpc":"2.0","id":%s,"error":{"code":%s,"message":"not today"}}`+"\n", request.ID, code)
		}
	}
}

type text struct {
	Text string `json:"text"`
}

// serveSDK is a server of the official SDK over stdio: of both eras, or of the legacy one alone.
func serveSDK(legacy bool) {
	options := &mcp.ServerOptions{
		SubscribeHandler: func(_ context.Context, req *mcp.SubscribeRequest) error {
			if strings.HasPrefix(req.Params.URI, "bad:") {
				return fmt.Errorf("%s cannot be subscribed to", req.Params.URI)
			}
			return nil
		},
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "fixture", Version: "1"}, options)
	if legacy {
		server.AddReceivingMiddleware(func(next mcp.MethodHandler) mcp.MethodHandler {
			return func(ctx context.Context, method string, req mcp.Request) (mcp.Result, error) {
				if method == "server/discover" {
					os.Exit(1) // As some old ones do.
				}
				return next(ctx, method, req)
			}
		})
	}
	memory := sync.Map{}
	mcp.AddTool(server, &mcp.Tool{Name: "echo"}, func(_ context.Context, _ *mcp.CallToolRequest, in text) (*mcp.CallToolResult, text, error) {
		return nil, in, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "store"}, func(_ context.Context, _ *mcp.CallToolRequest, in text) (*mcp.CallToolResult, text, error) {
		before, _ := memory.Swap("x", in.Text)
		return nil, text{fmt.Sprint(before)}, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "hang"}, func(ctx context.Context, _ *mcp.CallToolRequest, in text) (*mcp.CallToolResult, text, error) {
		<-ctx.Done()
		_ = os.WriteFile(in.Text, []byte("cancelled"), 0o600)
		return nil, in, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "crash"}, func(context.Context, *mcp.CallToolRequest, text) (*mcp.CallToolResult, text, error) {
		os.Exit(3)
		return nil, text{}, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "grow"}, func(context.Context, *mcp.CallToolRequest, text) (*mcp.CallToolResult, text, error) {
		mcp.AddTool(server, &mcp.Tool{Name: "grown"}, func(context.Context, *mcp.CallToolRequest, text) (*mcp.CallToolResult, text, error) {
			return nil, text{}, nil
		})
		return nil, text{}, nil
	})
	server.AddResource(&mcp.Resource{URI: "note:///a", Name: "a"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "update"}, func(ctx context.Context, _ *mcp.CallToolRequest, in text) (*mcp.CallToolResult, text, error) {
		return nil, in, server.ResourceUpdated(ctx, &mcp.ResourceUpdatedNotificationParams{URI: in.Text})
	})
	mcp.AddTool(server, &mcp.Tool{Name: "ask"}, func(ctx context.Context, req *mcp.CallToolRequest, _ text) (*mcp.CallToolResult, text, error) {
		result, err := req.Session.Elicit(ctx, &mcp.ElicitParams{Message: "which?"})
		if err != nil {
			return nil, text{}, err
		}
		return nil, text{fmt.Sprint(result.Content["answer"])}, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "big"}, func(_ context.Context, _ *mcp.CallToolRequest, in text) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: strings.Repeat("x", 300<<10)}}}, nil, nil
	})
	// It tells of progress until there is the file.
	mcp.AddTool(server, &mcp.Tool{Name: "drip"}, func(ctx context.Context, req *mcp.CallToolRequest, in text) (*mcp.CallToolResult, text, error) {
		for i := 0; ; i++ {
			if _, err := os.Stat(in.Text); err == nil {
				return nil, in, nil
			}
			err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: float64(i), Message: in.Text})
			if err != nil {
				return nil, text{}, err
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	mcp.AddTool(server, &mcp.Tool{Name: "progress"}, func(ctx context.Context, req *mcp.CallToolRequest, in text) (*mcp.CallToolResult, text, error) {
		for i := range 3 {
			err := req.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: req.Params.GetProgressToken(), Progress: float64(i), Message: in.Text})
			if err != nil {
				return nil, text{}, err
			}
		}
		return nil, in, nil
	})
	_ = server.Run(context.Background(), &mcp.StdioTransport{})
}

// fixture is a bridge to a server, behind HTTP as a tunnel would have it.
type fixture struct {
	*Server
	url string
}

func start(t *testing.T, config Config) *fixture {
	t.Helper()
	config.Name = "fixture"
	config.Process = process.Options{LeaveTime: 500 * time.Millisecond, TermTime: 500 * time.Millisecond}
	s := New(config)
	front := httptest.NewServer(overHTTP(s))
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
		s.Close()
	})
	return &fixture{s, front.URL}
}

// own returns the Spec of a server of this test.
func own(kind string) process.Spec {
	return process.Spec{Command: []string{os.Args[0], "serve", kind}}
}

// overHTTP serves a tunnel's handler by HTTP.
func overHTTP(h tunnel.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		in := &tunnel.Incoming{Server: "fixture", Method: r.Method, Body: r.Body}
		for name, values := range r.Header {
			for _, value := range values {
				in.Header = append(in.Header, tunnel.Field{Name: name, Value: value})
			}
		}
		a := &answer{w: w}
		h.Serve(r.Context(), in, a)
		if !a.headed {
			panic(http.ErrAbortHandler)
		}
	})
}

// answer is a tunnel.Answer over HTTP.
type answer struct {
	w      http.ResponseWriter
	headed bool
}

func (a *answer) Head(status int, header []tunnel.Field) error {
	a.headed = true
	for _, field := range header {
		a.w.Header().Add(field.Name, field.Value)
	}
	a.w.WriteHeader(status)
	return http.NewResponseController(a.w).Flush()
}

func (a *answer) Write(piece []byte) (int, error) {
	n, err := a.w.Write(piece)
	if err != nil {
		return n, err
	}
	return n, http.NewResponseController(a.w).Flush()
}

func (a *answer) Reply(status int, header []tunnel.Field, body []byte) error {
	if err := a.Head(status, header); err != nil {
		return err
	}
	_, err := a.Write(body)
	return err
}

func (a *answer) Reset(tunnelv1.ResetCode, string) { panic(http.ErrAbortHandler) }

// connect connects a client of the official SDK.
func connect(t *testing.T, url string, options *mcp.ClientOptions, legacy bool) (*mcp.ClientSession, error) {
	t.Helper()
	client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, options)
	transport := &mcp.StreamableClientTransport{Endpoint: url, MaxRetries: -1}
	connecting := &mcp.ClientSessionOptions{}
	if legacy {
		connecting.ProtocolVersion = "2025-11-25"
	}
	session, err := client.Connect(t.Context(), transport, connecting)
	if err == nil {
		t.Cleanup(func() { session.Close() })
	}
	return session, err
}

// npm returns the Spec of a server of npm, of those that deploy/e2e/fixtures/package-lock.json names.
func npm(t *testing.T, name string, args ...string) process.Spec {
	t.Helper()
	modules, err := filepath.Abs("../../../deploy/e2e/fixtures/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(modules, "@modelcontextprotocol", name, "dist", "index.js")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v; 'make fixtures' fetches it", err)
	}
	return process.Spec{Command: append([]string{"node", program}, args...)}
}

// call calls a tool and returns its text.
func call(t *testing.T, session *mcp.ClientSession, tool string, arguments any) (string, error) {
	t.Helper()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if err != nil {
		return "", err
	}
	if len(result.Content) == 0 {
		return "", io.ErrUnexpectedEOF
	}
	return result.Content[0].(*mcp.TextContent).Text, nil
}

// eventually polls until ok says yes; what names what never came.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: never came", what)
		}
	}
}
