package agent

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/warder-gateway/warder/agent/internal/uplinktest"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

// tools lists the tools of a server, as a node reaches it.
func tools(t *testing.T, node *uplinktest.Peer, server string) []string {
	t.Helper()
	var through *tunnel.Tunnel
	node.Until(server+" at the node", func() bool { through = node.Tunnel; return node.States[server] })
	session, err := mcp.NewClient(&mcp.Implementation{Name: "node", Version: "1"}, nil).Connect(t.Context(), &mcp.StreamableClientTransport{
		Endpoint: "http://agent/", MaxRetries: -1, HTTPClient: &http.Client{Transport: tunnel.RoundTripper(through, server)},
	}, nil)
	if err != nil {
		t.Fatalf("connect to %s: %v", server, err)
	}
	t.Cleanup(func() { _ = session.Close() })
	var names []string
	for tool, err := range session.Tools(t.Context(), nil) {
		if err != nil {
			t.Fatalf("list tools of %s: %v", server, err)
		}
		names = append(names, tool.Name)
	}
	return names
}

func TestAnAgentServesWhatItsFileAndItsOrdersSay(t *testing.T) {
	authority := uplinktest.NewAuthority(t)
	control, node := authority.Peer(identity.ControlPlane, ""), authority.Peer(identity.Node, "edge")
	orders := &enrollv1.Orders{
		Nodes:   []*enrollv1.NodeAddress{{Name: "edge", Address: node.Address}},
		Allowed: []string{"own", "more", "given", "refused"},
		Servers: []*enrollv1.AssignedServer{
			{Name: "given", Command: []string{os.Args[0], "serve"}}, {Name: "refused", Command: []string{"sh", "-c", "id"}},
		},
	}
	control.Change(func() { control.Orders = orders })
	own := "servers:\n  - {name: own, command: [" + os.Args[0] + ", serve]}\n"
	rule := "allow: [{command: " + os.Args[0] + ", args: [serve]}]\n"
	config := write(t, own+rule)
	config.Identity, config.ControlPlane, config.DataDir = authority.Issue(identity.Agent, "laptop"), control.Address, t.TempDir()
	config.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, config) }()

	for _, server := range []string{"own", "given"} {
		if got := tools(t, node, server); len(got) != 1 || got[0] != "echo" {
			t.Errorf("%s has tools %v", server, got)
		}
	}
	next := filepath.Join(t.TempDir(), "next")
	if err := os.WriteFile(next, []byte(own+"  - {name: more, command: ["+os.Args[0]+", serve]}\n"+rule), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, config.File); err != nil {
		t.Fatal(err)
	}
	if got := tools(t, node, "more"); len(got) != 1 {
		t.Errorf("what was added to the file has tools %v", got)
	}
	reports := map[string]*enrollv1.ServerReport{}
	control.Until("the report of all servers", func() bool {
		for _, r := range control.Report.GetServers() {
			reports[r.GetName()] = r
		}
		return reports["more"].GetPid() != 0 && reports["own"].GetPid() != 0 && reports["given"].GetPid() != 0
	})
	if r := reports["refused"]; r.GetPhase() != enrollv1.ServerPhase_SERVER_PHASE_REFUSED || r.GetLocal() {
		t.Errorf("the one that the file does not allow is reported as %v", r)
	}

	control.Until("the receipt of its orders", func() bool { return len(control.Taken) > 0 })

	stop()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
	for _, name := range []string{"own", "given", "more"} {
		process, err := os.FindProcess(int(reports[name].GetPid()))
		if err == nil {
			err = process.Signal(syscall.Signal(0))
		}
		if err == nil {
			t.Errorf("%s runs on after the agent", name)
		}
	}
}

func TestAnAgentThatCannotStartSaysWhy(t *testing.T) {
	t.Setenv("WARDER_JOIN_TOKEN", "")
	good := func() Config {
		config := write(t, "servers: []")
		config.ControlPlane, config.DataDir = "127.0.0.1:1", t.TempDir()
		return config
	}
	for name, c := range map[string]struct {
		change func(*Config)
		kind   fault.Kind
	}{
		"no control plane": {func(c *Config) { c.ControlPlane = "" }, fault.Invalid},
		"no port":          {func(c *Config) { c.ControlPlane = "control" }, fault.Invalid},
		"two tokens":       {func(c *Config) { c.JoinToken, c.JoinTokenFile = "x", "y" }, fault.Invalid},
		"no such file":     {func(c *Config) { c.File = filepath.Join(t.TempDir(), "none") }, fault.Precondition},
		"no identity":      {func(*Config) {}, fault.Precondition},
		"no token":         {func(c *Config) { c.JoinToken = "hunter2" }, fault.Invalid},
		"no token file":    {func(c *Config) { c.JoinTokenFile = filepath.Join(t.TempDir(), "none") }, fault.Precondition},
	} {
		config := good()
		c.change(&config)
		if err := Run(t.Context(), config); !fault.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADataDirectoryIsOneAgentsAtATime(t *testing.T) {
	t.Setenv("WARDER_JOIN_TOKEN", "")
	config := write(t, "servers: []")
	config.ControlPlane, config.DataDir = "127.0.0.1:1", filepath.Join(t.TempDir(), "agent")
	lock, err := config.claim()
	if err != nil {
		t.Fatal(err)
	}
	err = Run(t.Context(), config)
	if text := fault.Text(err); !fault.Is(err, fault.Exists) || !strings.Contains(text, config.DataDir) ||
		!strings.Contains(text, fmt.Sprintf("pid %d,", os.Getpid())) || !strings.Contains(text, "--data-dir") {
		t.Errorf("the second agent ended with %v", err)
	}
	lock.Release()
	if err := Run(t.Context(), config); !fault.Is(err, fault.Precondition) || !strings.Contains(fault.Text(err), "join token") {
		t.Errorf("without the other one it ended with %v", err)
	}
}
