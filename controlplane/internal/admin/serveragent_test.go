package admin

import (
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/controlplane/internal/environment"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// letIn puts an agent into the rows, as joining does.
func letIn(t *testing.T, r *rig, agent string) {
	t.Helper()
	if _, err := r.Store.Pool().Exec(t.Context(), "INSERT INTO agent (name) VALUES ($1)", agent); err != nil {
		t.Fatal(err)
	}
}

// stdio is a request for a server that an agent runs.
func stdio() *adminv1.AddServerRequest {
	return &adminv1.AddServerRequest{
		Name: "files", Agent: "laptop", Command: []string{"npx", "-y", "files"}, Directory: "/srv", Shared: true,
		Environment: []*adminv1.Variable{{Name: "TOKEN", Value: "CANARY"}, {Name: "LOG", Value: "debug"}},
	}
}

// TestAServerOfAnAgentIsSavedWhileItsAgentIsAway: nothing that was typed is lost, its
// environment is shown to nobody, and nodes are told of the agent alone.
func TestAServerOfAnAgentIsSavedWhileItsAgentIsAway(t *testing.T) {
	r := newRig(t)
	letIn(t, r, "laptop")
	added, err := r.local.servers.AddServer(t.Context(), connect.NewRequest(stdio()))
	if err != nil {
		t.Fatal(err)
	}
	s := added.Msg.GetServer()
	if diff := cmp.Diff([]string{"npx", "-y", "files"}, s.GetCommand()); diff != "" || s.GetAgent() != "laptop" || s.GetDirectory() != "/srv" || !s.GetShared() || s.GetDeclared() {
		t.Errorf("server %v", s)
	}
	if diff := cmp.Diff([]string{"LOG", "TOKEN"}, s.GetEnvironmentNames()); diff != "" || strings.Contains(added.Msg.String(), "CANARY") {
		t.Errorf("%v\n%s", added.Msg, diff)
	}
	if s.GetState() != adminv1.ServerState_SERVER_STATE_FAILED || !strings.Contains(s.GetLastError(), `"laptop" is not attached`) {
		t.Errorf("last error %q", s.GetLastError())
	}
	if len(s.GetWarnings()) != 1 || !strings.Contains(s.GetWarnings()[0], `fetches "files" in the version that is newest`) {
		t.Errorf("the warnings are %q", s.GetWarnings()) // T-44
	}
	row, err := r.Store.GetServer(t.Context(), "files")
	if err != nil {
		t.Fatal(err)
	}
	variables, err := environment.Open(r.Keys, "files", row.EnvironmentSealed)
	if diff := cmp.Diff(map[string]string{"TOKEN": "CANARY", "LOG": "debug"}, variables); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	item, _ := r.CurrentSet().Get("server/files")
	if told := item.GetServer(); told.GetAgent() != "laptop" || told.GetUrl() != "" || len(told.GetHeaders()) != 0 {
		t.Errorf("nodes are told %v", told)
	}
}

// TestAServerIsInOnePlace: a URL, or what an agent has, and nothing that belongs to
// the other.
func TestAServerIsInOnePlace(t *testing.T) {
	r := newRig(t)
	letIn(t, r, "laptop")
	for want, request := range map[string]*adminv1.AddServerRequest{
		"has a URL":                {Name: "s"},
		"only agents start":        {Name: "s", Command: []string{"npx"}},
		"not both":                 {Name: "s", Agent: "laptop", Command: []string{"npx"}, Url: "http://127.0.0.1:1/mcp"},
		"agent's own file":         {Name: "s", Agent: "laptop", Command: []string{"npx"}, Headers: []*adminv1.Header{{Name: "X", Value: "v"}}},
		"there is none":            {Name: "s", Agent: "laptop", Environment: []*adminv1.Variable{{Name: "A", Value: "b"}}},
		"belong to a command":      {Name: "s", Url: "http://127.0.0.1:1/mcp", Private: true, Shared: true},
		"name of a program":        {Name: "s", Agent: "laptop", Command: []string{" "}},
		"NUL character, which no":  {Name: "s", Agent: "laptop", Command: []string{"npx", "a\x00b"}},
		"NUL character in its":     {Name: "s", Agent: "laptop", Command: []string{"npx"}, Environment: []*adminv1.Variable{{Name: "A", Value: "\x00"}}},
		"A is given twice":         {Name: "s", Agent: "laptop", Command: []string{"npx"}, Environment: []*adminv1.Variable{{Name: "A"}, {Name: "A"}}},
		`there is no agent "nope"`: {Name: "s", Agent: "nope", Command: []string{"npx"}},
		"user or password":         {Name: "s", Agent: "laptop", Url: "http://u:p@127.0.0.1:1/mcp"},
	} {
		_, err := r.local.servers.AddServer(t.Context(), connect.NewRequest(request))
		if connect.CodeOf(err) != connect.CodeInvalidArgument || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", request, err, want)
		}
	}
	for name, request := range map[string]*adminv1.AddServerRequest{
		"declared": {Name: "declared", Agent: "laptop"},
		"beside":   {Name: "beside", Agent: "laptop", Url: "http://127.0.0.1:3001/mcp"},
	} {
		added, err := r.local.servers.AddServer(t.Context(), connect.NewRequest(request))
		if err != nil || added.Msg.GetServer().GetDeclared() != (name == "declared") {
			t.Errorf("%s: %v, %v", name, added, err)
		}
	}
}

// TestOfAnAgentsServerTheEnvironmentAloneCanBeChanged: what an agent runs, and where, is
// another server.
func TestOfAnAgentsServerTheEnvironmentAloneCanBeChanged(t *testing.T) {
	r := newRig(t)
	letIn(t, r, "laptop")
	if _, err := r.local.servers.AddServer(t.Context(), connect.NewRequest(stdio())); err != nil {
		t.Fatal(err)
	}
	for _, request := range []*adminv1.UpdateServerRequest{
		{Name: "files", Url: new("https://mcp.example/mcp")},
		{Name: "files", Private: new(true)},
		{Name: "files", Headers: []*adminv1.Header{{Name: "X", Value: "v"}}},
		{Name: "files", RemoveEnvironment: []string{"NOPE"}},
	} {
		if _, err := r.local.servers.UpdateServer(t.Context(), connect.NewRequest(request)); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%v: %v", request, err)
		}
	}
	updated, err := r.local.servers.UpdateServer(t.Context(), connect.NewRequest(&adminv1.UpdateServerRequest{
		Name: "files", Environment: []*adminv1.Variable{{Name: "TOKEN", Value: "CANARY2"}, {Name: "MORE", Value: "1"}}, RemoveEnvironment: []string{"LOG"},
	}))
	if err != nil || !slices.Equal(updated.Msg.GetServer().GetEnvironmentNames(), []string{"MORE", "TOKEN"}) {
		t.Fatalf("%v, %v", updated, err)
	}
	row, err := r.Store.GetServer(t.Context(), "files")
	if err != nil {
		t.Fatal(err)
	}
	variables, err := environment.Open(r.Keys, "files", row.EnvironmentSealed)
	if diff := cmp.Diff(map[string]string{"TOKEN": "CANARY2", "MORE": "1"}, variables); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}
