//lint:file-ignore SA1019 Roots, sampling and logging are deprecated, and served until they are gone.

package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

type echoIn struct {
	Text string `json:"text"`
}

// sdkServer is an MCP server made with the official SDK.
func sdkServer(initialized *atomic.Int64) *sdk.Server {
	server := sdk.NewServer(&sdk.Implementation{Name: "sdk", Version: "1"}, &sdk.ServerOptions{
		InitializedHandler: func(context.Context, *sdk.InitializedRequest) {
			if initialized != nil {
				initialized.Add(1)
			}
		},
	})
	text := func(s string) *sdk.CallToolResult {
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: s}}}
	}
	sdk.AddTool(server, &sdk.Tool{Name: "echo"}, func(_ context.Context, r *sdk.CallToolRequest, in echoIn) (*sdk.CallToolResult, any, error) {
		return text(in.Text), nil, nil
	})
	sdk.AddTool(server, &sdk.Tool{Name: "fail"}, func(context.Context, *sdk.CallToolRequest, echoIn) (*sdk.CallToolResult, any, error) {
		return nil, nil, errors.New("this tool fails")
	})
	sdk.AddTool(server, &sdk.Tool{Name: "whoami"}, func(_ context.Context, r *sdk.CallToolRequest, _ echoIn) (*sdk.CallToolResult, any, error) {
		return text("session " + r.Session.ID()), nil, nil
	})
	sdk.AddTool(server, &sdk.Tool{Name: "progress"}, func(ctx context.Context, r *sdk.CallToolRequest, in echoIn) (*sdk.CallToolResult, any, error) {
		for i := range 3 {
			if err := r.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{
				ProgressToken: r.Params.GetProgressToken(), Progress: float64(i), Total: 3, Message: "step",
			}); err != nil {
				return nil, nil, err
			}
		}
		return text(in.Text), nil, nil
	})
	sdk.AddTool(server, &sdk.Tool{Name: "elicit"}, func(ctx context.Context, r *sdk.CallToolRequest, in echoIn) (*sdk.CallToolResult, any, error) {
		if _, err := r.Session.Elicit(ctx, &sdk.ElicitParams{Message: "password?"}); err == nil {
			return text("the client answered"), nil, nil
		}
		return text("the client did not answer"), nil, nil
	})
	sdk.AddTool(server, &sdk.Tool{Name: "interview"}, func(ctx context.Context, r *sdk.CallToolRequest, in echoIn) (*sdk.CallToolResult, any, error) {
		name, err := r.Session.Elicit(ctx, &sdk.ElicitParams{Message: "name?", RequestedSchema: map[string]any{"type": "object"}})
		if err != nil {
			return nil, nil, err
		}
		poem, err := r.Session.CreateMessage(ctx, &sdk.CreateMessageParams{MaxTokens: 5, Messages: []*sdk.SamplingMessage{{Role: "user", Content: &sdk.TextContent{Text: "poem"}}}})
		if err != nil {
			return nil, nil, err
		}
		roots, err := r.Session.ListRoots(ctx, nil)
		if err != nil {
			return nil, nil, err
		}
		return text(fmt.Sprint(name.Content["name"], " ", poem.Content.(*sdk.TextContent).Text, " ", roots.Roots[0].URI)), nil, nil
	})
	sdk.AddTool(server, &sdk.Tool{Name: "ping"}, func(ctx context.Context, r *sdk.CallToolRequest, in echoIn) (*sdk.CallToolResult, any, error) {
		if err := r.Session.Ping(ctx, nil); err != nil {
			return nil, nil, err
		}
		return text("pong"), nil, nil
	})
	return server
}

// sdkKinds are the ways in which the SDK serves.
var sdkKinds = []struct {
	name     string
	options  sdk.StreamableHTTPOptions
	versions []string // with which discovery may have recorded it; empty means that it has to be detected
}{
	{"stateful, streams", sdk.StreamableHTTPOptions{}, []string{mcp.Version20251125, ""}},
	{"stateful, JSON", sdk.StreamableHTTPOptions{JSONResponse: true}, []string{mcp.Version20251125, ""}},
	{"stateless, streams", sdk.StreamableHTTPOptions{Stateless: true}, []string{mcp.Version20251125, mcp.Version20260728, ""}},
	{"stateless, JSON", sdk.StreamableHTTPOptions{Stateless: true, JSONResponse: true}, []string{mcp.Version20251125, mcp.Version20260728, ""}},
}

// eachSDK runs a test against each kind of server, as each version, for clients of both eras.
func eachSDK(t *testing.T, test func(t *testing.T, p *Pool, server *snapshotv1.Server, client mcp.Era)) {
	for _, kind := range sdkKinds {
		for _, version := range kind.versions {
			for _, client := range []mcp.Era{mcp.Legacy, mcp.Modern} {
				t.Run(fmt.Sprintf("%s/version=%s/client=%v", kind.name, version, client), func(t *testing.T) {
					server := sdkServer(nil)
					item := versioned(listen(t, sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, &kind.options)), version)
					test(t, newPool(t, Config{}), item, client)
				})
			}
		}
	}
}

func TestBothErasOfClientsReachBothErasOfServers(t *testing.T) {
	eachSDK(t, func(t *testing.T, p *Pool, server *snapshotv1.Server, client mcp.Era) {
		for i, id := range []string{`7`, `"7"`, `9007199254740993`, `"a\u0062"`} {
			want := fmt.Sprint("text ", i)
			answer := do(t, p, callTo(t, server, client, id, "echo", `{"text":"`+want+`"}`))
			response := scan(t, answer.Body)
			if answer.Outcome != outcomeOK || answer.Error != "" || !strings.Contains(string(answer.Body), want) {
				t.Fatalf("outcome %v (%s), answer %s", answer.Outcome, answer.Error, answer.Body)
			}
			if got := string(response.ID.Of(answer.Body)); got != id {
				t.Errorf("the answer has id %s, want the client's own %s", got, id)
			}
			if modern := response.ResultType == mcp.ResultComplete; modern != (client == mcp.Modern) {
				t.Errorf("the answer %s is not in the era of the client", answer.Body)
			}
			if answer.ServerLatency <= 0 {
				t.Error("no latency")
			}
		}
	})
}

func TestAToolErrorAndAProtocolErrorPassWithTheClientsID(t *testing.T) {
	eachSDK(t, func(t *testing.T, p *Pool, server *snapshotv1.Server, client mcp.Era) {
		answer := do(t, p, callTo(t, server, client, `"x"`, "fail", `{"text":""}`))
		if response := scan(t, answer.Body); answer.Outcome != outcomeToolError || !response.IsError || !strings.Contains(string(answer.Body), "this tool fails") {
			t.Errorf("tool error: outcome %v, answer %s", answer.Outcome, answer.Body)
		}
		if strings.Contains(answer.Error, "this tool fails") {
			t.Errorf("the text for the audit has text of the server: %q", answer.Error)
		}
		answer = do(t, p, callTo(t, server, client, `"x"`, "no-such-tool", `{}`))
		response := scan(t, answer.Body)
		if answer.Outcome != outcomeProtocolError || response.ErrorCode != mcp.CodeInvalidParams || string(response.ID.Of(answer.Body)) != `"x"` {
			t.Errorf("protocol error: outcome %v, answer %s", answer.Outcome, answer.Body)
		}
	})
}

func TestProgressReachesTheClientWithItsOwnToken(t *testing.T) {
	eachSDK(t, func(t *testing.T, p *Pool, server *snapshotv1.Server, client mcp.Era) {
		if strings.Contains(t.Name(), "JSON") {
			return // nothing can come before an answer in JSON, and the SDK makes an error of it
		}
		call := callTo(t, server, client, "1", "progress", `{"text":"done"}`)
		body := strings.Replace(string(call.Body), `"_meta":{`, `"_meta":{"progressToken":"mine",`, 1)
		if client == mcp.Legacy {
			body = strings.Replace(string(call.Body), `"arguments"`, `"_meta":{"progressToken":"mine"},"arguments"`, 1)
		}
		call = callWith(t, server, client, call.ClientVersion, body, "progress")
		var sink collector
		answer, err := p.Do(t.Context(), call, &sink)
		if err != nil || answer.Outcome != outcomeOK {
			t.Fatalf("%v, %v: %s", err, answer.Outcome, answer.Body)
		}
		if len(sink.messages) != 3 {
			t.Fatalf("%d notifications, want 3: %q", len(sink.messages), sink.messages)
		}
		for _, message := range sink.messages {
			if !strings.Contains(message, `"progressToken":"mine"`) || !strings.Contains(message, `"message":"step"`) {
				t.Errorf("notification %s", message)
			}
		}
	})
}

func TestAServerThatAsksTheClientGetsNoAnswerButPing(t *testing.T) {
	handler := sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return sdkServer(nil) }, nil)
	server := versioned(listen(t, handler), mcp.Version20251125)
	p := newPool(t, Config{})
	for tool, want := range map[string]string{"elicit": "the client did not answer", "ping": "pong"} {
		answer := do(t, p, callTo(t, server, mcp.Legacy, "1", tool, `{"text":""}`))
		if !strings.Contains(string(answer.Body), want) {
			t.Errorf("%s: %s, want %q", tool, answer.Body, want)
		}
	}
}

// answersOf says what a client answers to what the tool "interview" asks.
var answersOf = map[string]string{
	mcp.MethodElicit:        `{"action":"accept","content":{"name":"ana"}}`,
	mcp.MethodCreateMessage: `{"role":"assistant","model":"m","content":{"type":"text","text":"roses"}}`,
	mcp.MethodRootsList:     `{"roots":[{"uri":"file:///r"}]}`,
}

func TestASDKServerAsksClientsOfBothErasInTheMiddleOfACall(t *testing.T) {
	handler := sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return sdkServer(nil) }, nil)
	server := versioned(listen(t, handler), "")
	p := newPool(t, Config{})
	const want = "ana roses file:///r"

	call := callTo(t, server, mcp.Legacy, "1", "interview", `{"text":""}`)
	call.Capabilities, call.Permit = everything, permitAll
	sink := &collector{relay: func(session SessionRef, id, method string) {
		message := `{"jsonrpc":"2.0","id":` + id + `,"result":` + answersOf[method] + `}`
		if err := p.Respond(t.Context(), server, session, []byte(message)); err != nil {
			t.Errorf("Respond: %v", err)
		}
	}}
	answer, err := p.Do(t.Context(), call, sink)
	if err != nil || !strings.Contains(string(answer.Body), want) || len(sink.relayed) != 3 {
		t.Errorf("a legacy client: %v, %s", err, show(answer))
	}

	call = callTo(t, server, mcp.Modern, "1", "interview", `{"text":""}`)
	call.Capabilities, call.Permit, call.SealState = everything, permitAll, plainSeal
	answer = do(t, p, call)
	for range 3 {
		name, key := parkedIn(t, answer)
		method := ""
		mcp.EachInput(answer.Body, scan(t, answer.Body).InputRequests, func(in mcp.Input) error { method = in.Method; return nil })
		answer = do(t, p, comeBack(t, server, name, `{"`+key+`":`+answersOf[method]+`}`))
	}
	if answer.Outcome != outcomeOK || !strings.Contains(string(answer.Body), want) {
		t.Errorf("a modern client: %s", show(answer))
	}
}

func TestEachKeyHasItsOwnSessionWithAStatefulServer(t *testing.T) {
	var initialized atomic.Int64
	server := sdkServer(&initialized)
	item := versioned(listen(t, sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, nil)), mcp.Version20251125)
	p := newPool(t, Config{})
	sessionOf := func(who *principal.Principal) string {
		call := callTo(t, item, mcp.Legacy, "1", "whoami", `{"text":""}`)
		call.Principal = who
		body := string(do(t, p, call).Body)
		_, session, found := strings.Cut(body, "session ")
		if !found {
			t.Fatalf("answer %s", body)
		}
		session, _, _ = strings.Cut(session, `"`)
		return session
	}
	bob := &principal.Principal{User: "ana", Application: "cursor", KeyID: "otherkey"}
	nobody := &principal.Principal{User: "ana"}
	first := sessionOf(ana)
	if sessionOf(ana) != first {
		t.Error("the second call of a key opened another session")
	}
	seen := map[string]bool{first: true, sessionOf(bob): true, sessionOf(nobody): true}
	if len(seen) != 3 || seen[""] {
		t.Errorf("sessions %v, want three different ones", seen)
	}
	await(t, "three handshakes", func() bool { return initialized.Load() == 3 })
}
