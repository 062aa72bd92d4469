package agent

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/agent/internal/calls"
	"github.com/warder-gateway/warder/agent/internal/inventory"
	"github.com/warder-gateway/warder/agent/internal/terminal"
	"github.com/warder-gateway/warder/agent/internal/uplink"
	"github.com/warder-gateway/warder/agent/internal/uplinktest"
	"github.com/warder-gateway/warder/internal/identity"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

func TestWhereNobodyLooksNothingIsNoted(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	servers := inventory.New("test", log)
	defer servers.Close()
	for name, config := range map[string]Config{
		"no screen": {Log: log}, "--no-view": {Log: log, Screen: &Screen{}, NoView: true},
	} {
		v := config.open()
		if v != nil || config.Log != log || v.watch(servers) != uplink.Servers(servers) {
			t.Errorf("%s: there is a view", name)
		}
	}
	config := Config{Log: log, Screen: &Screen{}}
	if v := config.open(); v == nil || config.Log == log || v.watch(servers) == uplink.Servers(servers) {
		t.Error("there is a screen, and no view")
	}
	if FindScreen(os.Stdin, os.Stdout, nil) != nil {
		t.Error("what is no file is a screen")
	}
}

func TestTheViewShowsCallsAndConnections(t *testing.T) {
	authority := uplinktest.NewAuthority(t)
	control, node := authority.Peer(identity.ControlPlane, ""), authority.Peer(identity.Node, "edge")
	control.Change(func() {
		control.Orders = &enrollv1.Orders{
			Nodes:   []*enrollv1.NodeAddress{{Name: "edge", Region: "eu", Address: node.Address}, {Name: "gone", Region: "us", Address: "127.0.0.1:1"}},
			Allowed: []string{"own"},
		}
	})
	log := slog.New(slog.DiscardHandler)
	servers := inventory.New("test", log)
	defer servers.Close()
	config := write(t, "servers:\n  - {name: own, command: ["+os.Args[0]+", serve]}\n")
	file, err := config.load()
	if err != nil {
		t.Fatal(err)
	}
	servers.Apply(file, nil)
	v := &view{calls: calls.NewLog()}
	link := uplink.New(uplink.Config{
		Identity: authority.Issue(identity.Agent, "laptop"), ControlPlane: control.Address, Servers: v.watch(servers), Asked: servers,
		Assigned: func(_ []*enrollv1.AssignedServer, applied func()) { applied() }, DrainTime: time.Second, Version: "test", Log: log,
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); link.Run(ctx) }()
	defer func() { stop(); <-ended }()

	if got := tools(t, control, "own"); len(got) != 1 {
		t.Fatalf("for the control plane it has tools %v", got)
	}
	if made, _ := v.calls.Calls(0); len(made) != 0 {
		t.Errorf("what the control plane asks is noted as a call: %+v", made)
	}
	if got := tools(t, node, "own"); len(got) != 1 {
		t.Fatalf("it has tools %v", got)
	}
	var seen terminal.Uplink
	noted := map[string]string{}
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		made, _ := v.calls.Calls(0)
		for _, c := range made {
			noted[c.Method] = c.Server + " " + c.Outcome
		}
		seen = shown(link)
		if len(seen.Nodes) == 2 && seen.Nodes[0].Up && seen.Nodes[0].RoundTrip > 0 && seen.Nodes[1].Why != "" && seen.Connected &&
			noted["tools/list"] == "own ok" {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("it shows %+v, and noted %v", seen, noted)
		}
	}
	edge, gone := seen.Nodes[0], seen.Nodes[1]
	if edge.Name != "edge" || edge.Region != "eu" || edge.Address != node.Address || edge.State != "ready" || edge.Since.IsZero() || seen.Since.IsZero() || seen.Why != "" {
		t.Errorf("it shows %+v", seen)
	}
	if gone.Name != "gone" || gone.Up || !strings.HasPrefix(gone.Why, "dial tcp 127.0.0.1:1: ") {
		t.Errorf("it shows %+v", gone)
	}
}
