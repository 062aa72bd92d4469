package agent

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/agent/internal/inventory"
	"github.com/warder-gateway/warder/agent/internal/manifest"
	"github.com/warder-gateway/warder/internal/fault"
	mcpname "github.com/warder-gateway/warder/internal/mcp"
)

// TestReport is what a test of a server found. Its form as JSON is a contract for scripts.
type TestReport struct {
	Server   string     `json:"server"`
	What     string     `json:"what"`
	Protocol string     `json:"protocol"`
	Name     string     `json:"name"`
	Version  string     `json:"version"`
	Tools    []TestTool `json:"tools"`
	Millis   int64      `json:"millis"`
}

// TestTool is a tool as its server describes it.
type TestTool struct {
	Name        string `json:"name"`
	Description string `json:"description"`
}

// maxTools bounds what is listed of one server.
const maxTools = 1000

// Test starts a server of the agent's file, completes the handshake, lists its tools, and stops it. It needs no control
// plane. Texts in the report are the server's own, and not fit for a terminal as they are; see TestReport.Print.
func Test(ctx context.Context, config Config, name string) (*TestReport, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	file, err := manifest.Load(config.File)
	if err != nil {
		return nil, err
	}
	one, err := only(file, name)
	if err != nil {
		return nil, err
	}
	servers := inventory.New(config.Version, config.Log)
	defer servers.Close()
	servers.Apply(one, nil)
	began := time.Now()
	report := &TestReport{Server: name, What: servers.Reports()[0].GetWhat(), Tools: []TestTool{}}
	err = report.fill(ctx, servers, config.Version)
	report.Millis = time.Since(began).Milliseconds()
	if err != nil {
		state := servers.Reports()[0]
		return nil, fault.Wrap(fault.Unavailable, failure(name, cmp.Or(state.GetLastError(), unfinished(state.GetLastLine())), err), err)
	}
	return report, nil
}

// failure words why a test failed: by what is known of the process, or else by what its client met.
func failure(name, last string, err error) string {
	if last == "" {
		last = mcpname.EscapeName(err.Error(), 500)
	}
	return fmt.Sprintf("server %q does not work: %s", name, last)
}

// unfinished words the last line of a program that had not started when its client gave up; empty: there is none.
func unfinished(line string) string {
	if line == "" {
		return ""
	}
	return "it is still starting; its last line: " + line
}

// only returns the file with one of its servers.
func only(file *manifest.File, name string) (*manifest.File, error) {
	names := make([]string, len(file.Servers))
	for i, s := range file.Servers {
		if s.Name == name {
			return &manifest.File{Servers: file.Servers[i : i+1]}, nil
		}
		names[i] = s.Name
	}
	if len(names) == 0 {
		return nil, fault.New(fault.NotFound, "the agent's file declares no server")
	}
	return nil, fault.Newf(fault.NotFound, "the agent's file declares no server %q; it has: %s", name, strings.Join(names, ", "))
}

// fill asks the server as a client does.
func (r *TestReport) fill(ctx context.Context, servers *inventory.Inventory, version string) error {
	client := mcp.NewClient(&mcp.Implementation{Name: "warder-agent", Version: version}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{
		Endpoint: "http://agent/", MaxRetries: -1,
		HTTPClient: &http.Client{Transport: &inMemory{handler: servers, server: r.Server}},
	}, nil)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer session.Close()
	if result := session.InitializeResult(); result != nil {
		r.Protocol = result.ProtocolVersion
		if result.ServerInfo != nil {
			r.Name, r.Version = result.ServerInfo.Name, result.ServerInfo.Version
		}
	}
	for tool, err := range session.Tools(ctx, nil) {
		if err != nil {
			return fmt.Errorf("list tools: %w", err)
		}
		if len(r.Tools) == maxTools {
			return fmt.Errorf("it lists more than %d tools", maxTools)
		}
		r.Tools = append(r.Tools, TestTool{tool.Name, tool.Description})
	}
	return nil
}

// Print writes the report for people.
func (r *TestReport) Print(w io.Writer) {
	visible := func(text string) string { return mcpname.EscapeName(text, 100) }
	fmt.Fprintf(w, "%s works: %s\n", r.Server, visible(r.What))
	fmt.Fprintf(w, "It is %s %s, speaks MCP %s, and has %d tools (%d ms).\n", visible(r.Name), visible(r.Version), visible(r.Protocol), len(r.Tools), r.Millis)
	for _, tool := range r.Tools {
		first, _, _ := strings.Cut(tool.Description, "\n")
		fmt.Fprintf(w, "  %-32s %s\n", visible(tool.Name), visible(first))
	}
}
