package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/internal/fault"
)

// TestMain runs the tests, or, as a child of theirs, a server.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		if name := os.Getenv("PIDS"); name != "" {
			note(name)
		}
		_ = fixture().Run(context.Background(), &mcp.StdioTransport{})
		return
	}
	os.Exit(m.Run())
}

// note adds this process to a file.
func note(name string) {
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(file, os.Getpid())
	}
	if err != nil {
		panic(err)
	}
}

func fixture() *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "fixture\x1b[31m", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "echo", Description: "Says it again\nand again"},
		func(_ context.Context, _ *mcp.CallToolRequest, in struct{}) (*mcp.CallToolResult, any, error) {
			return nil, nil, nil
		})
	return server
}

// write writes an agent's file.
func write(t *testing.T, text string) Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "agent.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Config{File: file}
}

func TestAServerIsTestedAsTheAgentWouldRunIt(t *testing.T) {
	beside := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return fixture() }, nil))
	defer beside.Close()
	older := httptest.NewServer(mcp.NewSSEHandler(func(*http.Request) *mcp.Server { return fixture() }, nil))
	defer older.Close()
	modules, err := filepath.Abs("../deploy/e2e/fixtures/node_modules/@modelcontextprotocol")
	if err != nil {
		t.Fatal(err)
	}
	config := write(t, `servers:
  - {name: own, command: [`+os.Args[0]+`, serve]}
  - {name: wiki, url: "`+beside.URL+`"}
  - {name: older, url: "`+older.URL+`/sse"}
  - {name: memory, command: [node, `+modules+`/server-memory/dist/index.js]}
`)
	for name, tool := range map[string]string{"own": "echo", "wiki": "echo", "older": "echo", "memory": "create_entities"} {
		report, err := Test(t.Context(), config, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var text bytes.Buffer
		report.Print(&text)
		if !strings.Contains(text.String(), "\n  "+tool+" ") || strings.ContainsRune(text.String(), 0x1b) {
			t.Errorf("%s: the report is %q", name, text.String())
		}
	}
}

func TestAServerThatDoesNotWorkSaysWhy(t *testing.T) {
	config := write(t, `servers:
  - {name: broken, command: [sh, -c, "echo no database at $WHERE >&2; exit 1"], environment: {WHERE: s3cr3t-place}}
  - {name: missing, command: [no-such-program-anywhere]}
  - {name: away, url: "http://127.0.0.1:1/"}
`)
	for name, want := range map[string]string{
		"broken": "no database at [redacted]", "missing": "there is no program \"no-such-program-anywhere\"", "away": "connection refused",
		"other": "declares no server \"other\"; it has: broken, missing, away",
	} {
		if _, err := Test(t.Context(), config, name); err == nil || !strings.Contains(fault.Text(err), want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v; want %q", name, err, want)
		}
	}
	if got := failure("slow", unfinished("npm warn deprecated"), errors.New("503")); got != `server "slow" does not work: it is still starting; its last line: npm warn deprecated` {
		t.Errorf("one that does not come to an end of its start: %s", got)
	}
	if _, err := Test(t.Context(), write(t, "servers: [{}]"), "x"); !fault.Is(err, fault.Invalid) {
		t.Errorf("a broken file: %v", err)
	}
}
