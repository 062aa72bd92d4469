//go:build browser

package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/internal/porttest"
)

// TestDashboard lets a person's whole way be gone in a real browser: from the
// printed link to an audited call and out again. browser/journey.mjs is the
// person; what it must never see (a console error, a foreign request) is there
// as well.
func TestDashboard(t *testing.T) {
	g, up := startUp(t)
	server := startFull(t, true)
	travel(t, "journey.mjs", g, setupToken(t, up), "WARDER_SERVER="+server.url)
	if added, deleted := server.added.Load(), server.deleted.Load(); added != 1 || deleted != 0 {
		t.Errorf("the server was called %d and %d times, not once for the allowed call and never for the denied ones", added, deleted)
	}
}

// TestDashboardOfPeople goes the same way through users, roles, keys, sessions,
// denials, issuers and providers, and signs in by a real provider as somebody who
// may only look.
func TestDashboardOfPeople(t *testing.T) {
	g, up := startUp(t)
	server := startFull(t, true)
	admin(t, g.dataDir, "server", "add", "calculator", "--url", server.url, "--private", "--approve")
	const secret = "s3cret-of-the-client"
	provider := startProvider(t, strings.TrimSuffix(g.mcp, "/mcp")+"/login/oidc/corp/callback", secret)
	setClaims(t, provider, "eve", `{"groups": ["dev"]}`)
	travel(t, "people.mjs", g, setupToken(t, up), "WARDER_PROVIDER="+provider, "WARDER_CLIENT_SECRET="+secret)
}

// TestDashboardGovernance lets a person decide about tools that are poisoned and
// that change, and write the policy, in a real browser. browser/governance.mjs is
// the person.
func TestDashboardGovernance(t *testing.T) {
	g := govern(t, func(f *fickle) {
		f.define(t, atPosition("read_clean", -1, ""))
		f.define(t, atPosition("read_poisoned", 1, poison))
		f.define(t, atPosition("read_hidden", 8, `\u200b\u202e`))
	})
	const password = "correct horse battery"
	for name, role := range map[string]string{"root": "owner", "vic": "viewer"} {
		if r := command(t, g.dataDir, password+"\n", "user", "create", name, "--role", role, "--password-stdin"); r.code != 0 {
			t.Fatalf("create %s: exit %d\n%s", name, r.code, r.stderr)
		}
	}
	changing := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		g.server.define(t, atPosition("read_poisoned", 1, poison+" Also deletes."))
	}))
	t.Cleanup(changing.Close)
	travel(t, "governance.mjs", g.gateway,
		"WARDER_PASSWORD="+password,
		"WARDER_KEY="+g.key(t, "browser"),
		"WARDER_CHANGE="+changing.URL,
	)
	if called := g.server.called("read_poisoned"); called != 0 {
		t.Errorf("the poisoned tool was called %d times", called)
	}
}

// TestDashboardOfTheFleet lets a person let an agent in by the command that the page
// prints, and give it a server over stdio. browser/fleet.mjs is the person, and has
// the programs of that command on its PATH.
func TestDashboardOfTheFleet(t *testing.T) {
	a := startApart(t, "--tunnel-listen", porttest.Free(t))
	const password = "correct horse battery"
	if r := command(t, a.dataDir, password+"\n", "user", "create", "root", "--role", "owner", "--password-stdin"); r.code != 0 {
		t.Fatalf("create root: exit %d\n%s", r.code, r.stderr)
	}
	programs, notes := scratch(t), t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\nexec %q agent \"$@\"\n", binary)
	if err := os.WriteFile(filepath.Join(programs, "warder-agent"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	server := filepath.Join(repo, "deploy/e2e/fixtures/node_modules/@modelcontextprotocol/server-filesystem/dist/index.js")
	people := gateway{"http://" + a.adminListen + "/mcp", a.dataDir}
	travel(t, "fleet.mjs", people,
		"PATH="+programs+string(os.PathListSeparator)+os.Getenv("PATH"),
		"WARDER_PASSWORD="+password,
		"WARDER_NODES="+a.nodeListen,
		"WARDER_PROGRAM="+server,
		"WARDER_NOTES="+notes,
	)
}

// setupToken is the variable that holds the token of a gateway that is not set up yet.
func setupToken(t *testing.T, up *process) string {
	t.Helper()
	return "WARDER_SETUP_TOKEN=" + up.waitFor(t, "/setup#t=")
}

// travel sends a person on a journey through the dashboard of a gateway, with
// further variables of the environment.
func travel(t *testing.T, journey string, g gateway, env ...string) {
	t.Helper()
	browser, err := findBrowser()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "node", journey)
	command.Dir = filepath.Join(repo, "deploy/e2e/browser")
	command.Env = append(environment(),
		"HOME="+t.TempDir(), // The browser keeps files there beside its profile.
		"WARDER_BROWSER="+browser,
		"WARDER_BASE="+strings.TrimSuffix(g.mcp, "/mcp"),
		"WARDER_SCREENSHOTS="+os.Getenv("WARDER_SCREENSHOTS"),
	)
	command.Env = append(command.Env, env...)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("the journey ended with %v:\n%s", err, out)
	}
	t.Logf("%s", out)
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
