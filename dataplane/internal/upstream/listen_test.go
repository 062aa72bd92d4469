package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// talker is a legacy server with sessions that says what tests want on the streams of its sessions.
type talker struct {
	t *testing.T
	// hear takes what is asked by GET; n counts from 1.
	hear func(w http.ResponseWriter, r *http.Request, n int)

	mu          sync.Mutex
	initialized int
	heard       []http.Header // of each GET
	posted      []string      // what came besides the handshake
}

func (f *talker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		f.mu.Lock()
		f.heard = append(f.heard, r.Header.Clone())
		n := len(f.heard)
		f.mu.Unlock()
		f.hear(w, r, n)
		return
	case http.MethodDelete:
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client hung up
	}
	var request mcp.Request
	if err := mcp.ScanRequest(body, mcp.Limits{}, &request); err != nil {
		f.t.Errorf("the server got %s: %v", body, err)
		return
	}
	id := string(request.ID.Of(body))
	f.mu.Lock()
	defer f.mu.Unlock()
	switch request.Method {
	case mcp.MethodInitialize:
		f.initialized++
		w.Header().Set(mcp.HeaderSession, fmt.Sprint("opened-", f.initialized))
		reply(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{"protocolVersion":"2025-06-18","capabilities":{},"serverInfo":{"name":"f","version":"1"}}}`)
	case mcp.MethodInitialized:
		w.WriteHeader(http.StatusAccepted)
	default:
		f.posted = append(f.posted, string(body))
		if request.IsResponse() || id == "" {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		reply(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{}}`)
	}
}

// gets returns a header of each GET.
func (f *talker) gets(name string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	values := []string{}
	for _, header := range f.heard {
		values = append(values, header.Get(name))
	}
	return values
}

func (f *talker) posts() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.posted)
}

// hold keeps a stream open until the client leaves.
func hold(r *http.Request) { <-r.Context().Done() }

// listening is a Listen that runs until the test ends.
type listening struct {
	*collector
	t     *testing.T
	ready chan struct{}
	done  chan error
	stop  context.CancelCauseFunc
}

var errStop = errors.New("the test stops listening")

// hears listens with short rests.
func hears(t *testing.T, p *Pool, l *Listen) *listening {
	t.Helper()
	h := &listening{collector: &collector{}, t: t, ready: make(chan struct{}), done: make(chan error, 1)}
	ctx, stop := context.WithCancelCause(context.Background())
	h.stop = stop
	l.Ready = func() { close(h.ready) }
	e := &ear{pool: p, listen: l, sink: h.collector, ready: l.Ready, rest: rest{first: time.Millisecond, conflict: time.Millisecond, last: 5 * time.Millisecond}}
	go func() {
		defer e.isReady()
		if err := e.aim(); err != nil {
			h.done <- err
			return
		}
		h.done <- e.run(ctx)
	}()
	t.Cleanup(func() {
		stop(errStop)
		await(t, "the end of listening", func() bool { return len(h.done) > 0 })
	})
	return h
}

func (h *listening) awaitReady() {
	h.t.Helper()
	select {
	case <-h.ready:
	case <-time.After(10 * time.Second):
		h.t.Fatal("never ready")
	}
}

// await waits until so many notifications came, and returns them.
func (h *listening) await(n int) []string {
	h.t.Helper()
	var got []string
	await(h.t, fmt.Sprint(n, " notifications"), func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		got = slices.Clone(h.messages)
		return len(got) >= n
	})
	return got
}

const (
	saysTools = `{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}`
	saysLog   = `{ "jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":12345678901234567890} }`
)

// changes collects what Config.Changed is told.
type changes struct {
	mu    sync.Mutex
	names []string
}

func (c *changes) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names = append(c.names, name)
}

func (c *changes) get() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.names)
}

func TestListenHearsALegacyServerInTheClientsSession(t *testing.T) {
	f := &talker{t: t, hear: func(w http.ResponseWriter, r *http.Request, _ int) {
		send := stream(w)
		send("data: " + saysLog + "\n\n")
		send(": keep-alive\n\nid: 9\ndata:\n\n")
		send("data: " + saysTools + "\n\n")
		hold(r)
	}}
	var changed changes
	p := newPool(t, Config{Changed: changed.add})
	h := hears(t, p, &Listen{Server: versioned(listen(t, f), mcp.Version20250618), Session: &SessionRef{ID: "mine", Version: "2025-03-26"}})
	h.awaitReady()
	if got := h.await(2); !slices.Equal(got, []string{saysLog, saysTools}) {
		t.Errorf("heard %q", got)
	}
	if got := f.gets(mcp.HeaderSession); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("sessions of the streams: %q", got)
	}
	if got := f.gets(mcp.HeaderVersion); !slices.Equal(got, []string{"2025-03-26"}) {
		t.Errorf("versions of the streams: %q", got)
	}
	if got := changed.get(); !slices.Equal(got, []string{"github"}) {
		t.Errorf("changed are %q", got)
	}
	if f.initialized != 0 {
		t.Error("the client's own session was not enough")
	}
	h.stop(errStop)
	if err := <-h.done; err != errStop {
		t.Errorf("Listen returned %v", err)
	}
	h.done <- nil
}

func TestListenGoesOnFromTheLastEventWhenTheStreamEnds(t *testing.T) {
	f := &talker{t: t, hear: func(w http.ResponseWriter, r *http.Request, n int) {
		send := stream(w)
		if n == 1 {
			send("id: first\ndata: " + saysLog + "\n\n")
			return
		}
		send("id: second\ndata: " + saysTools + "\n\n")
		hold(r)
	}}
	h := hears(t, newPool(t, Config{}), &Listen{Server: versioned(listen(t, f), mcp.Version20250618), Session: &SessionRef{ID: "mine", Version: "2025-06-18"}})
	h.await(2)
	if got := f.gets("Last-Event-ID"); !slices.Equal(got, []string{"", "first"}) {
		t.Errorf("asked for what comes after %q", got)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if got := h.marks[0]; got.EventID != "first" || got.Session.ID != "mine" {
		t.Errorf("the first mark is %+v", got)
	}
}

func TestListenStartsAfreshWhereAServerCannotResume(t *testing.T) {
	f := &talker{t: t, hear: func(w http.ResponseWriter, r *http.Request, n int) {
		switch n {
		case 1:
			stream(w)("id: first\ndata: " + saysLog + "\n\n")
		case 2:
			http.Error(w, "stream replay unsupported", http.StatusBadRequest)
		default:
			stream(w)("data: " + saysTools + "\n\n")
			hold(r)
		}
	}}
	h := hears(t, newPool(t, Config{}), &Listen{Server: versioned(listen(t, f), mcp.Version20250618), Session: &SessionRef{ID: "mine", Version: "2025-06-18"}})
	h.await(2)
	if got := f.gets("Last-Event-ID"); !slices.Equal(got, []string{"", "first", ""}) {
		t.Errorf("asked for what comes after %q", got)
	}
}

func TestListenLeavesAServerAloneThatHasNothingToSay(t *testing.T) {
	for _, status := range []int{http.StatusMethodNotAllowed, http.StatusNotImplemented} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			f := &talker{t: t, hear: func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(status) }}
			h := hears(t, newPool(t, Config{}), &Listen{Server: versioned(listen(t, f), mcp.Version20250618), Session: &SessionRef{ID: "mine"}})
			h.awaitReady()
			h.stop(errStop)
			if err := <-h.done; err != errStop {
				t.Errorf("Listen returned %v", err)
			}
			h.done <- nil
			if got := len(f.gets("")); got != 1 {
				t.Errorf("the server was asked %d times", got)
			}
		})
	}
}

func TestListenWaitsForAnotherStreamOfTheSessionToClose(t *testing.T) {
	f := &talker{t: t, hear: func(w http.ResponseWriter, r *http.Request, n int) {
		if n < 4 {
			http.Error(w, "only one stream", http.StatusConflict)
			return
		}
		stream(w)("data: " + saysTools + "\n\n")
		hold(r)
	}}
	h := hears(t, newPool(t, Config{}), &Listen{Server: versioned(listen(t, f), mcp.Version20250618), Session: &SessionRef{ID: "mine"}})
	h.await(1)
}

func TestListenOpensASessionWhereTheClientsIsLost(t *testing.T) {
	f := &talker{t: t, hear: func(w http.ResponseWriter, r *http.Request, _ int) {
		if r.Header.Get(mcp.HeaderSession) == "mine" {
			http.Error(w, "session not found", http.StatusNotFound)
			return
		}
		stream(w)("data: " + saysTools + "\n\n")
		hold(r)
	}}
	server := versioned(listen(t, f), mcp.Version20250618)
	p := newPool(t, Config{})
	h := hears(t, p, &Listen{Server: server, Session: &SessionRef{ID: "mine"}, SessionKey: "s/1"})
	h.await(1)
	if got := f.gets(mcp.HeaderSession); !slices.Equal(got, []string{"mine", "opened-1"}) {
		t.Errorf("sessions of the streams: %q", got)
	}
}

func TestListenComesBackToAServerThatWasDown(t *testing.T) {
	f := &talker{t: t, hear: func(w http.ResponseWriter, r *http.Request, n int) {
		switch n {
		case 1:
			http.Error(w, "starting", http.StatusServiceUnavailable)
		case 2:
			cut(w)
		default:
			stream(w)("data: " + saysTools + "\n\n")
			hold(r)
		}
	}}
	h := hears(t, newPool(t, Config{}), &Listen{Server: versioned(listen(t, f), mcp.Version20250618), Session: &SessionRef{ID: "mine"}})
	h.awaitReady() // with the first failure: nobody is kept waiting
	h.await(1)
}

func TestListenRelaysWhatIsPermittedAndRefusesTheRest(t *testing.T) {
	f := &talker{t: t, hear: func(w http.ResponseWriter, r *http.Request, _ int) {
		send := stream(w)
		send(`data: {"jsonrpc":"2.0","id":1,"method":"roots/list"}` + "\n\n")
		send(`data: {"jsonrpc":"2.0","id":"two","method":"sampling/createMessage","params":{"messages":[]}}` + "\n\n")
		send(`data: {"jsonrpc":"2.0","id":3,"method":"elicitation/create","params":{"message":"?"}}` + "\n\n")
		send(`data: {"jsonrpc":"2.0","id":4,"method":"ping"}` + "\n\n")
		hold(r)
	}}
	h := hears(t, newPool(t, Config{}), &Listen{
		Server: versioned(listen(t, f), mcp.Version20250618), Session: &SessionRef{ID: "mine", Version: "2025-06-18"},
		Capabilities: mcp.CapRoots | mcp.CapSampling,
		Permit: func(method string, _ []byte) *mcp.Error {
			if method == mcp.MethodRootsList {
				return nil
			}
			return &mcp.Error{Code: mcp.CodeDenied, Text: "no", Offset: -1}
		},
	})
	await(t, "the answers to what was refused", func() bool { return len(f.posts()) == 3 })
	posts := f.posts()
	slices.Sort(posts)
	for i, want := range []string{`"id":"two","error"`, `"id":3,"error":{"code":-32601`, `"id":4,"result":{}`} {
		if !strings.Contains(posts[i], want) {
			t.Errorf("the server got %s, want %s", posts[i], want)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.relayed) != 1 || !strings.Contains(h.relayed[0], "roots/list") || h.sessions[0].ID != "mine" {
		t.Errorf("relayed %q in %v", h.relayed, h.sessions)
	}
}

func TestListenSubscribesAModernClientInASessionOfItsOwn(t *testing.T) {
	f := &talker{t: t, hear: func(w http.ResponseWriter, r *http.Request, _ int) {
		stream(w)("data: " + saysTools + "\n\n")
		hold(r)
	}}
	h := hears(t, newPool(t, Config{}), &Listen{
		Server: versioned(listen(t, f), mcp.Version20250618), SessionKey: "l/1", Filter: mcp.ListenFilter{URIs: []string{"file:///ä", "file:///b"}},
	})
	h.await(1)
	posts := f.posts()
	if len(posts) != 2 || !strings.Contains(posts[0], `"method":"resources/subscribe","params":{"uri":"file:///ä"}`) || !strings.Contains(posts[1], `"file:///b"`) {
		t.Errorf("the server got %q", posts)
	}
	if got := f.gets(mcp.HeaderSession); !slices.Equal(got, []string{"opened-1"}) {
		t.Errorf("sessions of the streams: %q", got)
	}
}

func TestListenEndsWithItsSink(t *testing.T) {
	f := &talker{t: t, hear: func(w http.ResponseWriter, r *http.Request, _ int) {
		stream(w)("data: " + saysTools + "\n\n")
		hold(r)
	}}
	err := newPool(t, Config{}).Listen(t.Context(), &Listen{Server: versioned(listen(t, f), mcp.Version20250618), Session: &SessionRef{ID: "mine"}}, deafSink{})
	if !errors.Is(err, errSink) {
		t.Errorf("Listen returned %v", err)
	}
}

// deafSink is a client that has gone.
type deafSink struct{ Sink }

func (deafSink) Notification([]byte, Mark) error { return errors.New("gone") }

func TestListenRefusesAServerWithoutAnAddress(t *testing.T) {
	ready := false
	err := newPool(t, Config{}).Listen(t.Context(), &Listen{
		Server: &snapshotv1.Server{Name: "github", Url: "file:///x"}, Ready: func() { ready = true },
	}, &collector{})
	if err == nil || !ready {
		t.Errorf("Listen returned %v, ready %v", err, ready)
	}
}

// modernTalker is a modern server that answers subscriptions/listen as a test wants.
func modernTalker(t *testing.T, listen func(w http.ResponseWriter, r *http.Request, id, body string, n int)) http.Handler {
	var mu sync.Mutex
	n := 0
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client hung up
		}
		var request mcp.Request
		if err := mcp.ScanRequest(body, mcp.Limits{}, &request); err != nil || request.Method != mcp.MethodListen || r.Header.Get(mcp.HeaderMethod) != mcp.MethodListen {
			t.Errorf("the server got %s %s: %v", r.Method, body, err)
			return
		}
		mu.Lock()
		n++
		count := n
		mu.Unlock()
		listen(w, r, string(request.ID.Of(body)), string(body), count)
	})
}

func ackOf(id, granted string) string {
	return `data: {"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":` +
		id + `},"notifications":` + granted + `}}` + "\n\n"
}

func TestListenAsksAModernServerForWhatIsWanted(t *testing.T) {
	acknowledge := make(chan struct{})
	var asked string
	server := versioned(listen(t, modernTalker(t, func(w http.ResponseWriter, r *http.Request, id, body string, _ int) {
		asked = body
		send := stream(w)
		<-acknowledge
		send(ackOf(id, `{"toolsListChanged":true,"resourceSubscriptions":["file:///a"]}`))
		send(`data: {"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":` + id + `}}}` + "\n\n")
		send(`data: {"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///a","_meta":{"x":1.10,"io.modelcontextprotocol/subscriptionId":` + id + `}}}` + "\n\n")
		hold(r)
	})), mcp.Version20260728)
	var changed changes
	h := hears(t, newPool(t, Config{Changed: changed.add}), &Listen{Server: server, Filter: mcp.ListenFilter{Tools: true, URIs: []string{"file:///a"}}})
	select {
	case <-h.ready:
		t.Error("ready before the server has acknowledged")
	default:
	}
	close(acknowledge)
	h.awaitReady()
	got := h.await(2)
	for i, want := range []string{
		`{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{}}}`,
		`{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"file:///a","_meta":{"x":1.10}}}`,
	} {
		if got[i] != want {
			t.Errorf("heard %s, want %s", got[i], want)
		}
	}
	if !strings.Contains(asked, `"notifications":{"toolsListChanged":true,"resourceSubscriptions":["file:///a"]}}`) ||
		!strings.Contains(asked, `"io.modelcontextprotocol/protocolVersion":"2026-07-28"`) {
		t.Errorf("the server was asked %s", asked)
	}
	if got := changed.get(); !slices.Equal(got, []string{"github"}) {
		t.Errorf("changed are %q", got)
	}
}

func TestListenListensAgainAfterAGracefulEnd(t *testing.T) {
	server := versioned(listen(t, modernTalker(t, func(w http.ResponseWriter, r *http.Request, id, _ string, n int) {
		send := stream(w)
		send(ackOf(id, `{"toolsListChanged":true}`))
		if n == 1 {
			send(`data: {"jsonrpc":"2.0","id":` + id + `,"result":{"resultType":"complete"}}` + "\n\n")
			return
		}
		send("data: " + saysTools + "\n\n")
		hold(r)
	})), mcp.Version20260728)
	hears(t, newPool(t, Config{}), &Listen{Server: server, Filter: mcp.ListenFilter{Tools: true}}).await(1)
}

func TestListenLeavesAModernServerAloneThatHasNothingToSay(t *testing.T) {
	answers := map[string]func(w http.ResponseWriter, id string){
		"unknown method": func(w http.ResponseWriter, id string) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, `{"jsonrpc":"2.0","id":`+id+`,"error":{"code":-32601,"message":"no such method"}}`)
		},
		"unknown method, 200": func(w http.ResponseWriter, id string) {
			reply(w, `{"jsonrpc":"2.0","id":`+id+`,"error":{"code":-32601,"message":"no such method"}}`)
		},
		"over at once": func(w http.ResponseWriter, id string) {
			reply(w, `{"jsonrpc":"2.0","id":`+id+`,"result":{"resultType":"complete"}}`)
		},
		"honours nothing": func(w http.ResponseWriter, id string) {
			send := stream(w)
			send(ackOf(id, `{}`))
			send(`data: {"jsonrpc":"2.0","id":` + id + `,"result":{"resultType":"complete"}}` + "\n\n")
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			var n changes
			server := versioned(listen(t, modernTalker(t, func(w http.ResponseWriter, _ *http.Request, id, _ string, _ int) {
				n.add(id)
				answer(w, id)
			})), mcp.Version20260728)
			h := hears(t, newPool(t, Config{}), &Listen{Server: server, Filter: mcp.ListenFilter{Tools: true}})
			h.awaitReady()
			h.stop(errStop)
			<-h.done
			h.done <- nil
			if got := len(n.get()); got != 1 {
				t.Errorf("the server was asked %d times", got)
			}
		})
	}
}

func TestRestGrowsAndIsBounded(t *testing.T) {
	r := rest{first: firstRest, conflict: firstConflict, last: lastRest}
	failed := errors.New("failed")
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
		if got := r.next(failed, 0); got != want*time.Second {
			t.Errorf("rest %d is %v, want %v s", i, got, want)
		}
	}
	r.reset()
	if got := r.next(errConflict, 0); got != firstConflict {
		t.Errorf("after a conflict: %v", got)
	}
	if got := r.next(failed, 7*time.Second); got != 7*time.Second {
		t.Errorf("with the server's wish: %v", got)
	}
	if got := r.next(failed, time.Hour); got != lastRest {
		t.Errorf("with a wish beyond the bound: %v", got)
	}
	if got := r.next(errNothing, 0); got != nothingTime {
		t.Errorf("with nothing to hear: %v", got)
	}
}

func TestListenHearsServersOfTheSDK(t *testing.T) {
	kinds := map[string]struct {
		handler func(*sdk.Server) http.Handler
		version string
	}{
		"modern": {func(s *sdk.Server) http.Handler {
			return sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return s }, &sdk.StreamableHTTPOptions{Stateless: true})
		}, mcp.Version20260728},
		"legacy": {func(s *sdk.Server) http.Handler {
			return sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return s }, nil)
		}, mcp.Version20251125},
		"2024-11-05": {func(s *sdk.Server) http.Handler {
			return sdk.NewSSEHandler(func(*http.Request) *sdk.Server { return s }, nil)
		}, mcp.Version20241105},
	}
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			server := sdk.NewServer(&sdk.Implementation{Name: "sdk", Version: "1"}, &sdk.ServerOptions{
				SubscribeHandler:   func(context.Context, *sdk.SubscribeRequest) error { return nil },
				UnsubscribeHandler: func(context.Context, *sdk.UnsubscribeRequest) error { return nil },
			})
			server.AddResource(&sdk.Resource{Name: "a", URI: "file:///a"}, nil)
			sdk.AddTool(server, &sdk.Tool{Name: "first"}, func(context.Context, *sdk.CallToolRequest, echoIn) (*sdk.CallToolResult, any, error) {
				return nil, nil, nil
			})
			h := hears(t, newPool(t, Config{}), &Listen{
				Server: versioned(listen(t, kind.handler(server)), kind.version), SessionKey: "l/1",
				Filter: mcp.ListenFilter{Tools: true, URIs: []string{"file:///a"}},
			})
			h.awaitReady()
			sdk.AddTool(server, &sdk.Tool{Name: "second"}, func(context.Context, *sdk.CallToolRequest, echoIn) (*sdk.CallToolResult, any, error) {
				return nil, nil, nil
			})
			if err := server.ResourceUpdated(t.Context(), &sdk.ResourceUpdatedNotificationParams{URI: "file:///a"}); err != nil {
				t.Fatal(err)
			}
			all := strings.Join(h.await(2), "\n")
			for _, want := range []string{mcp.MethodToolsChanged, mcp.MethodResourceUpdated, `"file:///a"`} {
				if !strings.Contains(all, want) {
					t.Errorf("no %s in\n%s", want, all)
				}
			}
			if strings.Contains(all, "subscriptionId") {
				t.Errorf("our subscription shows in\n%s", all)
			}
		})
	}
}
