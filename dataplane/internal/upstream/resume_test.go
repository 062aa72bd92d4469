package upstream

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/internal/mcp"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// resumeOf returns a resume from the event "e1" of a call whose request had the id "up-1".
func resumeOf(server *snapshotv1.Server) *Resume {
	return &Resume{
		Server: server, Session: SessionRef{ID: "mine", Version: "2025-11-25"}, EventID: "e1",
		ID: []byte(`"up-1"`), ClientID: []byte(`9007199254740993`), ProgressToken: []byte(`"p\u00e9"`), Method: mcp.MethodToolsCall,
		Era: mcp.Legacy, ClientVersion: mcp.Version20251125, Capabilities: mcp.CapRoots,
		Permit: func(string, []byte) *mcp.Error { return nil },
	}
}

func TestResumeReadsOnInTheClientsTerms(t *testing.T) {
	f := &talker{t: t, hear: func(w http.ResponseWriter, _ *http.Request, _ int) {
		send := stream(w)
		send("id: e2\ndata:\n\n")
		send(`id: e3` + "\n" + `data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"up-1","progress":1}}` + "\n\n")
		send(`data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"other","progress":2}}` + "\n\n")
		send("data: " + saysLog + "\n\n")
		send(`data: {"jsonrpc":"2.0","id":1,"method":"roots/list"}` + "\n\n")
		send(`id: e4` + "\n" + `data: ` + ok(`"up-1"`) + "\n\n")
	}}
	sink := &collector{}
	answer, err := newPool(t, Config{}).Resume(t.Context(), resumeOf(listen(t, f)), sink)
	if err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, answer, ok(`9007199254740993`))
	if answer.Outcome != outcomeOK || answer.At.EventID != "e4" || answer.At.Session.ID != "mine" {
		t.Errorf("outcome %v at %+v", answer.Outcome, answer.At)
	}
	want := []string{`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p\u00e9","progress":1}}`, saysLog}
	if !slices.Equal(sink.messages, want) {
		t.Errorf("the client got %q", sink.messages)
	}
	if len(sink.primes) != 1 || sink.primes[0].EventID != "e2" || sink.marks[0].EventID != "e3" {
		t.Errorf("primes %v, marks %v", sink.primes, sink.marks)
	}
	if len(sink.relayed) != 1 {
		t.Errorf("relayed %q", sink.relayed)
	}
	if got := f.gets("Last-Event-ID"); !slices.Equal(got, []string{"e1"}) {
		t.Errorf("asked for what comes after %q", got)
	}
	if got := f.gets(mcp.HeaderSession); !slices.Equal(got, []string{"mine"}) {
		t.Errorf("asked in %q", got)
	}
}

func TestResumeIsDetachedAgainWhenTheStreamEnds(t *testing.T) {
	f := &talker{t: t, hear: func(w http.ResponseWriter, _ *http.Request, _ int) {
		stream(w)("id: e2\nretry: 250\ndata:\n\n")
	}}
	answer, err := newPool(t, Config{}).Resume(t.Context(), resumeOf(listen(t, f)), &collector{})
	if err != nil || !answer.Detached || answer.At.EventID != "e2" || answer.At.Retry != 250*time.Millisecond || answer.Body != nil {
		t.Errorf("answer %+v, %v", answer, err)
	}
}

func TestResumeThatTheServerRefusesIsAnError(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusAccepted} {
		f := &talker{t: t, hear: func(w http.ResponseWriter, _ *http.Request, _ int) { w.WriteHeader(status) }}
		answer, err := newPool(t, Config{}).Resume(t.Context(), resumeOf(listen(t, f)), &collector{})
		if err != nil {
			t.Fatal(err)
		}
		wantFailure(t, answer, mcp.CodeUnavailable, "does not let the stream of the call be resumed")
		if f.initialized != 0 {
			t.Error("a new session was opened for a stream of the old one")
		}
	}
}

func TestClientThatLeavesAResumedStreamDoesNotCancelTheCall(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := &talker{t: t}
	f.hear = func(w http.ResponseWriter, r *http.Request, _ int) {
		stream(w)("id: e2\ndata:\n\n")
		cancel()
		hold(r)
	}
	p := newPool(t, Config{})
	if _, err := p.Resume(ctx, resumeOf(listen(t, f)), &collector{}); err == nil {
		t.Error("an answer for a client that has gone")
	}
	p.background.wait(t.Context())
	if got := f.posts(); len(got) > 0 {
		t.Errorf("the server got %q", got)
	}
}

func TestResumeAtAServerOfTheSDK(t *testing.T) {
	server := sdk.NewServer(&sdk.Implementation{Name: "sdk", Version: "1"}, nil)
	released := make(chan struct{})
	sdk.AddTool(server, &sdk.Tool{Name: "poll"}, func(ctx context.Context, r *sdk.CallToolRequest, in echoIn) (*sdk.CallToolResult, any, error) {
		r.Extra.CloseSSEStream(sdk.CloseSSEStreamArgs{RetryAfter: 10 * time.Millisecond})
		<-released
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: in.Text}}}, nil, nil
	})
	item := versioned(listen(t, sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server },
		&sdk.StreamableHTTPOptions{EventStore: sdk.NewMemoryEventStore(nil)})), mcp.Version20251125)
	p := newPool(t, Config{})
	ref, err := p.Open(t.Context(), item, nil, 0, mcp.Version20251125)
	if err != nil {
		t.Fatal(err)
	}
	call := callTo(t, item, mcp.Legacy, `"c"`, "poll", `{"text":"later"}`)
	call.Session, call.ID = &ref, []byte(`"up-1"`)
	sink := &collector{}
	answer, err := p.Do(t.Context(), call, sink)
	if err != nil || !answer.Detached {
		t.Fatalf("%s, %v: not detached", show(answer), err)
	}
	close(released)
	answer, err = p.Resume(t.Context(), &Resume{
		Server: item, Session: answer.At.Session, EventID: answer.At.EventID, ID: call.ID, ClientID: []byte(`"c"`), Method: mcp.MethodToolsCall,
		Era: mcp.Legacy, ClientVersion: mcp.Version20251125,
	}, sink)
	if err != nil || !strings.Contains(string(answer.Body), `"id":"c"`) || !strings.Contains(string(answer.Body), "later") {
		t.Errorf("%s, %v", show(answer), err)
	}
}

// What is left of a call's time is all that its rest has, also when the server talks on; the server is told, and is not
// taken for dead because that was short.
func TestACallThatIsReadOnEndsWhenItsOwnTimeIsOver(t *testing.T) {
	f := &talker{t: t, hear: func(w http.ResponseWriter, r *http.Request, _ int) {
		send := stream(w)
		for r.Context().Err() == nil {
			send("data: " + saysLog + "\n\n")
			time.Sleep(time.Millisecond) // how fast the server talks
		}
	}}
	p := newPool(t, Config{CallTimeout: time.Hour})
	server := listen(t, f)
	for range breakerFailures + 1 {
		r := resumeOf(server)
		r.Until = time.Now().Add(50 * time.Millisecond)
		answer, err := p.Resume(t.Context(), r, &collector{})
		if err != nil {
			t.Fatal(err)
		}
		wantFailure(t, answer, mcp.CodeTimeout, "did not finish the call")
		r.Until = time.Now().Add(-time.Second)
		if answer, err = p.Resume(t.Context(), r, &collector{}); err != nil {
			t.Fatal(err)
		}
		wantFailure(t, answer, mcp.CodeTimeout, "did not finish the call")
	}
	await(t, "a cancellation", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return slices.ContainsFunc(f.posted, func(body string) bool { return strings.Contains(body, "notifications/cancelled") })
	})
}
