package upstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/internal/mcp"
)

// sseSDK serves the SDK's server over HTTP+SSE of 2024-11-05.
func sseSDK(server *sdk.Server) http.Handler {
	return sdk.NewSSEHandler(func(*http.Request) *sdk.Server { return server }, nil)
}

func TestServersOf2024AreFoundAndCalled(t *testing.T) {
	for _, version := range []string{"", mcp.Version20241105, mcp.Version20250326} {
		for _, era := range []mcp.Era{mcp.Legacy, mcp.Modern} {
			t.Run(fmt.Sprint(version, " ", era), func(t *testing.T) {
				p := newPool(t, Config{})
				server := versioned(listen(t, sseSDK(sdkServer(nil))), version)
				for range 2 {
					answer := do(t, p, callTo(t, server, era, `"a"`, "echo", `{"text":"hello"}`))
					if answer.Outcome != outcomeOK || !strings.Contains(string(answer.Body), `"hello"`) || !strings.Contains(string(answer.Body), `"id":"a"`) {
						t.Fatal(show(answer))
					}
				}
			})
		}
	}
}

func TestCallsShareTheStreamOfAServerOf2024(t *testing.T) {
	p := newPool(t, Config{})
	server := versioned(listen(t, sseSDK(sdkServer(nil))), mcp.Version20241105)
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			text := fmt.Sprint("text-", i)
			answer, err := p.Do(t.Context(), callTo(t, server, mcp.Legacy, "1", "echo", `{"text":"`+text+`"}`), nil)
			if err != nil || !strings.Contains(string(answer.Body), `"`+text+`"`) {
				t.Errorf("call %d: %s, %v", i, show(answer), err)
			}
		})
	}
	all.Wait()
	if got := p.sessions.len(); got != 1 {
		t.Errorf("%d sessions were opened", got)
	}
}

func TestProgressComesOnTheSharedStreamToItsOwnCall(t *testing.T) {
	p := newPool(t, Config{})
	server := versioned(listen(t, sseSDK(sdkServer(nil))), mcp.Version20241105)
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"progress","arguments":{"text":"x"},"_meta":{"progressToken":"tok"}}}`
	sink := &collector{}
	answer, err := p.Do(t.Context(), callWith(t, server, mcp.Legacy, mcp.Version20251125, body, "progress"), sink)
	if err != nil || answer.Outcome != outcomeOK {
		t.Fatal(show(answer), err)
	}
	if len(sink.messages) != 3 || !strings.Contains(sink.messages[0], `"progressToken":"tok"`) {
		t.Errorf("progress: %q", sink.messages)
	}
}

// sseFake is a server of 2024-11-05, written by hand.
type sseFake struct {
	t        *testing.T
	endpoint string // what the endpoint event says
	// call answers a tools/call by what it sends on the stream.
	call func(send func(raw string), id string)

	mu      sync.Mutex
	streams []func(raw string)
	cuts    []context.CancelFunc
	posted  []string
}

func (f *sseFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		ctx, cancel := context.WithCancel(r.Context())
		raw, mu := stream(w), new(sync.Mutex)
		send := func(text string) { mu.Lock(); defer mu.Unlock(); raw(text) }
		f.mu.Lock()
		f.streams, f.cuts = append(f.streams, send), append(f.cuts, cancel)
		f.mu.Unlock()
		send("event: endpoint\ndata: " + f.endpoint + "\n\n")
		<-ctx.Done()
		return
	}
	if r.URL.Path != "/message" {
		http.Error(w, "POST elsewhere", http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client hung up
	}
	w.WriteHeader(http.StatusAccepted)
	var request mcp.Request
	if err := mcp.ScanRequest(body, mcp.Limits{}, &request); err != nil {
		f.t.Errorf("the server got %s: %v", body, err)
	}
	f.mu.Lock()
	f.posted = append(f.posted, string(body))
	send := f.streams[len(f.streams)-1]
	f.mu.Unlock()
	switch id := string(request.ID.Of(body)); request.Method {
	case mcp.MethodInitialize:
		send(`data: {"jsonrpc":"2.0","id":` + id + `,"result":{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"f","version":"1"}}}` + "\n\n")
	case mcp.MethodToolsCall:
		f.call(send, id)
	}
}

// cut ends the latest stream.
func (f *sseFake) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cuts[len(f.cuts)-1]()
}

func TestLostStreamFailsItsCallsAtOnceAndReplaysNone(t *testing.T) {
	f := &sseFake{t: t, endpoint: "/message?session=1"}
	calls := 0
	f.call = func(send func(string), id string) {
		if calls++; calls == 1 {
			f.cut()
			return
		}
		send("event: message\ndata: " + ok(id) + "\n\n")
	}
	p := newPool(t, Config{})
	server := versioned(listen(t, f), mcp.Version20241105)
	wantFailure(t, do(t, p, callTo(t, server, mcp.Legacy, "1", "echo", `{}`)), mcp.CodeUnavailable, "closed the connection before its answer was complete")
	if calls != 1 {
		t.Fatalf("the call was made %d times", calls)
	}
	wantAnswer(t, do(t, p, callTo(t, server, mcp.Legacy, "2", "echo", `{}`)), ok("2"))
	if len(f.streams) != 2 {
		t.Errorf("%d streams were opened", len(f.streams))
	}
}

func TestMessagesArePostedToTheServersOwnOriginOnly(t *testing.T) {
	canary := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("another origin got %s %s", r.Method, r.URL) })
	other := listen(t, canary).Url
	for _, endpoint := range []string{other, "//evil.example/message", "https://127.0.0.1/message", "http://127.0.0.1:1/message", "ftp://x/", "http://[::1", "javascript:1"} {
		f := &sseFake{t: t, endpoint: endpoint}
		answer := do(t, newPool(t, Config{}), callTo(t, versioned(listen(t, f), mcp.Version20241105), mcp.Legacy, "1", "echo", `{}`))
		if answer.Outcome != outcomeServerFailed {
			t.Errorf("%s: %s", endpoint, show(answer))
		}
	}
}

func TestEndpointIsResolvedAgainstTheRegisteredAddress(t *testing.T) {
	p := newPool(t, Config{})
	server := versioned(listen(t, http.NotFoundHandler()), mcp.Version20241105)
	server.Url += "/v1/sse?tenant=x"
	e, err := p.endpoint(server)
	if err != nil {
		t.Fatal(err)
	}
	absolute := strings.TrimSuffix(server.Url, "/mcp/v1/sse?tenant=x")
	for reference, want := range map[string]string{
		"/message?s=1":              "/message?s=1",
		"message?s=a%20b":           "/mcp/v1/message?s=a%20b",
		"?s=1":                      "/mcp/v1/sse?s=1",
		absolute + "/elsewhere#top": "/elsewhere",
	} {
		if got, err := e.samePath(reference); got != want || err != nil {
			t.Errorf("%s is %q (%v), want %q", reference, got, err, want)
		}
	}
}

func TestSlowReaderOfALineIsGivenUp(t *testing.T) {
	l := &sseLine{endpoint: &endpoint{budget: budget{size: 1 << 20}}, over: make(chan struct{}), asks: map[string]*sseInbox{}, cancel: func() {}}
	slow, err := l.expect("1")
	if err != nil {
		t.Fatal(err)
	}
	for range inboxMessages {
		slow.put([]byte("x"))
	}
	slow.close()
	slow.put([]byte("x")) // does not wait for who has gone
	other, err := l.expect("2")
	if err != nil {
		t.Fatal(err)
	}
	l.close()
	if _, err := other.next(t.Context()); err != io.EOF {
		t.Errorf("the inbox of a line that ended: %v", err)
	}
	if _, err := l.expect("3"); err == nil {
		t.Error("a line that ended takes requests")
	}
}
