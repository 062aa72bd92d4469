//go:build browser

package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// TestDashboard lets a person's whole way be gone in a real browser: from the
// printed link to an audited call and out again. browser/journey.mjs is the
// person; what it must never see (a console error, a foreign request) is there
// as well.
func TestDashboard(t *testing.T) {
	browser, err := findBrowser()
	if err != nil {
		t.Fatal(err)
	}
	g, up := startUp(t)
	server := startFull(t, true)
	base := strings.TrimSuffix(g.mcp, "/mcp")
	setupToken := up.waitFor(t, "/setup#t=")

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	journey := exec.CommandContext(ctx, "node", "journey.mjs")
	journey.Dir = filepath.Join(repo, "deploy/e2e/browser")
	journey.Env = append(environment(),
		"HOME="+t.TempDir(), // The browser keeps files there beside its profile.
		"WARDER_BROWSER="+browser,
		"WARDER_BASE="+base,
		"WARDER_SETUP_TOKEN="+setupToken,
		"WARDER_SERVER="+server.url,
		"WARDER_SCREENSHOTS="+os.Getenv("WARDER_SCREENSHOTS"),
	)
	out, err := journey.CombinedOutput()
	if err != nil {
		t.Fatalf("the journey ended with %v:\n%s", err, out)
	}
	t.Logf("%s", out)
	if added, deleted := server.added.Load(), server.deleted.Load(); added != 1 || deleted != 0 {
		t.Errorf("the server was called %d and %d times, not once for the allowed call and never for the denied ones", added, deleted)
	}
}

// startFull is startSDK with a prompt, a resource, a template and instructions
// beside the tools.
func startFull(t *testing.T, stateless bool) *sdkServer {
	t.Helper()
	server := mcp.NewServer(&mcp.Implementation{Name: "calculator", Version: "1.0.0"},
		&mcp.ServerOptions{Instructions: "Add first, then explain."})
	server.AddPrompt(&mcp.Prompt{Name: "explain", Description: "Explains a sum"},
		func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
			content := &mcp.TextContent{Text: "Explain 2 + 3."}
			return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: content}}}, nil
		})
	read := func(_ context.Context, r *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: r.Params.URI, Text: "notes"}}}, nil
	}
	server.AddResource(&mcp.Resource{URI: "notes://today", Name: "today"}, read)
	server.AddResourceTemplate(&mcp.ResourceTemplate{URITemplate: "notes://{day}", Name: "day"}, read)
	return serveSDK(t, stateless, server)
}

// findBrowser returns a Chromium of the system.
func findBrowser() (string, error) {
	if path := os.Getenv("WARDER_BROWSER"); path != "" {
		return path, nil
	}
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no browser found: install Chromium (Debian: apt-get install chromium), or set WARDER_BROWSER to its path; looked on PATH for %v", names)
}
