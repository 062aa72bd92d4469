package admin

import (
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (r *rig) approve(t *testing.T, m *adminv1.ApproveToolsRequest) result[adminv1.ApproveToolsResponse] {
	t.Helper()
	return must(r.local.tools.ApproveTools(t.Context(), connect.NewRequest(m)))
}

// served returns the tools in the snapshot.
func (r *rig) served() (names []string) {
	for key := range r.CurrentSet().All() {
		if name, found := strings.CutPrefix(key, "tool/"); found {
			names = append(names, name)
		}
	}
	return names
}

func TestApproveSelects(t *testing.T) {
	for _, c := range []struct {
		name    string
		request *adminv1.ApproveToolsRequest
		served  []string
	}{
		{"a name", &adminv1.ApproveToolsRequest{Names: []string{"s/get_a"}}, []string{"s/get_a"}},
		{"a rejected one by name", &adminv1.ApproveToolsRequest{Names: []string{"s/rejected"}}, []string{"s/rejected"}},
		{"a glob, without what was rejected", &adminv1.ApproveToolsRequest{Names: []string{"s/*"}}, []string{"s/get_a", "s/get_b"}},
		{"globs and names", &adminv1.ApproveToolsRequest{Names: []string{"*/get_a", "t/x"}}, []string{"s/get_a", "t/x"}},
		{"all", &adminv1.ApproveToolsRequest{All: true}, []string{"s/get_a", "s/get_b", "t/x"}},
		{"all of a server", &adminv1.ApproveToolsRequest{All: true, Server: "t"}, []string{"t/x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.add(t, "s", newUpstream(t, tool("get_a", "x"), tool("get_b", "x"), tool("rejected", "x")), false)
			r.add(t, "t", newUpstream(t, tool("x", "x")), false)
			must(r.local.tools.RejectTools(t.Context(), connect.NewRequest(&adminv1.RejectToolsRequest{Names: []string{"s/rejected"}, Reason: "no"}))).or(t)
			r.approve(t, c.request).or(t)
			if diff := cmp.Diff(c.served, r.served()); diff != "" {
				t.Error(diff)
			}
			// Again: nothing to do is no error.
			r.approve(t, c.request).or(t)
		})
	}
}

func TestApproveRefuses(t *testing.T) {
	r := newRig(t)
	u := newUpstream(t, tool("a", "x"), tool("b", "x"))
	added := r.add(t, "s", u, false)
	hash := added.GetTools()[0].GetDefinitionHash()
	u.offer(tool("a", "y"))
	must(r.local.servers.RefreshServer(t.Context(), connect.NewRequest(&adminv1.RefreshServerRequest{Name: "s"}))).or(t)
	for _, c := range []struct {
		name    string
		request *adminv1.ApproveToolsRequest
		code    connect.Code
		text    string
	}{
		{"nothing", &adminv1.ApproveToolsRequest{}, connect.CodeInvalidArgument, "name the tools"},
		{"names and all", &adminv1.ApproveToolsRequest{Names: []string{"s/a"}, All: true}, connect.CodeInvalidArgument, "not both"},
		{"names and a server", &adminv1.ApproveToolsRequest{Names: []string{"s/a"}, Server: "s"}, connect.CodeInvalidArgument, "narrows all"},
		{"no slash", &adminv1.ApproveToolsRequest{Names: []string{"a"}}, connect.CodeInvalidArgument, "server/tool"},
		{"a bad glob", &adminv1.ApproveToolsRequest{Names: []string{"s/*[ab]"}}, connect.CodeInvalidArgument, "only * is special"},
		{"an unknown tool", &adminv1.ApproveToolsRequest{Names: []string{"s/c"}}, connect.CodeNotFound, `no tool "s/c"`},
		{"one unknown of two", &adminv1.ApproveToolsRequest{Names: []string{"s/a", "s/c"}}, connect.CodeNotFound, `no tool "s/c"`},
		{"a glob without match", &adminv1.ApproveToolsRequest{Names: []string{"x/*"}}, connect.CodeNotFound, `no tool matches "x/*"`},
		{"an unknown server", &adminv1.ApproveToolsRequest{All: true, Server: "x"}, connect.CodeNotFound, `no server "x"`},
		{"a missing tool", &adminv1.ApproveToolsRequest{Names: []string{"s/b"}}, connect.CodeFailedPrecondition, "does not offer s/b"},
		{"another definition than was seen", &adminv1.ApproveToolsRequest{Names: []string{"s/a"}, DefinitionHash: hash}, connect.CodeAborted, "look at it again"},
		{"a hash for many", &adminv1.ApproveToolsRequest{Names: []string{"s/*"}, DefinitionHash: hash}, connect.CodeInvalidArgument, "exactly one name"},
		{"a hash that is none", &adminv1.ApproveToolsRequest{Names: []string{"s/a"}, DefinitionHash: "xyz"}, connect.CodeInvalidArgument, "64 hexadecimal"},
	} {
		t.Run(c.name, func(t *testing.T) { r.approve(t, c.request).refused(t, c.code, c.text) })
	}
	if got := r.served(); len(got) != 0 {
		t.Errorf("served %v", got)
	}
	shown := must(r.local.tools.GetTool(t.Context(), connect.NewRequest(&adminv1.GetToolRequest{Name: "s/a"}))).or(t).GetTool()
	r.approve(t, &adminv1.ApproveToolsRequest{Names: []string{"s/a"}, DefinitionHash: shown.GetDefinitionHash(), Reason: "read it"}).or(t)
	shown = must(r.local.tools.GetTool(t.Context(), connect.NewRequest(&adminv1.GetToolRequest{Name: "s/a"}))).or(t).GetTool()
	if shown.GetDecidedReason() != "read it" || shown.GetDecidedBy() != "@local" || shown.GetApprovedDefinition() != "" {
		t.Errorf("tool %v", shown)
	}
}

func TestToolSaysWhyItIsAsRiskyAsItIs(t *testing.T) {
	r := newRig(t)
	r.add(t, "s", newUpstream(t, tool("delete_a", "Deletes an a.")), true)
	shown := must(r.local.tools.GetTool(t.Context(), connect.NewRequest(&adminv1.GetToolRequest{Name: "s/delete_a"}))).or(t).GetTool()
	reasons := shown.GetRiskReasons()
	want := []*adminv1.RiskReason{
		{Risk: "destructive", What: "delete", Where: "name"},
		{Risk: "destructive", What: "delete", Where: "description"},
	}
	if diff := cmp.Diff(want, reasons, protocmp.Transform()); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	if shown.GetRisk() != reasons[0].GetRisk() {
		t.Errorf("it is %s, because of %v", shown.GetRisk(), reasons)
	}
}

func TestChangedToolNeedsApprovalAgain(t *testing.T) {
	r := newRig(t)
	u := newUpstream(t, tool("a", "x"))
	r.add(t, "s", u, true)
	u.offer(tool("a", "y"))
	must(r.local.servers.RefreshServer(t.Context(), connect.NewRequest(&adminv1.RefreshServerRequest{Name: "s"}))).or(t)
	changed := must(r.local.tools.ListTools(t.Context(), connect.NewRequest(&adminv1.ListToolsRequest{State: adminv1.ToolState_TOOL_STATE_CHANGED}))).or(t)
	if len(changed.GetTools()) != 1 {
		t.Fatalf("changed %v", changed.GetTools())
	}
	r.approve(t, &adminv1.ApproveToolsRequest{Names: []string{"s/a"}}).or(t)
	item, served := r.CurrentSet().Get("tool/s/a")
	if !served || string(item.GetTool().GetDefinition()) != tool("a", "y") {
		t.Errorf("served %t: %s", served, item.GetTool().GetDefinition())
	}
}

// Regression of a predecessor's defect 4: to sync again enabled what an
// administrator had disabled.
func TestPredecessor4_DisabledSurvivesRediscovery(t *testing.T) {
	r := newRig(t)
	u := newUpstream(t, tool("a", "x"), tool("b", "x"))
	r.add(t, "s", u, true)
	off := must(r.local.tools.DisableTools(t.Context(), connect.NewRequest(&adminv1.DisableToolsRequest{Names: []string{"s/a"}, Reason: "noisy"}))).or(t)
	if got := off.GetTools(); len(got) != 1 || !got[0].GetDisabled() || got[0].GetState() != adminv1.ToolState_TOOL_STATE_APPROVED {
		t.Errorf("tools %v", got)
	}
	for _, offered := range [][]string{{tool("a", "x")}, {}, {tool("a", "y")}, {tool("a", "x"), tool("b", "x")}} {
		u.offer(offered...)
		must(r.local.servers.RefreshServer(t.Context(), connect.NewRequest(&adminv1.RefreshServerRequest{Name: "s"}))).or(t)
		if slices.Contains(r.served(), "s/a") {
			t.Fatal("a disabled tool is served")
		}
	}
	r.approve(t, &adminv1.ApproveToolsRequest{Names: []string{"s/*"}}).or(t)
	if slices.Contains(r.served(), "s/a") {
		t.Fatal("approval enabled a disabled tool")
	}
	must(r.local.tools.EnableTools(t.Context(), connect.NewRequest(&adminv1.EnableToolsRequest{Names: []string{"s/a"}}))).or(t)
	if !slices.Contains(r.served(), "s/a") {
		t.Fatal("an enabled, approved tool is not served")
	}
}

func TestRejectedToolComesBackWhenItIsAnotherOne(t *testing.T) {
	r := newRig(t)
	u := newUpstream(t, tool("a", "x"))
	r.add(t, "s", u, true)
	must(r.local.tools.RejectTools(t.Context(), connect.NewRequest(&adminv1.RejectToolsRequest{Names: []string{"s/a"}}))).or(t)
	refresh := func() adminv1.ToolState {
		must(r.local.servers.RefreshServer(t.Context(), connect.NewRequest(&adminv1.RefreshServerRequest{Name: "s"}))).or(t)
		return must(r.local.tools.GetTool(t.Context(), connect.NewRequest(&adminv1.GetToolRequest{Name: "s/a"}))).or(t).GetTool().GetState()
	}
	if got := refresh(); got != adminv1.ToolState_TOOL_STATE_REJECTED || len(r.served()) != 0 {
		t.Fatalf("state %v", got)
	}
	u.offer(tool("a", "y"))
	if got := refresh(); got != adminv1.ToolState_TOOL_STATE_PENDING || len(r.served()) != 0 {
		t.Fatalf("state %v", got)
	}
}

func TestListAndGetToolsRefuse(t *testing.T) {
	r := newRig(t)
	must(r.local.tools.ListTools(t.Context(), connect.NewRequest(&adminv1.ListToolsRequest{Server: "x"}))).
		refused(t, connect.CodeNotFound, `no server "x"`)
	must(r.local.tools.ListTools(t.Context(), connect.NewRequest(&adminv1.ListToolsRequest{State: 99}))).
		refused(t, connect.CodeInvalidArgument, "state")
	must(r.local.tools.GetTool(t.Context(), connect.NewRequest(&adminv1.GetToolRequest{Name: "s/x"}))).
		refused(t, connect.CodeNotFound, `no tool "s/x"`)
	must(r.local.tools.GetTool(t.Context(), connect.NewRequest(&adminv1.GetToolRequest{Name: "sx/"}))).
		refused(t, connect.CodeInvalidArgument, "server/tool")
	must(r.local.tools.RejectTools(t.Context(), connect.NewRequest(&adminv1.RejectToolsRequest{}))).
		refused(t, connect.CodeInvalidArgument, "names:")
}
