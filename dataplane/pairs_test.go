package dataplane

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/porttest"
)

// everything is a server of the official SDK that offers one thing of each kind.
// Of this SDK, a stateless server is modern and a stateful one legacy.
type everything struct {
	*httptest.Server
	server  *sdk.Server
	version string
}

const watched = "file:///a"

func startEverything(t *testing.T, version string) *everything {
	t.Helper()
	accept := func(context.Context, *sdk.SubscribeRequest) error { return nil }
	e := &everything{version: version, server: sdk.NewServer(&sdk.Implementation{Name: "everything", Version: "1"}, &sdk.ServerOptions{
		SubscribeHandler:   accept,
		UnsubscribeHandler: func(context.Context, *sdk.UnsubscribeRequest) error { return nil },
		CompletionHandler: func(_ context.Context, r *sdk.CompleteRequest) (*sdk.CompleteResult, error) {
			return &sdk.CompleteResult{Completion: sdk.CompletionResultDetails{Values: []string{r.Params.Ref.Name + "!"}}}, nil
		},
	})}
	modern := version == "2026-07-28"
	e.tools(modern)
	e.server.AddPrompt(&sdk.Prompt{Name: "greet"}, func(_ context.Context, r *sdk.GetPromptRequest) (*sdk.GetPromptResult, error) {
		return &sdk.GetPromptResult{Description: "for " + r.Params.Arguments["who"]}, nil
	})
	e.server.AddResource(&sdk.Resource{Name: "a", URI: watched}, func(_ context.Context, r *sdk.ReadResourceRequest) (*sdk.ReadResourceResult, error) {
		return &sdk.ReadResourceResult{Contents: []*sdk.ResourceContents{{URI: r.Params.URI, Text: "text of a"}}}, nil
	})
	handler := sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return e.server }, &sdk.StreamableHTTPOptions{Stateless: modern})
	e.Server = httptest.NewServer(handler)
	t.Cleanup(e.Close)
	t.Cleanup(e.CloseClientConnections)
	return e
}

func (e *everything) tools(modern bool) {
	said := func(text string) *sdk.CallToolResult {
		return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: text}}}
	}
	question := &sdk.ElicitParams{Message: "Who?", RequestedSchema: map[string]any{"type": "object", "properties": map[string]any{"name": map[string]any{"type": "string"}}}}
	sdk.AddTool(e.server, &sdk.Tool{Name: "ask"}, func(ctx context.Context, r *sdk.CallToolRequest, _ any) (*sdk.CallToolResult, any, error) {
		if !modern {
			answer, err := r.Session.Elicit(ctx, question)
			if err != nil {
				return nil, nil, err
			}
			return said("hello " + answer.Content["name"].(string)), nil, nil
		}
		if answer, ok := r.Params.InputResponses["who"].(*sdk.ElicitResult); ok && r.Params.RequestState == "state of the server" {
			return said("hello " + answer.Content["name"].(string)), nil, nil
		}
		return &sdk.CallToolResult{InputRequests: sdk.InputRequestMap{"who": question}, RequestState: "state of the server"}, nil, nil
	})
	sdk.AddTool(e.server, &sdk.Tool{Name: "work"}, func(ctx context.Context, r *sdk.CallToolRequest, _ any) (*sdk.CallToolResult, any, error) {
		if token := r.Params.GetProgressToken(); token != nil {
			if err := r.Session.NotifyProgress(ctx, &sdk.ProgressNotificationParams{ProgressToken: token, Progress: 1}); err != nil {
				return nil, nil, err
			}
		}
		return said("done"), nil, nil
	})
	sdk.AddTool(e.server, &sdk.Tool{Name: "touch"}, func(ctx context.Context, _ *sdk.CallToolRequest, _ any) (*sdk.CallToolResult, any, error) {
		return said("touched"), nil, e.server.ResourceUpdated(ctx, &sdk.ResourceUpdatedNotificationParams{URI: watched})
	})
}

// nodes is a client's way to the gateway: each request goes to the next node.
type nodes struct {
	key  apikey.Key
	urls []string
	next atomic.Int64
}

func (n *nodes) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+n.key.String())
	r.URL.Host = strings.TrimPrefix(n.urls[int(n.next.Add(1))%len(n.urls)], "http://")
	r.Host = ""
	return http.DefaultTransport.RoundTrip(r)
}

// startNodes runs so many nodes in front of servers, by slug, which ana may use, if
// what changes the world at last leaves it at that.
func startNodes(t *testing.T, count int, servers map[string]*everything, changes ...func(*gatetest.World)) *nodes {
	t.Helper()
	w := gatetest.New(t)
	for slug, e := range servers {
		w.Server(slug, "ask", "work", "touch")
		for _, item := range w.Items {
			if server := item.GetServer(); server.GetName() == slug {
				server.Url, server.ProtocolVersion = e.URL, e.version
				server.Capabilities = []byte(`{"tools":{},"prompts":{},"resources":{"subscribe":true},"completions":{},"logging":{}}`)
			}
		}
		w.Prompt(slug, "greet")
		w.Resource(slug, watched)
	}
	w.Role("dev")
	w.User("ana", "dev")
	n := &nodes{key: w.Key("ana", "ide", time.Time{})}
	for _, change := range changes {
		change(w)
	}
	ca := newAuthority(t)
	cp := startControlPlane(t, ca, identity.ServerName, w.Set(1))
	for range count {
		p := startProcess(t, Config{
			DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: cp.address, Identity: ca.node("node-1"),
		})
		if reason := <-cp.acked; reason != "" {
			t.Fatalf("the snapshot was refused: %s", reason)
		}
		await(t, "ready", func() bool { status, _ := p.get("/readyz"); return status == http.StatusOK })
		n.urls = append(n.urls, p.url)
	}
	return n
}

// heard is what a client got besides answers.
type heard struct{ progress, updated, asked chan string }

func (n *nodes) connect(t *testing.T, path, version string) (*sdk.ClientSession, *heard) {
	t.Helper()
	h := &heard{progress: make(chan string, 10), updated: make(chan string, 10), asked: make(chan string, 10)}
	client := sdk.NewClient(&sdk.Implementation{Name: "test", Version: "1"}, &sdk.ClientOptions{
		ElicitationHandler: func(_ context.Context, r *sdk.ElicitRequest) (*sdk.ElicitResult, error) {
			h.asked <- r.Params.Message
			return &sdk.ElicitResult{Action: "accept", Content: map[string]any{"name": "ana"}}, nil
		},
		ProgressNotificationHandler: func(_ context.Context, r *sdk.ProgressNotificationClientRequest) {
			h.progress <- r.Params.ProgressToken.(string)
		},
		ResourceUpdatedHandler: func(_ context.Context, r *sdk.ResourceUpdatedNotificationRequest) { h.updated <- r.Params.URI },
	})
	cs, err := client.Connect(t.Context(), &sdk.StreamableClientTransport{
		Endpoint: n.urls[0] + path, HTTPClient: &http.Client{Transport: n}, MaxRetries: -1,
	}, &sdk.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatalf("connect at %s: %v", version, err)
	}
	t.Cleanup(func() { cs.Close() })
	return cs, h
}

// TestBothErasMeetBothEras drives the official SDK's client through the gateway to
// its server, at every pair of eras, on both endpoints; where the eras are the
// same, over two nodes by turns.
func TestBothErasMeetBothEras(t *testing.T) {
	const legacy, modern = "2025-11-25", "2026-07-28"
	for _, pair := range []struct {
		client, server string
		nodes          int
	}{{legacy, legacy, 2}, {modern, modern, 2}, {legacy, modern, 1}, {modern, legacy, 1}} {
		for _, path := range []string{"/mcp", "/mcp/any"} {
			t.Run("client "+pair.client+" server "+pair.server+" at "+path, func(t *testing.T) {
				e := startEverything(t, pair.server)
				n := startNodes(t, pair.nodes, map[string]*everything{"any": e})
				cs, heard := n.connect(t, path, pair.client)
				name := func(own string) string { return own }
				uri, question := watched, "Who?"
				if path == "/mcp" {
					name, uri, question = func(own string) string { return "any__" + own }, "any+"+watched, "any: Who?"
				}
				useEverything(t, cs, heard, name, uri, question)
			})
		}
	}
}

// TestP22_OpenStreamsDoNotHoldUpTheEndOfANode: they end when the node goes down,
// and it does not wait for clients to leave.
func TestP22_OpenStreamsDoNotHoldUpTheEndOfANode(t *testing.T) {
	for _, version := range []string{"2025-11-25", "2026-07-28"} {
		ca := newAuthority(t)
		set, key := world(t)
		cp := startControlPlane(t, ca, identity.ServerName, set)
		p := startProcess(t, Config{
			DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: cp.address, Identity: ca.node("node-1"),
			DrainTime: time.Hour,
		})
		if reason := <-cp.acked; reason != "" {
			t.Fatalf("the snapshot was refused: %s", reason)
		}
		await(t, "ready", func() bool { status, _ := p.get("/readyz"); return status == http.StatusOK })
		stream := p.openStream(key, version)
		if err := p.stop(); err != nil {
			t.Errorf("end: %v", err)
		}
		if rest, err := io.ReadAll(stream); err != nil || (version == "2026-07-28") != strings.Contains(string(rest), `"resultType":"complete"`) {
			t.Errorf("%s: the stream ended with %v after %q", version, err, rest)
		}
		stream.Close()
	}
}

// openStream opens a notification stream in the way of a version.
func (p *process) openStream(key apikey.Key, version string) io.ReadCloser {
	p.t.Helper()
	method, body, header := http.MethodGet, "", http.Header{}
	if version == "2026-07-28" {
		method = http.MethodPost
		body = `{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{"notifications":{"toolsListChanged":true},"_meta":{` +
			`"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
		header.Set("Mcp-Method", "subscriptions/listen")
	} else {
		opened := p.send(key, "", initializeMessage)
		opened.Body.Close()
		header.Set("Mcp-Session-Id", opened.Header.Get("Mcp-Session-Id"))
	}
	request, err := http.NewRequestWithContext(p.t.Context(), method, p.url+"/mcp", strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header = header
	request.Header.Set("Authorization", "Bearer "+key.String())
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	request.Header.Set("MCP-Protocol-Version", version)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		p.t.Fatalf("stream: %d %v", response.StatusCode, response.Header)
	}
	return response.Body
}

func useEverything(t *testing.T, cs *sdk.ClientSession, heard *heard, name func(string) string, uri, question string) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	call := func(tool string, meta sdk.Meta) string {
		t.Helper()
		result, err := cs.CallTool(ctx, &sdk.CallToolParams{Name: name(tool), Arguments: map[string]any{}, Meta: meta})
		if err != nil {
			t.Fatalf("%s: %v", tool, err)
		}
		if len(result.Content) != 1 {
			t.Fatalf("%s: %+v", tool, result)
		}
		return result.Content[0].(*sdk.TextContent).Text
	}
	tools, err := cs.ListTools(ctx, nil)
	if err != nil || len(tools.Tools) != 3 || !slices.ContainsFunc(tools.Tools, func(tool *sdk.Tool) bool { return tool.Name == name("ask") }) {
		t.Fatalf("tools: %v %v", tools, err)
	}
	if got := call("ask", nil); got != "hello ana" {
		t.Errorf("ask: %q", got)
	}
	if got := <-heard.asked; got != question {
		t.Errorf("asked %q, want %q", got, question)
	}
	if got := call("work", sdk.Meta{"progressToken": "mine"}); got != "done" {
		t.Errorf("work: %q", got)
	}
	if got := <-heard.progress; got != "mine" {
		t.Errorf("progress of %q", got)
	}
	prompt, err := cs.GetPrompt(ctx, &sdk.GetPromptParams{Name: name("greet"), Arguments: map[string]string{"who": "bob"}})
	if err != nil || prompt.Description != "for bob" {
		t.Errorf("prompt: %+v %v", prompt, err)
	}
	completion, err := cs.Complete(ctx, &sdk.CompleteParams{
		Ref: &sdk.CompleteReference{Type: "ref/prompt", Name: name("greet")}, Argument: sdk.CompleteParamsArgument{Name: "who", Value: "b"},
	})
	if err != nil || completion.Completion.Values[0] != "greet!" {
		t.Errorf("completion: %+v %v", completion, err)
	}
	read, err := cs.ReadResource(ctx, &sdk.ReadResourceParams{URI: uri})
	if err != nil || read.Contents[0].Text != "text of a" || read.Contents[0].URI != uri {
		t.Errorf("resource: %+v %v", read, err)
	}
	if err := cs.Subscribe(ctx, &sdk.SubscribeParams{URI: uri}); err != nil {
		t.Fatalf("subscribe: %v", err)
	}
	// When a stream hears its servers is not for the client to see: it touches
	// until it is told.
	await(t, "an update", func() bool {
		call("touch", nil)
		select {
		case got := <-heard.updated:
			if got != uri {
				t.Errorf("update of %q", got)
			}
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
}
