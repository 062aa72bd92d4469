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

// TestAServerOfAnAgentIsChanged: what is not said stays.
func TestAServerOfAnAgentIsChanged(t *testing.T) {
	r := newRig(t)
	letIn(t, r, "laptop")
	letIn(t, r, "desktop")
	must(r.local.servers.AddServer(t.Context(), connect.NewRequest(stdio()))).or(t)
	s := r.update(t, &adminv1.UpdateServerRequest{
		Name: "files", Environment: []*adminv1.Variable{{Name: "TOKEN", Value: "CANARY2"}, {Name: "MORE", Value: "1"}}, RemoveEnvironment: []string{"LOG"},
	}).or(t).GetServer()
	if diff := cmp.Diff([]string{"MORE", "TOKEN"}, s.GetEnvironmentNames()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"TOKEN": "CANARY2", "MORE": "1"}, r.variables(t, "files")); diff != "" {
		t.Error(diff)
	}
	s = r.update(t, &adminv1.UpdateServerRequest{Name: "files", Shared: new(false)}).or(t).GetServer()
	if s.GetShared() || s.GetDirectory() != "/srv" || len(s.GetCommand()) != 3 || len(s.GetEnvironmentNames()) != 2 {
		t.Errorf("not shared any more, it is %v", s)
	}
	s = r.update(t, &adminv1.UpdateServerRequest{
		Name: "files", Agent: new("desktop"), Command: []string{"uvx", "files"}, Directory: new(""),
		Environment: []*adminv1.Variable{{Name: "TOKEN", Value: "CANARY3"}}, RemoveEnvironment: []string{"MORE"},
	}).or(t).GetServer()
	if diff := cmp.Diff([]string{"uvx", "files"}, s.GetCommand()); diff != "" || s.GetAgent() != "desktop" || s.GetDirectory() != "" {
		t.Errorf("moved, it is %v\n%s", s, diff)
	}
	if diff := cmp.Diff(map[string]string{"TOKEN": "CANARY3"}, r.variables(t, "files")); diff != "" {
		t.Error(diff)
	}
	if got := r.published(t, "files"); got.GetAgent() != "desktop" {
		t.Errorf("nodes are told %v", got)
	}
	s = r.update(t, &adminv1.UpdateServerRequest{Name: "files", Url: new("http://127.0.0.1:3001/mcp"), RemoveEnvironment: []string{"TOKEN"}}).or(t).GetServer()
	if s.GetUrl() != "http://127.0.0.1:3001/mcp" || s.GetAgent() != "desktop" || len(s.GetCommand())+len(s.GetEnvironmentNames()) != 0 {
		t.Errorf("beside its agent, it is %v", s)
	}
}

// variables returns those of a server as its agent would be told them.
func (r *rig) variables(t *testing.T, server string) map[string]string {
	t.Helper()
	row, err := r.Store.GetServer(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	variables, err := environment.Open(r.Keys, server, row.EnvironmentSealed)
	if err != nil {
		t.Fatal(err)
	}
	return variables
}

// TestT24_VariablesDoNotGoAlong: who may change what runs must not learn by it what the
// API never returns, by having another program print it, or another machine be told it.
func TestT24_VariablesDoNotGoAlong(t *testing.T) {
	for name, request := range map[string]*adminv1.UpdateServerRequest{
		"to another agent":         {Agent: new("thief")},
		"to another program":       {Command: []string{"env"}},
		"to other arguments":       {Command: []string{"npx", "-y", "thief"}},
		"to another directory":     {Directory: new("/tmp")},
		"with one of two anew":     {Command: []string{"env"}, RemoveEnvironment: []string{"LOG"}},
		"to what listens there":    {Url: new("http://127.0.0.1:1/mcp")},
		"to a server by its URL":   {Url: new("https://thief.example/mcp"), Agent: new("")},
		"beside another's address": {Url: new("http://127.0.0.1:1/mcp"), Agent: new("thief"), RemoveEnvironment: []string{"LOG"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			letIn(t, r, "laptop")
			letIn(t, r, "thief")
			must(r.local.servers.AddServer(t.Context(), connect.NewRequest(stdio()))).or(t)
			request.Name = "files"
			r.update(t, request).refused(t, connect.CodeInvalidArgument, "TOKEN was given for 'npx -y files' in '/srv' of the agent laptop and does not go along to ")
			row, err := r.Store.GetServer(t.Context(), "files")
			if err != nil || row.Agent != "laptop" || row.Directory != "/srv" || !slices.Equal(row.Command, stdio().Command) {
				t.Errorf("it was moved all the same: %v, %v", row, err)
			}
		})
	}
}

// TestT24_HeadersDoNotGoAlongToAnAgent: its machine is another one than the server's.
func TestT24_HeadersDoNotGoAlongToAnAgent(t *testing.T) {
	r := newRig(t)
	letIn(t, r, "laptop")
	u := newUpstream(t, tool("a", "x"))
	must(r.local.servers.AddServer(t.Context(), connect.NewRequest(&adminv1.AddServerRequest{
		Name: "s", Url: u.url, Private: true, Headers: []*adminv1.Header{{Name: "Authorization", Value: "CANARY"}},
	}))).or(t)
	r.update(t, &adminv1.UpdateServerRequest{Name: "s", Agent: new("laptop")}).
		refused(t, connect.CodeInvalidArgument, "leave it out (--remove-header Authorization)")
	s := r.update(t, &adminv1.UpdateServerRequest{Name: "s", Agent: new("laptop"), RemoveHeaders: []string{"Authorization"}}).or(t).GetServer()
	if s.GetAgent() != "laptop" || s.GetUrl() != u.url || s.GetPrivate() {
		t.Errorf("beside the agent, it is %v", s)
	}
	row, err := r.Store.GetServer(t.Context(), "s")
	if err != nil || row.HeadersSealed != nil {
		t.Errorf("%v; the headers are kept", err)
	}
}

// TestT03_NothingIsOfferedOfAServerThatMovedUntilItWasDiscovered: what another program, or
// one on another machine, does under an approved name has been looked at by nobody.
func TestT03_NothingIsOfferedOfAServerThatMovedUntilItWasDiscovered(t *testing.T) {
	r := newRig(t)
	letIn(t, r, "laptop")
	before := newUpstream(t, tool("same", "x"), tool("other", "x"))
	r.add(t, "s", before, true)
	served := func(want ...string) {
		t.Helper()
		var got []string
		for _, name := range []string{"same", "other"} {
			if _, found := r.CurrentSet().Get("tool/s/" + name); found {
				got = append(got, name)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("nodes offer other tools: %s", diff)
		}
	}
	served("same", "other")
	s := r.update(t, &adminv1.UpdateServerRequest{Name: "s", Agent: new("laptop"), Command: []string{"npx", "other"}}).or(t).GetServer()
	if s.GetState() != adminv1.ServerState_SERVER_STATE_FAILED || s.GetDiscoveredAt() != nil || s.GetTools() != 2 {
		t.Errorf("moved to an agent that is away, it is %v", s)
	}
	served()
	// Where nodes reach it, it is judged before the change is written.
	after := newUpstream(t, tool("same", "x"), tool("other", "y"))
	report := r.update(t, &adminv1.UpdateServerRequest{Name: "s", Agent: new(""), Url: new(after.url), Private: new(true)}).or(t).GetDiscovery()
	if diff := cmp.Diff([]string{"s/other"}, report.GetChanged()); diff != "" {
		t.Error(diff)
	}
	served("same")
	if got := r.alertsOf(t); !slices.ContainsFunc(got, func(a string) bool { return strings.HasPrefix(a, "address-changed s") }) {
		t.Errorf("alerts %v", got)
	}
}

// TestAChangeOfAnAgentsServerIsRefused where it could not have been added so.
func TestAChangeOfAnAgentsServerIsRefused(t *testing.T) {
	r := newRig(t)
	letIn(t, r, "laptop")
	must(r.local.servers.AddServer(t.Context(), connect.NewRequest(stdio()))).or(t)
	gone := []string{"TOKEN", "LOG"}
	for want, request := range map[string]*adminv1.UpdateServerRequest{
		"not both":                {Url: new("http://127.0.0.1:1/mcp"), Command: []string{"npx"}},
		"join-token create":       {Agent: new("nope"), RemoveEnvironment: gone},
		"only agents start":       {Agent: new(""), RemoveEnvironment: gone},
		"private means nothing":   {Private: new(true)},
		"the agent's own file":    {Headers: []*adminv1.Header{{Name: "X", Value: "v"}}},
		"--remove-env NOPE":       {RemoveEnvironment: []string{"NOPE"}},
		"name of a program":       {Command: []string{" "}, RemoveEnvironment: gone},
		"NUL character, which no": {Directory: new("a\x00b"), RemoveEnvironment: gone},
		"belong to a command":     {Url: new("http://127.0.0.1:1/mcp"), Shared: new(true), RemoveEnvironment: gone},
	} {
		request.Name = "files"
		r.update(t, request).refused(t, connect.CodeInvalidArgument, want)
	}
}
