package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// startSlow is a server of the official Go SDK with one tool, which reports
// progress and then waits for release.
func startSlow(t *testing.T, stateless bool, release <-chan struct{}) string {
	t.Helper()
	server := mcp.NewServer(&mcp.Implementation{Name: "slow", Version: "1.0.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "read", Description: "Reads slowly"},
		func(ctx context.Context, r *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
			for i := range 3 {
				if err := r.Session.NotifyProgress(ctx, &mcp.ProgressNotificationParams{
					ProgressToken: r.Params.GetProgressToken(), Progress: float64(i + 1), Total: 3, Message: "reading",
				}); err != nil {
					return nil, nil, err
				}
			}
			select {
			case <-release:
			case <-ctx.Done():
				return nil, nil, ctx.Err()
			}
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "read"}}}, nil, nil
		})
	front := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: stateless}))
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	return front.URL + "/mcp"
}

// TestAnswersStreamThroughTheGateway holds that what a server says before its
// result reaches the client at once: the server gives no result until the client
// has heard all of it. Clients and servers of both eras.
func TestAnswersStreamThroughTheGateway(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	w := &world{gateway: g}
	release := make(chan struct{})
	for name, stateless := range map[string]bool{"modern": true, "legacy": false} {
		admin(t, g.dataDir, "server", "add", name, "--url", startSlow(t, stateless, release), "--private", "--approve")
	}
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	key := w.key(t, "patient")
	w.settled(t, key)
	for _, version := range []string{"2026-07-28", "2025-11-25"} {
		for _, server := range []string{"modern", "legacy"} {
			t.Run(version+" to "+server, func(t *testing.T) { hearProgress(t, g, key, version, server+"__read", release) })
		}
	}
}

func hearProgress(t *testing.T, g gateway, key, version, tool string, release chan<- struct{}) {
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	heard := make(chan *mcp.ProgressNotificationParams, 8)
	c := mcp.NewClient(&mcp.Implementation{Name: "warder-e2e-go", Version: "1.0.0"}, &mcp.ClientOptions{
		ProgressNotificationHandler: func(_ context.Context, r *mcp.ProgressNotificationClientRequest) { heard <- r.Params },
	})
	cs, err := c.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: g.mcp, HTTPClient: &http.Client{Transport: bearer{key}}, MaxRetries: -1,
	}, &mcp.ClientSessionOptions{ProtocolVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel() // Else a call that still waits for release would keep it open.
		_ = cs.Close()
	}()
	params := &mcp.CallToolParams{Name: tool, Arguments: object{}}
	params.SetProgressToken("mine")
	result := make(chan error, 1)
	go func() {
		r, err := cs.CallTool(ctx, params)
		if err == nil && (len(r.Content) != 1 || r.IsError) {
			err = fmt.Errorf("answered %+v", r)
		}
		result <- err
	}()
	for i := range 3 {
		select {
		case p := <-heard:
			if p.ProgressToken != "mine" || p.Progress != float64(i+1) || p.Message != "reading" {
				t.Errorf("progress %d is %+v", i+1, p)
			}
		case err := <-result:
			t.Fatalf("a result before progress %d: %v", i+1, err)
		case <-ctx.Done():
			t.Fatalf("progress %d does not come before the result", i+1)
		}
	}
	release <- struct{}{}
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// oddResult is what a careless program would change by reading and writing it:
// unknown members, an order of its own, numbers that no float64 holds, escapes
// that need not be, and blanks.
const oddResult = `{ "zeta":1.0, "content":[ {"type":"text","text":"caf\u00e9 \/ \u2028 <&>","_unknown":{"b":1,"a":2}} ],` +
	`"structuredContent":{"big":12345678901234567890,"exact":0.1000000000000000055511151231257827,"exp":1E+2,"minus":-0},` +
	`"_meta":{"com.example/x":[null,true,{}]},"isError":false , "alpha":"\ud83d\ude00" }`

// oddArguments are the like of a request.
const oddArguments = `{ "id":12345678901234567890,"z":1e2 ,"a":{"\u0074ext":"\/"}, "list":[1.0,-0,null] }`

// TestMessagesPassByteForByte holds that arguments reach the server, and a result
// or an error's data the client, as the bytes that were written, be the answer
// JSON or an event of a stream.
func TestMessagesPassByteForByte(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	m := startMoody(t)
	admin(t, g.dataDir, "server", "add", "moody", "--url", m.url, "--private", "--approve")
	admin(t, g.dataDir, "user", "create", "ana", "--role", "owner")
	w := &world{gateway: g}
	key := w.key(t, "exact")
	w.settled(t, key)

	const oddError = `"error":{"code":-32001,"data":{"big":12345678901234567890,"z":"\u00e9","a":1.50},"message":"no","_more":0}`
	legacy := `{"jsonrpc":"2.0","id":"my id","method":"tools/call","params":{"name":"moody__read","arguments":` + oddArguments + `}}`
	modern := strings.TrimSuffix(legacy, "}}") + `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}`
	modernHeaders := []string{"MCP-Protocol-Version", "2026-07-28", "Mcp-Method", "tools/call", "Mcp-Name", "moody__read"}
	for form, answer := range map[string]func(w http.ResponseWriter, id json.RawMessage, member string){
		"JSON": func(w http.ResponseWriter, id json.RawMessage, member string) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,%s,"_beside":7}`, id, member)
		},
		"an event": func(w http.ResponseWriter, id json.RawMessage, member string) {
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, ": hello\n\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":%s,%s,\"_beside\":7}\n\n", id, member)
		},
	} {
		for _, c := range []struct {
			name, send, answer, want string
			header                   []string
		}{
			{"legacy result", legacy, `"result":` + oddResult, `"result":` + oddResult, nil},
			{"legacy error", legacy, oddError, oddError, nil},
			{"modern result", modern, `"result":` + oddResult, `"result":{"resultType":"complete",` + withServerInfo(oddResult[1:]), modernHeaders},
			{"modern error", modern, oddError, oddError, modernHeaders},
		} {
			m.call = func(w http.ResponseWriter, _ *http.Request, id json.RawMessage) { answer(w, id, c.answer) }
			status, body, _ := post(t, g.mcp, key, c.send, c.header...)
			if want := `"id":"my id",` + c.want + `,"_beside":7}`; status != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%s as %s: %d\n%s\nis not\n%s", c.name, form, status, body, want)
			}
			if !strings.Contains(string(m.body), `"arguments":`+oddArguments) {
				t.Errorf("%s: the server was sent %s", c.name, m.body)
			}
		}
	}
}

// withServerInfo returns a result with the name that the gateway gives itself
// towards modern clients, in the _meta that is there.
func withServerInfo(result string) string {
	return strings.Replace(result, `"_meta":{`, `"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"warder","version":"0.1.0-dev"},`, 1)
}
