//lint:file-ignore SA1019 Roots, sampling and logging are deprecated, and served until they are gone.

package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// complete is a server of the official SDK that has one thing of each kind.
type complete struct {
	url       string
	server    *mcp.Server
	modern    bool
	cancelled atomic.Int64  // calls of hang that were cancelled
	gone      chan struct{} // has one for each call of hang whose client left a modern server
}

const pairURI = "file:///a"

// startComplete starts one of kind "modern", "legacy", or "2024-11-05", which speaks
// HTTP+SSE.
func startComplete(t *testing.T, kind string) *complete {
	t.Helper()
	s := &complete{modern: kind == "modern", gone: make(chan struct{}, 16)}
	s.server = mcp.NewServer(&mcp.Implementation{Name: "complete", Version: "1"}, &mcp.ServerOptions{
		SubscribeHandler:   func(context.Context, *mcp.SubscribeRequest) error { return nil },
		UnsubscribeHandler: func(context.Context, *mcp.UnsubscribeRequest) error { return nil },
		CompletionHandler: func(_ context.Context, r *mcp.CompleteRequest) (*mcp.CompleteResult, error) {
			return &mcp.CompleteResult{Completion: mcp.CompletionResultDetails{Values: []string{r.Params.Ref.Name + " " + r.Params.Argument.Value}}}, nil
		},
	})
	s.server.AddPrompt(&mcp.Prompt{Name: "greet", Arguments: []*mcp.PromptArgument{{Name: "who"}}}, func(_ context.Context, r *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{Description: "for " + r.Params.Arguments["who"], Messages: []*mcp.PromptMessage{}}, nil
	})
	read := func(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.Params.URI, Text: "text of a"}}}, nil
	}
	s.server.AddResource(&mcp.Resource{Name: "a", URI: pairURI}, read)
	s.server.AddResourceTemplate(&mcp.ResourceTemplate{Name: "t", URITemplate: "file:///t/{x}"}, read)
	s.tools()
	s.inputs()
	var handler http.Handler = mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s.server }, &mcp.StreamableHTTPOptions{Stateless: s.modern})
	if kind == "2024-11-05" {
		handler = mcp.NewSSEHandler(func(*http.Request) *mcp.Server { return s.server }, nil)
	}
	front := httptest.NewServer(s.noticing(handler))
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	s.url = front.URL + "/mcp"
	return s
}

// noticing tells hang that its client has closed the stream, which in the modern era
// cancels: this SDK lets a tool run on.
func (s *complete) noticing(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.modern && r.Header.Get("Mcp-Name") == "hang" {
			defer context.AfterFunc(r.Context(), func() { s.gone <- struct{}{} })()
		}
		next.ServeHTTP(w, r)
	})
}

func (s *complete) tool(name string, handle func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error)) {
	mcp.AddTool(s.server, &mcp.Tool{Name: name}, func(ctx context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
		result, err := handle(ctx, r)
		return result, nil, err
	})
}

func said(text string) *mcp.CallToolResult {
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
}

func (s *complete) tools() {
	progress := func(ctx context.Context, r *mcp.CallToolRequest) error {
		return r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{ProgressToken: r.Params.GetProgressToken(), Progress: 1, Total: 1})
	}
	s.tool("work", func(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return said("worked"), progress(ctx, r)
	})
	s.tool("hang", func(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if err := progress(ctx, r); err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			s.cancelled.Add(1)
		case <-s.gone:
			s.cancelled.Add(1)
		case <-time.After(within):
		}
		return said("hung"), nil
	})
	s.tool("log", func(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return said("logged"), r.Session.Log(ctx, &mcp.LoggingMessageParams{Level: "warning", Data: "a line"})
	})
	s.tool("touch", func(ctx context.Context, _ *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return said("touched"), s.server.ResourceUpdated(ctx, &mcp.ResourceUpdatedNotificationParams{URI: pairURI})
	})
}

// inputs are tools that ask the client, each in the way of the server's era.
func (s *complete) inputs() {
	s.input("ask", &mcp.ElicitParams{Message: "Who?", RequestedSchema: object{"type": "object", "properties": object{"name": object{"type": "string"}}}})
	s.input("sample", &mcp.CreateMessageParams{MaxTokens: 10, Messages: []*mcp.SamplingMessage{{Role: "user", Content: &mcp.TextContent{Text: "?"}}}})
	s.input("roots", &mcp.ListRootsParams{})
}

func (s *complete) input(tool string, question mcp.InputRequest) {
	s.tool(tool, func(ctx context.Context, r *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		if s.modern {
			answer, ok := r.Params.InputResponses["k"]
			if !ok {
				return &mcp.CallToolResult{InputRequests: mcp.InputRequestMap{"k": question}, RequestState: "state"}, nil
			}
			return said(answered(answer)), nil
		}
		var answer any
		var err error
		switch q := question.(type) {
		case *mcp.ElicitParams:
			answer, err = r.Session.Elicit(ctx, q)
		case *mcp.CreateMessageParams:
			answer, err = r.Session.CreateMessage(ctx, q)
		case *mcp.ListRootsParams:
			answer, err = r.Session.ListRoots(ctx, q)
		}
		if err != nil {
			return nil, err
		}
		return said(answered(answer)), nil
	})
}

func answered(answer any) string {
	switch a := answer.(type) {
	case *mcp.ElicitResult:
		return fmt.Sprint(a.Content["name"])
	case *mcp.CreateMessageResult:
		if text, ok := a.Content.(*mcp.TextContent); ok {
			return text.Text
		}
	case *mcp.CreateMessageWithToolsResult:
		if text, ok := a.Content[0].(*mcp.TextContent); ok {
			return text.Text
		}
	case *mcp.ListRootsResult:
		return a.Roots[0].URI
	}
	return fmt.Sprintf("%T", answer)
}

// pairSteps is what comes of each step, where nothing is impossible; %[1]s is the
// prefix of names and %[2]s that of URIs.
var pairSteps = map[string]string{
	"tools":        "%[1]sask,%[1]shang,%[1]slog,%[1]sroots,%[1]ssample,%[1]stouch,%[1]swork",
	"prompts":      "%[1]sgreet",
	"resources":    "%[2]sfile:///a",
	"templates":    "%[2]sfile:///t/{x}",
	"prompt":       "for bob",
	"read":         "%[2]sfile:///a text of a",
	"complete":     "greet b",
	"progress":     "1 worked",
	"elicitation":  "ana",
	"sampling":     "sampled",
	"roots":        "file:///root",
	"logging":      "a line",
	"cancellation": "cancelled",
	"subscription": "%[2]sfile:///a",
}

// impossible are the steps that a pair cannot do by protocol, with the reason, by
// "server step", or by "client server step".
var impossible = map[string]string{
	"oldest elicitation": "2024-11-05 has no elicitation, so that a server of it is not told that the client can",
}

// TestEveryPairOfClientAndServerWorks drives the official clients, of Go and of
// TypeScript, in both eras, through the gateway to servers of the official Go SDK of
// both eras and of 2024-11-05, on the aggregate and on the server's own route.
func TestEveryPairOfClientAndServerWorks(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	w := &world{gateway: g}
	servers := map[string]*complete{}
	for slug, kind := range map[string]string{"modern": "modern", "legacy": "legacy", "oldest": "2024-11-05"} {
		servers[slug] = startComplete(t, kind)
		serverAdd(t, g, slug, servers[slug].url)
	}
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	key := w.key(t, "pairs")
	w.settled(t, key)
	for name, drive := range map[string]func(*testing.T, pairing) map[string]string{
		"go-legacy":         drivePairSDK("2025-11-25"),
		"go-modern":         drivePairSDK("2026-07-28"),
		"typescript-legacy": drivePairTypeScript(`"legacy"`),
		"typescript-modern": drivePairTypeScript(`{"pin":"2026-07-28"}`),
	} {
		for slug, server := range servers {
			t.Run(name+" to "+slug, func(t *testing.T) {
				before := server.cancelled.Load()
				p := pairing{url: g.mcp + "/" + slug, key: key, uri: pairURI}
				uriPrefix := ""
				if strings.HasPrefix(name, "typescript") { // Each client on one of the endpoints.
					p.url, p.prefix, uriPrefix = g.mcp, slug+"__", slug+"+"
					p.uri = uriPrefix + pairURI
				}
				results := drive(t, p)
				for step, format := range pairSteps {
					want := strings.NewReplacer("%[1]s", p.prefix, "%[2]s", uriPrefix).Replace(format)
					got, ran := results[step]
					if p.prefix != "" && (step == "tools" || step == "prompts" || step == "resources" || step == "templates") {
						got = only(got, slug)
					}
					if reason := cmp.Or(impossible[slug+" "+step], impossible[name+" "+slug+" "+step]); reason != "" || !ran {
						if got == want || !ran {
							t.Errorf("%s is said to be impossible (%s), and gives %q", step, reason, got)
						}
						continue
					}
					if got != want {
						t.Errorf("%s gives %q, not %q", step, got, want)
					}
				}
				eventuallyIn(t, 5*time.Second, "the server hears of the cancellation", func() bool { return server.cancelled.Load() > before })
			})
		}
	}
}

// only returns those of a list that are of a server.
func only(list, slug string) string {
	names := strings.Split(list, ",")
	return strings.Join(slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, slug) }), ",")
}

// pairing is where a client is to go, and the names that things have there.
type pairing struct{ url, key, prefix, uri string }

func drivePairTypeScript(mode string) func(*testing.T, pairing) map[string]string {
	return func(t *testing.T, p pairing) (results map[string]string) {
		t.Helper()
		input, err := json.Marshal(object{"url": p.url, "key": p.key, "mode": json.RawMessage(mode), "prefix": p.prefix, "uri": p.uri})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		cmd := exec.CommandContext(ctx, "node", "pairs.mjs")
		cmd.Dir = filepath.Join(repo, "deploy/e2e/fixtures")
		cmd.Stdin = bytes.NewReader(input)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("the TypeScript client: %v\n%s", err, stderr.String())
		}
		if err := json.Unmarshal(out, &results); err != nil {
			t.Fatalf("the TypeScript client printed: %s", out)
		}
		return results
	}
}

// pairSDK is a client of the Go SDK with what it heard.
type pairSDK struct {
	pairing
	*mcp.ClientSession
	version                  string
	progress, logged, update chan string
}

func drivePairSDK(version string) func(*testing.T, pairing) map[string]string {
	return func(t *testing.T, p pairing) map[string]string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		c := &pairSDK{pairing: p, version: version, progress: make(chan string, 100), logged: make(chan string, 100), update: make(chan string, 1000)}
		client := mcp.NewClient(&mcp.Implementation{Name: "pairs", Version: "1"}, c.options())
		client.AddRoots(&mcp.Root{URI: "file:///root", Name: "root"})
		var err error
		c.ClientSession, err = client.Connect(ctx, &mcp.StreamableClientTransport{
			Endpoint: p.url, HTTPClient: &http.Client{Transport: bearer{p.key}}, MaxRetries: -1,
		}, &mcp.ClientSessionOptions{ProtocolVersion: version})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.run(ctx)
	}
}

func (c *pairSDK) options() *mcp.ClientOptions {
	return &mcp.ClientOptions{
		ElicitationHandler: func(context.Context, *mcp.ElicitRequest) (*mcp.ElicitResult, error) {
			return &mcp.ElicitResult{Action: "accept", Content: object{"name": "ana"}}, nil
		},
		CreateMessageHandler: func(context.Context, *mcp.CreateMessageRequest) (*mcp.CreateMessageResult, error) {
			return &mcp.CreateMessageResult{Role: "assistant", Model: "m", Content: &mcp.TextContent{Text: "sampled"}}, nil
		},
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) {
			c.progress <- fmt.Sprint(r.Params.Progress)
		},
		LoggingMessageHandler:  func(_ context.Context, r *mcp.LoggingMessageRequest) { c.logged <- fmt.Sprint(r.Params.Data) },
		ResourceUpdatedHandler: func(_ context.Context, r *mcp.ResourceUpdatedNotificationRequest) { c.update <- r.Params.URI },
	}
}

func (c *pairSDK) run(ctx context.Context) map[string]string {
	steps := map[string]func(context.Context) (string, error){
		"tools": c.listTools, "prompts": c.listPrompts, "resources": c.listResources, "templates": c.listTemplates,
		"prompt": c.prompt, "read": c.read, "complete": c.completion, "progress": c.work, "logging": c.logging,
		"cancellation": c.cancellation, "subscription": c.subscription,
		"elicitation": func(ctx context.Context) (string, error) { return c.call(ctx, "ask", nil) },
		"sampling":    func(ctx context.Context) (string, error) { return c.call(ctx, "sample", nil) },
		"roots":       func(ctx context.Context) (string, error) { return c.call(ctx, "roots", nil) },
	}
	results := map[string]string{}
	// The cancellation is not the last: this client sends it in the background, and a
	// client that closes sends no more.
	for _, step := range slices.Sorted(maps.Keys(steps)) {
		text, err := steps[step](ctx)
		if err != nil {
			text = "error: " + err.Error()
		}
		results[step] = text
	}
	return results
}

func (c *pairSDK) call(ctx context.Context, tool string, meta mcp.Meta) (string, error) {
	result, err := c.CallTool(ctx, &mcp.CallToolParams{Name: c.prefix + tool, Arguments: object{}, Meta: meta})
	if err != nil {
		return "", err
	}
	text := result.Content[0].(*mcp.TextContent).Text
	if result.IsError {
		text = "tool error: " + text
	}
	return text, nil
}

func (c *pairSDK) listTools(ctx context.Context) (string, error) {
	list, err := c.ListTools(ctx, nil)
	if err != nil {
		return "", err
	}
	var names []string
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	return strings.Join(sorted(names), ","), nil
}

func (c *pairSDK) listPrompts(ctx context.Context) (string, error) {
	list, err := c.ListPrompts(ctx, nil)
	if err != nil || len(list.Prompts) != 1 {
		return "", fmt.Errorf("%v %w", list, err)
	}
	return list.Prompts[0].Name, nil
}

func (c *pairSDK) listResources(ctx context.Context) (string, error) {
	list, err := c.ListResources(ctx, nil)
	if err != nil || len(list.Resources) != 1 {
		return "", fmt.Errorf("%v %w", list, err)
	}
	return list.Resources[0].URI, nil
}

func (c *pairSDK) listTemplates(ctx context.Context) (string, error) {
	list, err := c.ListResourceTemplates(ctx, nil)
	if err != nil || len(list.ResourceTemplates) != 1 {
		return "", fmt.Errorf("%v %w", list, err)
	}
	return list.ResourceTemplates[0].URITemplate, nil
}

func (c *pairSDK) prompt(ctx context.Context) (string, error) {
	result, err := c.GetPrompt(ctx, &mcp.GetPromptParams{Name: c.prefix + "greet", Arguments: map[string]string{"who": "bob"}})
	if err != nil {
		return "", err
	}
	return result.Description, nil
}

func (c *pairSDK) read(ctx context.Context) (string, error) {
	result, err := c.ReadResource(ctx, &mcp.ReadResourceParams{URI: c.uri})
	if err != nil {
		return "", err
	}
	return result.Contents[0].URI + " " + result.Contents[0].Text, nil
}

func (c *pairSDK) completion(ctx context.Context) (string, error) {
	result, err := c.Complete(ctx, &mcp.CompleteParams{
		Ref: &mcp.CompleteReference{Type: "ref/prompt", Name: c.prefix + "greet"}, Argument: mcp.CompleteParamsArgument{Name: "who", Value: "b"},
	})
	if err != nil {
		return "", err
	}
	return strings.Join(result.Completion.Values, ","), nil
}

func (c *pairSDK) work(ctx context.Context) (string, error) {
	text, err := c.call(ctx, "work", mcp.Meta{"progressToken": "work"})
	if err != nil {
		return "", err
	}
	seen, err := receive(ctx, c.progress)
	return seen + " " + text, err
}

func receive(ctx context.Context, from <-chan string) (string, error) {
	select {
	case text := <-from:
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (c *pairSDK) logging(ctx context.Context) (string, error) {
	var meta mcp.Meta
	if c.version == "2026-07-28" {
		meta = mcp.Meta{"io.modelcontextprotocol/logLevel": "info"}
	} else if err := c.SetLoggingLevel(ctx, &mcp.SetLoggingLevelParams{Level: "info"}); err != nil {
		return "", err
	}
	if _, err := c.call(ctx, "log", meta); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return receive(ctx, c.logged)
}

func (c *pairSDK) cancellation(ctx context.Context) (string, error) {
	for len(c.progress) > 0 {
		<-c.progress
	}
	calling, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := c.call(calling, "hang", mcp.Meta{"progressToken": "hang"})
		done <- err
	}()
	if _, err := receive(ctx, c.progress); err != nil {
		return "", err
	}
	cancel()
	if err := <-done; err == nil {
		return "answered", nil
	}
	return "cancelled", nil
}

func (c *pairSDK) subscription(ctx context.Context) (string, error) {
	if err := c.Subscribe(ctx, &mcp.SubscribeParams{URI: c.uri}); err != nil {
		return "", err
	}
	// When a stream hears its server is not for the client to see.
	for {
		if _, err := c.call(ctx, "touch", nil); err != nil {
			return "", err
		}
		select {
		case uri := <-c.update:
			return uri, nil
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}
