package admin

import (
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// update changes a server.
func (r *rig) update(t *testing.T, m *adminv1.UpdateServerRequest) result[adminv1.UpdateServerResponse] {
	t.Helper()
	return must(r.local.servers.UpdateServer(t.Context(), connect.NewRequest(m)))
}

// published is what nodes are told of a server.
func (r *rig) published(t *testing.T, name string) *snapshotv1.Server {
	t.Helper()
	item, found := r.CurrentSet().Get("server/" + name)
	if !found {
		t.Fatalf("no server %s in the snapshot", name)
	}
	return item.GetServer()
}

func TestT03_AnotherURLIsDiscoveredAtOnceAndKeepsWhatIsPinned(t *testing.T) {
	r := newRig(t)
	before := newUpstream(t, tool("same", "x"), tool("other", "x"), tool("gone", "x"))
	r.add(t, "s", before, true)
	after := newUpstream(t, tool("same", "x"), tool("other", "y"), tool("new", "x"))
	answer := r.update(t, &adminv1.UpdateServerRequest{Name: "s", Url: new(after.url)}).or(t)
	d := answer.GetDiscovery()
	if diff := cmp.Diff([]string{"s/new", "s/other", "s/gone"}, slices.Concat(d.GetAdded(), d.GetChanged(), d.GetMissing())); diff != "" {
		t.Error(diff)
	}
	if s := answer.GetServer(); s.GetUrl() != after.url || s.GetState() != adminv1.ServerState_SERVER_STATE_READY {
		t.Errorf("server %v", s)
	}
	if got := r.published(t, "s"); got.GetUrl() != after.url || got.GetProtocolVersion() != "2026-07-28" {
		t.Errorf("nodes are told %v", got)
	}
	for name, served := range map[string]bool{"same": true, "other": false, "gone": false, "new": false} {
		if _, found := r.CurrentSet().Get("tool/s/" + name); found != served {
			t.Errorf("%s in the snapshot: %t, want %t", name, found, served)
		}
	}
	if got := r.actions(t); !slices.Contains(got, "server.update s") {
		t.Errorf("actions %v", got)
	}
}

func TestAnotherURLThatDoesNotAnswerIsSavedAndForgetsWhatTheOldOneSpoke(t *testing.T) {
	r := newRig(t)
	r.add(t, "s", newUpstream(t, tool("a", "x")), true)
	gone := httptest.NewServer(nil)
	gone.Close()
	answer := r.update(t, &adminv1.UpdateServerRequest{Name: "s", Url: new(gone.URL)}).or(t)
	s := answer.GetServer()
	if s.GetState() != adminv1.ServerState_SERVER_STATE_FAILED || s.GetUrl() != gone.URL || s.GetFailingSince() == nil ||
		!strings.Contains(s.GetLastError(), "refuses connections") || answer.GetDiscovery() != nil {
		t.Errorf("answer %v", answer)
	}
	if got := r.published(t, "s"); got.GetUrl() != gone.URL || got.GetProtocolVersion() != "" {
		t.Errorf("nodes are told %v", got)
	}
	if _, served := r.CurrentSet().Get("tool/s/a"); !served {
		t.Error("what was approved is not in force any more")
	}
}

func TestT24_HeadersAreChangedSealedAndNeverReturned(t *testing.T) {
	r := newRig(t)
	u := newUpstream(t, tool("a", "x"))
	must(r.local.servers.AddServer(t.Context(), connect.NewRequest(&adminv1.AddServerRequest{
		Name: "s", Url: u.url, Private: true,
		Headers: []*adminv1.Header{{Name: "Authorization", Value: "CANARY-OLD"}, {Name: "X-Tenant", Value: "blue"}, {Name: "X-Gone", Value: "1"}},
	}))).or(t)
	answer := r.update(t, &adminv1.UpdateServerRequest{
		Name: "s", Headers: []*adminv1.Header{{Name: "authorization", Value: "CANARY-NEW"}}, RemoveHeaders: []string{"x-gone"},
	}).or(t)
	if diff := cmp.Diff([]string{"X-Tenant", "authorization"}, answer.GetServer().GetHeaderNames()); diff != "" {
		t.Error(diff)
	}
	if got := u.headers; got.Get("Authorization") != "CANARY-NEW" || got.Get("X-Tenant") != "blue" || got.Get("X-Gone") != "" {
		t.Errorf("the server was sent %v", got)
	}
	told := make(map[string]string)
	for _, h := range r.published(t, "s").GetHeaders() {
		told[h.GetName()] = h.GetValue()
	}
	if diff := cmp.Diff(map[string]string{"X-Tenant": "blue", "authorization": "CANARY-NEW"}, told); diff != "" {
		t.Error(diff)
	}
	row, err := r.Store.GetServer(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	changes := must(r.local.audit.ListChanges(t.Context(), connect.NewRequest(&adminv1.ListChangesRequest{}))).or(t)
	for where, text := range map[string]string{
		"answer": protojson.Format(answer), "row": string(row.HeadersSealed), "audit": protojson.Format(changes), "log": r.log.String(),
	} {
		if strings.Contains(text, "CANARY") {
			t.Errorf("the %s shows a header's value", where)
		}
	}
}

// Who may change an address must not learn by it what the API never returns.
func TestT24_HeadersDoNotGoAlongToAnotherHost(t *testing.T) {
	r := newRig(t)
	u, thief := newUpstream(t), newUpstream(t)
	must(r.local.servers.AddServer(t.Context(), connect.NewRequest(&adminv1.AddServerRequest{
		Name: "s", Url: u.url, Private: true, Headers: []*adminv1.Header{{Name: "Authorization", Value: "CANARY"}},
	}))).or(t)
	r.update(t, &adminv1.UpdateServerRequest{Name: "s", Url: new(thief.url)}).
		refused(t, connect.CodeInvalidArgument, "the header Authorization was given for "+u.url)
	if thief.headers != nil {
		t.Error("another host was asked all the same")
	}
	r.update(t, &adminv1.UpdateServerRequest{Name: "s", Url: new(u.url + "/other/path")}).or(t)
	if got := u.headers.Get("Authorization"); got != "CANARY" {
		t.Errorf("at another path of the same host the server was sent %q", got)
	}
	r.update(t, &adminv1.UpdateServerRequest{Name: "s", Url: new(thief.url), RemoveHeaders: []string{"Authorization"}}).or(t)
	if thief.headers == nil || thief.headers.Get("Authorization") != "" {
		t.Errorf("without the header, another host was sent %v", thief.headers)
	}
}

func TestUpdateServerRefuses(t *testing.T) {
	r := newRig(t)
	u := newUpstream(t, tool("a", "x"))
	must(r.local.servers.AddServer(t.Context(), connect.NewRequest(&adminv1.AddServerRequest{
		Name: "s", Url: u.url, Private: true, Headers: []*adminv1.Header{{Name: "X-A", Value: "1"}},
	}))).or(t)
	header := []*adminv1.Header{{Name: "X-A", Value: "CANARY"}}
	for _, c := range []struct {
		name    string
		request *adminv1.UpdateServerRequest
		code    connect.Code
		text    string
	}{
		{"nothing", &adminv1.UpdateServerRequest{Name: "s"}, connect.CodeInvalidArgument, "say what to change"},
		{"no such server", &adminv1.UpdateServerRequest{Name: "t", MaxInFlight: new(int32(1))}, connect.CodeNotFound, `no server "t"`},
		{"T-19 the metadata address", &adminv1.UpdateServerRequest{Name: "s", Url: new("http://169.254.169.254/"), Private: new(false)}, connect.CodeInvalidArgument, "--private"},
		{"not private any more", &adminv1.UpdateServerRequest{Name: "s", Private: new(false)}, connect.CodeInvalidArgument, "--private"},
		{"another scheme", &adminv1.UpdateServerRequest{Name: "s", Url: new("ftp://x")}, connect.CodeInvalidArgument, "https://"},
		{"a header that is not there", &adminv1.UpdateServerRequest{Name: "s", RemoveHeaders: []string{"X-B"}}, connect.CodeInvalidArgument, "it is sent X-A"},
		{"a header both ways", &adminv1.UpdateServerRequest{Name: "s", Headers: header, RemoveHeaders: []string{"x-a"}}, connect.CodeInvalidArgument, "both given and removed"},
		{"a header of the protocol", &adminv1.UpdateServerRequest{Name: "s", Headers: []*adminv1.Header{{Name: "Mcp-Name", Value: "x"}}}, connect.CodeInvalidArgument, "belongs to the protocol"},
	} {
		t.Run(c.name, func(t *testing.T) {
			refused := r.update(t, c.request)
			refused.refused(t, c.code, c.text)
			if strings.Contains(refused.err.Error(), "CANARY") {
				t.Error("the error shows the value")
			}
		})
	}
	if got := r.published(t, "s"); got.GetUrl() != u.url || !got.GetPrivate() || len(got.GetHeaders()) != 1 {
		t.Errorf("a refused change was made: %v", got)
	}
}
