package admin

import (
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func TestAddServerLeavesItsToolsPending(t *testing.T) {
	r := newRig(t)
	u := newUpstream(t, tool("list_repos", "Lists."), tool("delete_repo", "Deletes."), `{"name":"no schema"}`)
	added := r.add(t, "github", u, false)
	if s := added.GetServer(); s.GetState() != adminv1.ServerState_SERVER_STATE_READY || s.GetProtocolVersion() != "2026-07-28" ||
		s.GetTools() != 2 || s.GetToolsPending() != 2 || s.GetLastError() != "" || s.GetDiscoveredAt() == nil {
		t.Errorf("server %v", s)
	}
	if diff := cmp.Diff([]string{"github/list_repos", "github/delete_repo"}, added.GetDiscovery().GetAdded()); diff != "" {
		t.Error(diff)
	}
	if refused := added.GetDiscovery().GetRefused(); len(refused) != 1 || !strings.HasPrefix(refused[0], "github/no schema: its name") {
		t.Errorf("refused %v", refused)
	}
	got := added.GetTools()[1]
	if got.GetExposedName() != "github__delete_repo" || got.GetState() != adminv1.ToolState_TOOL_STATE_PENDING ||
		got.GetRisk() != "destructive" || got.GetDescription() != "Deletes." || got.GetApprovedHash() != "" || len(got.GetDefinitionHash()) != 64 {
		t.Errorf("tool %v", got)
	}
	if set := r.CurrentSet(); set.Len() == 0 {
		t.Error("the snapshot is empty")
	} else if _, served := set.Get("tool/github/list_repos"); served {
		t.Error("a pending tool is in the snapshot")
	}
}

func TestAddServerWithApproveApprovesWhatIsFoundNow(t *testing.T) {
	r := newRig(t)
	u := newUpstream(t, tool("a", "x"), tool("b", "x"))
	added := r.add(t, "mine", u, true)
	for _, got := range added.GetTools() {
		if got.GetState() != adminv1.ToolState_TOOL_STATE_APPROVED || got.GetDecidedBy() != "@local" || got.GetApprovedHash() != got.GetDefinitionHash() {
			t.Errorf("tool %v", got)
		}
	}
	if _, served := r.CurrentSet().Get("tool/mine/a"); !served {
		t.Error("an approved tool is not in the snapshot")
	}
	r.add(t, "bare", newUpstream(t), true)
}

// Who may add servers and may not approve what they offer must not do so by adding
// one: the two may be two people's (P-16).
func TestP16_AddServerApprovesOnlyForWhoMayApprove(t *testing.T) {
	r := newRig(t)
	for role, permissions := range map[string][]string{"adder": {"servers:write", "read"}, "both": {"servers:write", "read", "tools:approve"}} {
		must(r.local.roles.CreateRole(t.Context(), connect.NewRequest(&adminv1.CreateRoleRequest{Name: role, Permissions: permissions}))).or(t)
	}
	u := newUpstream(t, tool("a", "x"))
	request := func(approve bool) *connect.Request[adminv1.AddServerRequest] {
		return connect.NewRequest(&adminv1.AddServerRequest{Name: "mine", Url: u.url, Private: true, Approve: approve})
	}
	ada := r.person(t, "ada", "adder")
	must(ada.servers.AddServer(t.Context(), request(true))).refused(t, connect.CodePermissionDenied, "tools:approve")
	added := must(ada.servers.AddServer(t.Context(), request(false))).or(t)
	if state := added.GetTools()[0].GetState(); state != adminv1.ToolState_TOOL_STATE_PENDING {
		t.Errorf("state %v", state)
	}
	must(r.local.servers.RemoveServer(t.Context(), connect.NewRequest(&adminv1.RemoveServerRequest{Name: "mine"}))).or(t)
	must(r.person(t, "bo", "both").servers.AddServer(t.Context(), request(true))).or(t)
}

func TestAddServerThatIsDownIsSavedWithTheReason(t *testing.T) {
	r := newRig(t)
	u := newUpstream(t, tool("a", "x"))
	u.stop(true)
	added := r.add(t, "down", u, true)
	s := added.GetServer()
	if s.GetState() != adminv1.ServerState_SERVER_STATE_FAILED || !strings.Contains(s.GetLastError(), "HTTP 503") || s.GetDiscoveredAt() != nil {
		t.Fatalf("server %v", s)
	}
	if strings.Contains(s.GetLastError(), "CANARY") {
		t.Error("the reason shows what the server sent")
	}
	must(r.local.servers.RefreshServer(t.Context(), connect.NewRequest(&adminv1.RefreshServerRequest{Name: "down"}))).
		refused(t, connect.CodeUnavailable, "HTTP 503")
	u.stop(false)
	refreshed := must(r.local.servers.RefreshServer(t.Context(), connect.NewRequest(&adminv1.RefreshServerRequest{Name: "down"}))).or(t)
	if s := refreshed.GetServer(); s.GetState() != adminv1.ServerState_SERVER_STATE_READY || s.GetToolsPending() != 1 || s.GetLastError() != "" {
		t.Errorf("server %v", s)
	}
}

func TestAddServerRefuses(t *testing.T) {
	r := newRig(t)
	u := newUpstream(t, tool("a", "x"))
	r.add(t, "taken", u, false)
	header := func(name, value string) []*adminv1.Header { return []*adminv1.Header{{Name: name, Value: value}} }
	for _, c := range []struct {
		name    string
		request *adminv1.AddServerRequest
		code    connect.Code
		text    string
	}{
		{"T-19 a loopback address", &adminv1.AddServerRequest{Name: "x", Url: u.url}, connect.CodeInvalidArgument, "--private"},
		{"T-19 the metadata address", &adminv1.AddServerRequest{Name: "x", Url: "https://169.254.169.254/"}, connect.CodeInvalidArgument, "--private"},
		{"a name that is taken", &adminv1.AddServerRequest{Name: "taken", Url: u.url, Private: true}, connect.CodeAlreadyExists, "remove that one first"},
		{"a bad name", &adminv1.AddServerRequest{Name: "A_b", Url: u.url, Private: true}, connect.CodeInvalidArgument, "name: a server's name is"},
		{"no URL", &adminv1.AddServerRequest{Name: "x"}, connect.CodeInvalidArgument, "URL"},
		{"another scheme", &adminv1.AddServerRequest{Name: "x", Url: "file:///etc/passwd", Private: true}, connect.CodeInvalidArgument, "https://"},
		{"credentials in the URL", &adminv1.AddServerRequest{Name: "x", Url: "http://u:p@127.0.0.1", Private: true}, connect.CodeInvalidArgument, "--header"},
		{"a header of the protocol", &adminv1.AddServerRequest{Name: "x", Url: u.url, Private: true, Headers: header("mcp-session-id", "1")}, connect.CodeInvalidArgument, "belongs to the protocol"},
		{"a header of the transport", &adminv1.AddServerRequest{Name: "x", Url: u.url, Private: true, Headers: header("HOST", "a")}, connect.CodeInvalidArgument, "belongs to the protocol"},
		{"a header twice", &adminv1.AddServerRequest{Name: "x", Url: u.url, Private: true, Headers: append(header("X-A", "1"), header("x-a", "2")...)}, connect.CodeInvalidArgument, "twice"},
		{"a line break in a header", &adminv1.AddServerRequest{Name: "x", Url: u.url, Private: true, Headers: header("X-A", "CANARY\r\nX-B: 1")}, connect.CodeInvalidArgument, "headers[0].value"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := must(r.local.servers.AddServer(t.Context(), connect.NewRequest(c.request)))
			err.refused(t, c.code, c.text)
			if strings.Contains(err.err.Error(), "CANARY") {
				t.Error("the error shows the value")
			}
		})
	}
	if all := must(r.local.servers.ListServers(t.Context(), connect.NewRequest(&adminv1.ListServersRequest{}))).or(t); len(all.GetServers()) != 1 {
		t.Errorf("servers %v", all.GetServers())
	}
}

func TestT24_SecretsOfAServerAreSealedAndNeverReturned(t *testing.T) {
	r := newRig(t)
	u := newUpstream(t, tool("a", "x"))
	added := must(r.local.servers.AddServer(t.Context(), connect.NewRequest(&adminv1.AddServerRequest{
		Name: "s", Url: u.url + "/mcp?key=CANARY-QUERY", Private: true,
		Headers: []*adminv1.Header{{Name: "Authorization", Value: "Bearer CANARY-HEADER"}},
	}))).or(t)
	if got := u.headers.Get("Authorization"); got != "Bearer CANARY-HEADER" {
		t.Errorf("the server got %q", got)
	}
	must(r.local.servers.RefreshServer(t.Context(), connect.NewRequest(&adminv1.RefreshServerRequest{Name: "s"}))).or(t)
	if got := u.headers.Get("Authorization"); got != "Bearer CANARY-HEADER" {
		t.Errorf("at a refresh, the server got %q", got)
	}
	shown := must(r.local.servers.GetServer(t.Context(), connect.NewRequest(&adminv1.GetServerRequest{Name: "s"}))).or(t)
	if diff := cmp.Diff([]string{"Authorization"}, shown.GetServer().GetHeaderNames()); diff != "" {
		t.Error(diff)
	}
	row, err := r.Store.GetServer(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	changes := must(r.local.audit.ListChanges(t.Context(), connect.NewRequest(&adminv1.ListChangesRequest{}))).or(t)
	for where, text := range map[string]string{
		"answer": protojson.Format(added) + protojson.Format(shown), "row": string(row.HeadersSealed),
		"audit": protojson.Format(changes), "log": r.log.String(),
	} {
		if strings.Contains(text, "CANARY-HEADER") {
			t.Errorf("the %s shows the header's value", where)
		}
		if where != "answer" && strings.Contains(text, "CANARY-QUERY") {
			t.Errorf("the %s shows the URL's query", where)
		}
	}
}

func TestT03_RefreshFindsWhatIsNewChangedAndGone(t *testing.T) {
	r := newRig(t)
	u := newUpstream(t, tool("same", "x"), tool("other", "x"), tool("gone", "x"))
	r.add(t, "s", u, true)
	u.offer(tool("other", "y"), tool("same", "x"), tool("new", "x"))
	report := must(r.local.servers.RefreshServer(t.Context(), connect.NewRequest(&adminv1.RefreshServerRequest{Name: "s"}))).or(t)
	want := []string{"s/new", "s/other", "s/gone", "1"}
	d := report.GetDiscovery()
	if got := slices.Concat(d.GetAdded(), d.GetChanged(), d.GetMissing(), []string{string(rune('0' + d.GetUnchanged()))}); !slices.Equal(got, want) {
		t.Errorf("report %v, want %v", got, want)
	}
	set := r.CurrentSet()
	for name, served := range map[string]bool{"same": true, "other": false, "gone": false, "new": false} {
		if _, found := set.Get("tool/s/" + name); found != served {
			t.Errorf("%s in the snapshot: %t, want %t", name, found, served)
		}
	}
	shown := must(r.local.tools.GetTool(t.Context(), connect.NewRequest(&adminv1.GetToolRequest{Name: "s/other"}))).or(t).GetTool()
	if shown.GetState() != adminv1.ToolState_TOOL_STATE_CHANGED || shown.GetDefinition() != tool("other", "y") || shown.GetApprovedDefinition() != tool("other", "x") {
		t.Errorf("tool %v", shown)
	}
	// The approved definition comes back: a person looks at it all the same.
	u.offer(tool("other", "x"), tool("same", "x"), tool("gone", "x"))
	must(r.local.servers.RefreshServer(t.Context(), connect.NewRequest(&adminv1.RefreshServerRequest{Name: "s"}))).or(t)
	set = r.CurrentSet()
	for name, served := range map[string]bool{"same": true, "other": false, "gone": true} {
		if _, found := set.Get("tool/s/" + name); found != served {
			t.Errorf("later, %s in the snapshot: %t, want %t", name, found, served)
		}
	}
}

// A discovery that fails takes nothing away.
func TestFailedRefreshKeepsWhatWasKnown(t *testing.T) {
	r := newRig(t)
	u := newUpstream(t, tool("a", "x"))
	r.add(t, "s", u, true)
	u.offer(tool("b", "x"), `{`)
	must(r.local.servers.RefreshServer(t.Context(), connect.NewRequest(&adminv1.RefreshServerRequest{Name: "s"}))).
		refused(t, connect.CodeFailedPrecondition, "not MCP")
	shown := must(r.local.servers.GetServer(t.Context(), connect.NewRequest(&adminv1.GetServerRequest{Name: "s"}))).or(t)
	if s := shown.GetServer(); s.GetState() != adminv1.ServerState_SERVER_STATE_FAILED || s.GetTools() != 1 || s.GetDiscoveredAt() == nil {
		t.Errorf("server %v", s)
	}
	if _, served := r.CurrentSet().Get("tool/s/a"); !served {
		t.Error("the approved tool is gone")
	}
}

func TestT05_NamesAlikeAcrossServersAreRefused(t *testing.T) {
	r := newRig(t)
	r.add(t, "a", newUpstream(t, tool("_x", "first")), true)
	second := r.add(t, "a-", newUpstream(t, tool("x", "shadows"), tool("y", "fine")), true)
	if refused := second.GetDiscovery().GetRefused(); len(refused) != 1 || !strings.Contains(refused[0], "another server's tool") {
		t.Errorf("refused %v", refused)
	}
	set := r.CurrentSet()
	if _, first := set.Get("tool/a/_x"); !first {
		t.Error("the first is not served any more")
	}
	if _, shadow := set.Get("tool/a-/x"); shadow {
		t.Error("the second is served")
	}
}

func TestRemoveServerWorksWithToolsAndVerdicts(t *testing.T) {
	r := newRig(t)
	u := newUpstream(t, tool("a", "x"))
	r.add(t, "s", u, true)
	must(r.local.servers.RemoveServer(t.Context(), connect.NewRequest(&adminv1.RemoveServerRequest{Name: "s"}))).or(t)
	must(r.local.servers.RemoveServer(t.Context(), connect.NewRequest(&adminv1.RemoveServerRequest{Name: "s"}))).
		refused(t, connect.CodeNotFound, `no server "s"`)
	must(r.local.servers.GetServer(t.Context(), connect.NewRequest(&adminv1.GetServerRequest{Name: "s"}))).
		refused(t, connect.CodeNotFound, `no server "s"`)
	must(r.local.servers.RefreshServer(t.Context(), connect.NewRequest(&adminv1.RefreshServerRequest{Name: "s"}))).
		refused(t, connect.CodeNotFound, `no server "s"`)
	if added := r.add(t, "s", u, false); added.GetTools()[0].GetState() != adminv1.ToolState_TOOL_STATE_PENDING {
		t.Error("an approval outlived the server")
	}
	if got := r.actions(t); !slices.Contains(got, "server.remove s") || !slices.Contains(got, "tool.approved s/a") || !slices.Contains(got, "server.add s") {
		t.Errorf("actions %v", got)
	}
}
