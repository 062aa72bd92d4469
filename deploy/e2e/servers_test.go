package e2e_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/internal/porttest"
)

// startEverything runs the reference server of npm and returns its endpoint. It
// is of the legacy era and keeps sessions.
func startEverything(t *testing.T) string {
	t.Helper()
	address := porttest.Free(t)
	fixtures := filepath.Join(repo, "deploy/e2e/fixtures")
	p := start(t, fixtures, []string{"PORT=" + port(address)}, "node",
		"node_modules/@modelcontextprotocol/server-everything/dist/index.js", "streamableHttp")
	p.waitFor(t, "listening on port")
	return "http://" + address + "/mcp"
}

// sdkServer is a server of the official Go SDK that counts what reaches it.
type sdkServer struct {
	url     string
	added   atomic.Int64 // calls of add
	deleted atomic.Int64 // calls of delete_item
}

type addition struct {
	A int `json:"a"`
	B int `json:"b"`
}

type sum struct {
	Sum int `json:"sum"`
}

type item struct {
	ID string `json:"id"`
}

// startSDK serves add, delete_item and read_notes. A stateless server of this
// SDK is of the modern era, a stateful one of the legacy era.
func startSDK(t *testing.T, stateless bool) *sdkServer {
	t.Helper()
	return serveSDK(t, stateless, mcp.NewServer(&mcp.Implementation{Name: "calculator", Version: "1.0.0"}, nil))
}

func serveSDK(t *testing.T, stateless bool, server *mcp.Server) *sdkServer {
	t.Helper()
	s := &sdkServer{}
	mcp.AddTool(server, &mcp.Tool{Name: "add", Description: "Adds two numbers"},
		func(_ context.Context, _ *mcp.CallToolRequest, in addition) (*mcp.CallToolResult, sum, error) {
			s.added.Add(1)
			return nil, sum{in.A + in.B}, nil
		})
	mcp.AddTool(server, &mcp.Tool{Name: "delete_item", Description: "Deletes an item"},
		func(_ context.Context, _ *mcp.CallToolRequest, in item) (*mcp.CallToolResult, any, error) {
			s.deleted.Add(1)
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "deleted " + in.ID}}}, nil, nil
		})
	mcp.AddTool(server, &mcp.Tool{Name: "read_notes", Description: "Reads the notes"},
		func(context.Context, *mcp.CallToolRequest, struct{}) (*mcp.CallToolResult, any, error) {
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "notes"}}}, nil, nil
		})
	handler := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server },
		&mcp.StreamableHTTPOptions{Stateless: stateless})
	front := httptest.NewServer(handler)
	t.Cleanup(func() {
		front.CloseClientConnections()
		front.Close()
	})
	s.url = front.URL + "/mcp"
	return s
}

// TestToolsThatAServerShowsToCapableClientsOnlyAreFound holds discovery to the
// reference server, which has some for each capability of a client.
func TestToolsThatAServerShowsToCapableClientsOnlyAreFound(t *testing.T) {
	t.Parallel()
	g, _ := startUp(t)
	serverAdd(t, g, "everything", startEverything(t))
	for _, tool := range []string{"get-roots-list", "trigger-elicitation-request", "trigger-sampling-request"} {
		found := admin(t, g.dataDir, "tool", "show", "everything/"+tool)["tool"].(object)
		if found["state"] != "TOOL_STATE_APPROVED" {
			t.Errorf("%s is %v", tool, found["state"])
		}
	}
}
