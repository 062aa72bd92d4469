package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// client is one way in which real programs speak to the gateway.
type client struct {
	name string // also the name of its application
	// drive connects with key, lists, and calls each tool; it fails the test if
	// it cannot connect.
	drive func(t *testing.T, g gateway, key string, calls []call) session
}

// call is one tools/call.
type call struct {
	tool      string
	arguments object
}

// session is what a client saw.
type session struct {
	tools   []string // sorted
	answers []answer // one per call
}

// answer is a result's text, or an error.
type answer struct {
	text string
	err  string // empty: none
}

// clients are all that the gateway must serve, of both eras.
var clients = []client{
	{"go-sdk-modern", driveSDK("2026-07-28")},
	{"go-sdk-legacy", driveSDK("2025-11-25")},
	{"typescript-legacy", driveTypeScript(`"legacy"`)},
	{"typescript-modern", driveTypeScript(`{"pin":"2026-07-28"}`)},
}

// bearer adds a key to each request.
type bearer struct{ key string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.key)
	return http.DefaultTransport.RoundTrip(r)
}

// connectSDK connects the official Go client at a protocol version.
func connectSDK(ctx context.Context, g gateway, key, version string) (*mcp.ClientSession, error) {
	c := mcp.NewClient(&mcp.Implementation{Name: "warder-e2e-go", Version: "1.0.0"}, nil)
	return c.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: g.mcp, HTTPClient: &http.Client{Transport: bearer{key}}, MaxRetries: -1,
	}, &mcp.ClientSessionOptions{ProtocolVersion: version})
}

func driveSDK(version string) func(*testing.T, gateway, string, []call) session {
	return func(t *testing.T, g gateway, key string, calls []call) (s session) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		cs, err := connectSDK(ctx, g, key, version)
		if err != nil {
			t.Fatalf("connect at %s: %v", version, err)
		}
		defer cs.Close()
		if got := cs.InitializeResult().ProtocolVersion; got != version {
			t.Errorf("negotiated %s, not %s", got, version)
		}
		list, err := cs.ListTools(ctx, nil)
		if err != nil {
			t.Fatalf("list: %v", err)
		}
		for _, tool := range list.Tools {
			s.tools = append(s.tools, tool.Name)
		}
		slices.Sort(s.tools)
		for _, c := range calls {
			s.answers = append(s.answers, callSDK(ctx, cs, c))
		}
		return s
	}
}

func callSDK(ctx context.Context, cs *mcp.ClientSession, c call) answer {
	result, err := cs.CallTool(ctx, &mcp.CallToolParams{Name: c.tool, Arguments: c.arguments})
	if wire, ok := errors.AsType[*jsonrpc.Error](err); ok {
		return answer{err: fmt.Sprintf("%d %s", wire.Code, wire.Message)}
	}
	if err != nil {
		return answer{err: err.Error()}
	}
	var text strings.Builder
	for _, content := range result.Content {
		if t, ok := content.(*mcp.TextContent); ok {
			text.WriteString(t.Text)
		}
	}
	return answer{text: text.String()}
}

func driveTypeScript(mode string) func(*testing.T, gateway, string, []call) session {
	return func(t *testing.T, g gateway, key string, calls []call) (s session) {
		t.Helper()
		steps := []object{{"list": true}}
		for _, c := range calls {
			steps = append(steps, object{"call": c.tool, "arguments": c.arguments})
		}
		input, err := json.Marshal(object{"url": g.mcp, "key": key, "mode": json.RawMessage(mode), "steps": steps})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		cmd := exec.CommandContext(ctx, "node", "client.mjs")
		cmd.Dir = filepath.Join(repo, "deploy/e2e/fixtures")
		cmd.Stdin = bytes.NewReader(input)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("the TypeScript client: %v\n%s", err, stderr.String())
		}
		return readTypeScript(t, out, len(calls))
	}
}

// readTypeScript reads what fixtures/client.mjs prints.
func readTypeScript(t *testing.T, out []byte, calls int) (s session) {
	t.Helper()
	var results []struct {
		Tools   []string
		Content []struct{ Text string }
		Error   *struct {
			Code    any
			Message string
		}
		Connect *struct{ Message string }
	}
	if err := json.Unmarshal(out, &results); err != nil {
		t.Fatalf("the TypeScript client printed: %s", out)
	}
	if len(results) != calls+1 || results[0].Error != nil || results[0].Connect != nil {
		t.Fatalf("the TypeScript client could not connect and list: %s", out)
	}
	s.tools = results[0].Tools
	slices.Sort(s.tools)
	for _, r := range results[1:] {
		if r.Error != nil {
			s.answers = append(s.answers, answer{err: fmt.Sprintf("%v %s", r.Error.Code, r.Error.Message)})
			continue
		}
		var text strings.Builder
		for _, c := range r.Content {
			text.WriteString(c.Text)
		}
		s.answers = append(s.answers, answer{text: text.String()})
	}
	return s
}

// opened holds the ids of the sessions that post has opened, by URL and key.
var opened sync.Map

// openSession returns the id of a session of 2025-11-25 with a key, empty if none
// can be had.
func openSession(t *testing.T, url, key string) string {
	t.Helper()
	name := url + " " + key
	if id, ok := opened.Load(name); ok {
		return id.(string)
	}
	_, _, answered := send(t, url, key, `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{}}}`)
	id := answered.Get("Mcp-Session-Id")
	if id != "" {
		opened.Store(name, id)
	}
	return id
}

// post sends a raw body to the endpoint and returns status and body; a message of
// a legacy client in a session, which it opens where there is none. Header pairs
// are set last, an empty value removes one.
func post(t *testing.T, url, key, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	if i := slices.Index(header, "MCP-Protocol-Version"); key != "" && (i < 0 || header[i+1] < "2026-07-28") {
		if id := openSession(t, url, key); id != "" {
			header = append([]string{"Mcp-Session-Id", id}, header...)
		}
	}
	return send(t, url, key, body, header...)
}

// send sends a raw body to the endpoint and returns status and body.
func send(t *testing.T, url, key, body string, header ...string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i+1 < len(header); i += 2 {
		switch {
		case header[i] == "Host":
			r.Host = header[i+1]
		case header[i+1] == "":
			r.Header.Del(header[i])
		default:
			r.Header.Add(header[i], header[i+1])
		}
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data), response.Header
}
