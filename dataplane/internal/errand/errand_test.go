package errand_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/errand"
	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	"github.com/warder-gateway/warder/internal/tunnel"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// pipe is one end of a connection in memory.
type pipe struct {
	in, out chan *tunnelv1.Frames
	over    <-chan struct{}
}

func (p pipe) Send(f *tunnelv1.Frames) error {
	select {
	case p.out <- f:
		return nil
	case <-p.over:
		return io.EOF
	}
}

func (p pipe) Recv() (*tunnelv1.Frames, error) {
	select {
	case f := <-p.in:
		return f, nil
	case <-p.over:
		return nil, io.EOF
	}
}

// serving has a node's errands serve what comes from a node.
type serving struct {
	errands *errand.Errands
	from    string
}

func (s serving) Serve(ctx context.Context, in *tunnel.Incoming, w tunnel.Answer) {
	body, err := in.ReadAll(1 << 20)
	if err != nil {
		return
	}
	s.errands.Serve(ctx, s.from, in.Errand, body, w)
}

// lines leads from one node to others.
type lines map[string]*tunnel.Tunnel

func (l lines) Do(ctx context.Context, node string, r *tunnel.Request) (*tunnel.Response, error) {
	if l[node] == nil {
		return nil, &tunnel.Error{Err: errors.New("no such node")}
	}
	return l[node].Do(ctx, r)
}

func (l lines) Nodes(string) (names []string) {
	for name := range l {
		names = append(names, name)
	}
	return names
}

// connect makes a line by which a node serves another.
func connect(t *testing.T, from string, to *errand.Errands) *tunnel.Tunnel {
	t.Helper()
	return line(t, serving{to, from})
}

// line leads to whatever serves it.
func line(t *testing.T, to tunnel.Handler) *tunnel.Tunnel {
	t.Helper()
	there, back := make(chan *tunnelv1.Frames), make(chan *tunnelv1.Frames)
	ctx, cancel := context.WithCancel(context.Background())
	ours := tunnel.New(pipe{back, there, ctx.Done()}, tunnel.Config{Close: cancel})
	theirs := tunnel.New(pipe{there, back, ctx.Done()}, tunnel.Config{Handler: to, Close: cancel})
	var running sync.WaitGroup
	running.Go(func() { ours.Run(ctx) })
	running.Go(func() { theirs.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return ours
}

// clients is the part of a node that knows its clients.
type clients struct {
	answered, cancelled, wished chan string
}

func (c clients) Wished(session [16]byte, wish notice.Wish) bool {
	c.wished <- fmt.Sprint(session[0], wish)
	return true
}

func (c clients) Answered(pending string, session [16]byte, result []byte, refused *mcp.Error) bool {
	if pending != "waits" {
		return false
	}
	c.answered <- fmt.Sprint(session[0], string(result), refused)
	return true
}

func (c clients) Cancelled(session [16]byte, id []byte) bool {
	c.cancelled <- fmt.Sprint(session[0], string(id))
	return true
}

// world has two nodes, and a legacy server that asks its client before it answers, as often as it is told.
type world struct {
	one, two *errand.Errands
	clients  clients // of two
	pool     *upstream.Pool
	server   *snapshotv1.Server
}

func newWorld(t *testing.T, asks ...string) *world {
	t.Helper()
	w := &world{clients: clients{make(chan string, 1), make(chan string, 1), make(chan string, 1)}, pool: upstream.New(upstream.Config{})}
	answers := make(chan string, 1)
	listening := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request mcp.Request
		switch err := mcp.ScanRequest(body, mcp.Limits{}, &request); {
		case err == nil && request.Method == mcp.MethodInitialize:
			rw.Header().Set("Content-Type", "application/json")
			rw.Header().Set(mcp.HeaderSession, "s")
			fmt.Fprintf(rw, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"s","version":"1"}}}`, request.ID.Of(body))
		case err == nil && request.Method == mcp.MethodToolsCall:
			rw.Header().Set("Content-Type", "text/event-stream")
			var got []string
			for i, ask := range asks {
				fmt.Fprintf(rw, "data: {\"jsonrpc\":\"2.0\",\"id\":\"q%d\",\"method\":%q,\"params\":{\"message\":\"name?\"}}\n\n", i, ask)
				rw.(http.Flusher).Flush()
				select {
				case answer := <-answers:
					got = append(got, answer)
				case <-r.Context().Done():
					return
				}
			}
			fmt.Fprintf(rw, "data: {\"jsonrpc\":\"2.0\",\"id\":%s,\"result\":{\"content\":[{\"type\":\"text\",\"text\":%q}]}}\n\n", request.ID.Of(body), strings.Join(got, " "))
		default:
			if strings.Contains(string(body), `"id":"q`) {
				answers <- string(body)
			}
			rw.WriteHeader(http.StatusAccepted)
		}
	}))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		w.pool.Close(ctx)
		listening.CloseClientConnections()
		listening.Close()
	})
	w.server = &snapshotv1.Server{Name: "github", Url: listening.URL, Private: true, ProtocolVersion: mcp.Version20251125}
	oneLines := lines{}
	w.one = errand.New(errand.Config{Node: "one", Relay: oneLines})
	w.two = errand.New(errand.Config{Node: "two", Relay: lines{}, Server: func(slug string) *snapshotv1.Server {
		if slug != "github" {
			return nil
		}
		return w.server
	}})
	w.two.Attend(w.clients, w.pool)
	oneLines["two"] = connect(t, "one", w.two)
	return w
}

// call returns that of a modern client, with further params, as node one has it.
func (w *world) call(t *testing.T, params string, asked *[]string) *upstream.Call {
	t.Helper()
	c := &upstream.Call{
		Server: w.server, Principal: &principal.Principal{User: "ana", KeyID: "k"}, Era: mcp.Modern, ClientVersion: mcp.Version20260728,
		Body: []byte(`{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"x",` + params + `"arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28",` +
			`"io.modelcontextprotocol/clientCapabilities":{"elicitation":{},"sampling":{}},"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"}}}}`),
		Request: new(mcp.Request), Target: "x", Header: http.Header{},
	}
	c.Capabilities, _ = mcp.ParseCapabilities([]byte(`{"elicitation":{},"sampling":{}}`))
	if err := mcp.ScanRequest(c.Body, mcp.Limits{}, c.Request); err != nil {
		t.Fatal(err)
	}
	c.Permit = func(method string, _ []byte) *mcp.Error {
		*asked = append(*asked, method)
		if method == mcp.MethodCreateMessage {
			return &mcp.Error{Code: mcp.CodeDenied, Text: "no sampling", Offset: -1}
		}
		return nil
	}
	c.SealState = func(_ []byte, parked string) (string, error) { return "sealed parked=" + parked, nil }
	return c
}

// parked returns where a call is parked by what the client got.
func parked(t *testing.T, answer *upstream.Answer) string {
	t.Helper()
	_, name, ok := strings.Cut(string(answer.Body), "parked=")
	name, _, _ = strings.Cut(name, `"`)
	if !ok || name == "" {
		t.Fatalf("not parked: %s", answer.Body)
	}
	return name
}

func TestAParkedCallGoesOnForAClientOfAnotherNodeThatDecides(t *testing.T) {
	w := newWorld(t, mcp.MethodElicit, mcp.MethodElicit, mcp.MethodCreateMessage)
	var atTwo, atOne []string
	first, err := w.pool.Do(t.Context(), w.call(t, "", &atTwo), nil)
	if err != nil {
		t.Fatal(err)
	}
	answer := first
	for i := 1; i <= 2; i++ {
		c := w.call(t, fmt.Sprintf(`"inputResponses":{"request-%d":{"action":"accept","content":{"n":%d}}},"requestState":"s",`, i, i), &atOne)
		c.HasState, c.Parked = true, parked(t, answer)
		if answer, err = w.one.Resume(t.Context(), w.two.Self(), c, nil); err != nil {
			t.Fatal(err)
		}
	}
	// What was not permitted ends as the policy of the client's node says.
	if body := string(answer.Body); !strings.Contains(body, `"id":7`) || !(strings.Contains(body, "no sampling") || strings.Contains(body, `\"n\":1`)) {
		t.Errorf("the call ended with %s", body)
	}
	if len(atTwo) != 1 || len(atOne) != 2 || atOne[1] != mcp.MethodCreateMessage {
		t.Errorf("asked at the first node %q, and at that of the client %q", atTwo, atOne)
	}
}

func TestWhatAProcessKeptIsGoneWithIt(t *testing.T) {
	w := newWorld(t, mcp.MethodElicit)
	var asked []string
	answer, err := w.pool.Do(t.Context(), w.call(t, "", &asked), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := w.call(t, "", &asked)
	c.HasState, c.Parked = true, parked(t, answer)
	for node, want := range map[string]fault.Kind{"two/before": fault.NotFound, "three/x": fault.Unavailable, "": fault.Unavailable} {
		if _, err := w.one.Resume(t.Context(), node, c, nil); fault.KindOf(err) != want {
			t.Errorf("resume at %q: %v, want kind %v", node, err, want)
		}
		if err := w.one.Answer(t.Context(), node, "waits", [16]byte{3}, []byte("{}"), nil); fault.KindOf(err) != want {
			t.Errorf("answer to %q: %v, want kind %v", node, err, want)
		}
	}
}

// TestAParkedCallGoesOnForWhoMadeItAlone, whatever the node says that asks: it may have been taken over, or have opened a state
// that another made. Until then the call waits for its own.
func TestAParkedCallGoesOnForWhoMadeItAlone(t *testing.T) {
	w := newWorld(t, mcp.MethodElicit)
	var asked []string
	first := w.call(t, "", &asked)
	first.Principal = &principal.Principal{User: "ana", Application: "cursor", KeyID: "k"}
	answer, err := w.pool.Do(t.Context(), first, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		who    *principal.Principal
		reach  bool // the node goes on, and not upstream alone refuses
		served bool
	}{
		{"nobody", nil, false, false},
		{"an empty principal", &principal.Principal{}, false, false},
		{"a key without its user", &principal.Principal{Application: "cursor", KeyID: "k"}, false, false},
		{"another user", &principal.Principal{User: "bob", Application: "cursor", KeyID: "b"}, true, false},
		{"another user with that key", &principal.Principal{User: "bob", Application: "cursor", KeyID: "k"}, true, false},
		{"another application", &principal.Principal{User: "ana", Application: "claude", KeyID: "c"}, true, false},
		{"the same, by a key that followed", &principal.Principal{User: "ana", Application: "cursor", KeyID: "k2"}, true, true},
		{"the same again", &principal.Principal{User: "ana", Application: "cursor", KeyID: "k2"}, true, false}, // It is over.
	} {
		back := w.call(t, `"inputResponses":{"request-1":{"action":"accept","content":{}}},"requestState":"s",`, &asked)
		back.HasState, back.Parked, back.Principal = true, parked(t, answer), c.who
		got, err := w.one.Resume(t.Context(), w.two.Self(), back, nil)
		if reached := err == nil; reached != c.reach || err != nil && !fault.Is(err, fault.NotFound) {
			t.Fatalf("%s: %v", c.name, err)
		}
		if served := err == nil && strings.Contains(string(got.Body), `"result"`); served != c.served {
			t.Errorf("%s gets %s", c.name, got.Body)
		}
	}
}

// endless is a node that says an event without end.
type endless struct{ said atomic.Int64 }

func (e *endless) Serve(_ context.Context, _ *tunnel.Incoming, w tunnel.Answer) {
	_ = w.Head(http.StatusOK, nil)
	piece := []byte(`{"kind":"message","message":"`)
	for {
		n, err := w.Write(piece)
		if said := e.said.Add(int64(n)); err != nil || said > 128<<20 { // For one who hears all.
			return
		}
		piece = bytes.Repeat([]byte("A"), 64<<10)
	}
}

func TestANodeThatSaysAnEventWithoutEndIsHeardNoFurther(t *testing.T) {
	w, other := newWorld(t), new(endless)
	one := errand.New(errand.Config{Node: "one", Relay: lines{"two": line(t, other)}})
	var asked []string
	c := w.call(t, "", &asked)
	c.HasState, c.Parked = true, "p"
	if _, err := one.Resume(t.Context(), "two/x", c, nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("it ends with %v", err)
	}
	if said := other.said.Load(); said > 48<<20 {
		t.Errorf("%d MiB were taken", said>>20)
	}
}

func TestAnAnswerFindsTheCallThatWaitsForItAndACancellationItsCall(t *testing.T) {
	w := newWorld(t)
	if err := w.one.Answer(t.Context(), w.two.Self(), "waits", [16]byte{3}, []byte(`{"a":1}`), nil); err != nil {
		t.Error(err)
	}
	if got := <-w.clients.answered; got != `3{"a":1}<nil>` {
		t.Errorf("it got %s", got)
	}
	if err := w.one.Answer(t.Context(), w.two.Self(), "other", [16]byte{3}, nil, nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("an answer that nobody waits for: %v", err)
	}
	w.one.Cancel(t.Context(), [16]byte{4}, []byte("7"))
	if got := <-w.clients.cancelled; got != "47" {
		t.Errorf("cancelled %s", got)
	}
}

func TestAllNodesKnowWhatAClientSaidOfItsSession(t *testing.T) {
	w := newWorld(t)
	for _, wish := range []notice.Wish{{Level: "warning"}, {Server: "github", URI: "file:///a"}, {Server: "github", URI: "file:///a", Over: true}} {
		w.one.Wish(t.Context(), [16]byte{5}, wish)
		if got, want := <-w.clients.wished, fmt.Sprint(5, wish); got != want {
			t.Errorf("the other node heard %s, want %s", got, want)
		}
	}
}
