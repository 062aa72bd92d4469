package admin

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/snapshot"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// insertCall writes a call into the ledger, as its intake does. Call n was at n
// seconds past noon.
func (r *rig) insertCall(t *testing.T, n int, change func(*db.InsertAuditCallParams)) {
	t.Helper()
	call := db.InsertAuditCallParams{
		ID: fmt.Appendf(nil, "%016d", n), At: noon.Add(time.Duration(n) * time.Second), Node: "n1", Epoch: 1,
		UserName: "ana", Application: "cursor", KeyID: "k", ClientName: "c", ClientVersion: "1", RemoteAddress: "127.0.0.1",
		ProtocolVersion: "2026-07-28", Method: "tools/call", Server: "s", Tool: "a", Risk: "read",
		DefinitionHash: bytes.Repeat([]byte{1}, 32), Decision: "allow", Rule: "role:viewer", Reason: "x", Revision: 3,
		Outcome: new("ok"), LatencyUs: new(int64(1500)), ServerLatencyUs: new(int64(1000)), CompletedAt: new(noon),
		Roles: []string{}, Groups: []string{},
	}
	if change != nil {
		change(&call)
	}
	err := r.Store.InTx(t.Context(), func(tx *store.Tx) error {
		current, err := tx.CurrentTransaction(t.Context())
		if err != nil {
			return err
		}
		if call.Outcome != nil {
			call.Settled = &current.ID
		}
		_, err = tx.InsertAuditCall(t.Context(), call)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// numbers are the calls by what insertCall made their ids of.
func numbers(calls []*adminv1.Call) (out []int) {
	for _, c := range calls {
		out = append(out, number(c))
	}
	return out
}

func number(c *adminv1.Call) int {
	return int(c.GetAt().AsTime().Sub(noon) / time.Second)
}

func TestListCallsPagesNewestFirst(t *testing.T) {
	r := newRig(t)
	for n := range 7 {
		r.insertCall(t, n, nil)
	}
	var got []int
	token := ""
	for range 3 {
		page := must(r.local.audit.ListCalls(t.Context(), connect.NewRequest(&adminv1.ListCallsRequest{PageSize: 3, PageToken: token}))).or(t)
		got = append(got, numbers(page.GetCalls())...)
		token = page.GetNextPageToken()
	}
	if diff := cmp.Diff([]int{6, 5, 4, 3, 2, 1, 0}, got); diff != "" || token != "" {
		t.Errorf("token %q: %s", token, diff)
	}
	for _, bad := range []string{"x", "AAAA", "!"} {
		must(r.local.audit.ListCalls(t.Context(), connect.NewRequest(&adminv1.ListCallsRequest{PageToken: bad}))).
			refused(t, connect.CodeInvalidArgument, "page token")
	}
	must(r.local.audit.ListCalls(t.Context(), connect.NewRequest(&adminv1.ListCallsRequest{PageSize: 1001}))).
		refused(t, connect.CodeInvalidArgument, "page_size:")
	must(r.local.audit.ListCalls(t.Context(), connect.NewRequest(&adminv1.ListCallsRequest{Filter: &adminv1.CallFilter{Decision: "maybe"}}))).
		refused(t, connect.CodeInvalidArgument, "filter.decision:")
}

func TestListCallsTellsWhatTheCallerHad(t *testing.T) {
	r := newRig(t)
	r.insertCall(t, 0, func(c *db.InsertAuditCallParams) {
		c.Roles, c.Groups, c.Issuer, c.TokenID = []string{"viewer"}, []string{"eng", "ops"}, "corp", "jti-1"
	})
	got := must(r.local.audit.ListCalls(t.Context(), connect.NewRequest(&adminv1.ListCallsRequest{}))).or(t).GetCalls()[0]
	if diff := cmp.Diff([]string{"viewer", "eng", "ops", "corp", "jti-1"},
		slices.Concat(got.GetRoles(), got.GetGroups(), []string{got.GetIssuer(), got.GetTokenId()})); diff != "" {
		t.Error(diff)
	}
}

func TestListCallsFilters(t *testing.T) {
	r := newRig(t)
	r.insertCall(t, 0, nil)
	r.insertCall(t, 1, func(c *db.InsertAuditCallParams) { c.UserName = "ben" })
	r.insertCall(t, 2, func(c *db.InsertAuditCallParams) { c.Application = "vscode" })
	r.insertCall(t, 3, func(c *db.InsertAuditCallParams) { c.Server = "t" })
	r.insertCall(t, 4, func(c *db.InsertAuditCallParams) { c.Tool = "b" })
	r.insertCall(t, 5, func(c *db.InsertAuditCallParams) { c.Decision, c.Outcome = "deny", new("refused") })
	r.insertCall(t, 6, func(c *db.InsertAuditCallParams) { c.Outcome, c.LatencyUs, c.CompletedAt = nil, nil, nil })
	for _, c := range []struct {
		name   string
		filter *adminv1.CallFilter
		want   []int
	}{
		{"user", &adminv1.CallFilter{User: "ben"}, []int{1}},
		{"application", &adminv1.CallFilter{Application: "vscode"}, []int{2}},
		{"server", &adminv1.CallFilter{Tool: "t"}, []int{3}},
		{"tool", &adminv1.CallFilter{Tool: "s/b"}, []int{4}},
		{"decision", &adminv1.CallFilter{Decision: "deny"}, []int{5}},
		{"running", &adminv1.CallFilter{Outcome: "running"}, []int{6}},
		{"time", &adminv1.CallFilter{Since: timestamppb.New(noon.Add(2 * time.Second)), Until: timestamppb.New(noon.Add(4 * time.Second))}, []int{3, 2}},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := must(r.local.audit.ListCalls(t.Context(), connect.NewRequest(&adminv1.ListCallsRequest{Filter: c.filter}))).or(t)
			if diff := cmp.Diff(c.want, numbers(page.GetCalls())); diff != "" {
				t.Error(diff)
			}
		})
	}
	first := must(r.local.audit.ListCalls(t.Context(), connect.NewRequest(&adminv1.ListCallsRequest{Filter: &adminv1.CallFilter{Until: timestamppb.New(noon.Add(time.Second))}}))).or(t).GetCalls()[0]
	if first.GetOutcome() != "ok" || first.GetLatency().AsDuration() != 1500*time.Microsecond || first.GetServerLatency().AsDuration() != time.Millisecond ||
		len(first.GetDefinitionHash()) != 64 || len(first.GetId()) != 32 || first.GetRule() != "role:viewer" || first.GetRevision() != 3 {
		t.Errorf("call %v", first)
	}
}

// next returns the next call of a stream, past heartbeats.
func next(t *testing.T, stream *connect.ServerStreamForClient[adminv1.TailCallsResponse]) *adminv1.Call {
	t.Helper()
	for stream.Receive() {
		if c := stream.Msg().GetCall(); c != nil {
			return c
		}
	}
	t.Fatalf("the stream ended: %v", stream.Err())
	return nil
}

// passed waits until no transaction of the whole cluster is older than those
// that the test committed: tests run beside this one.
func (r *rig) passed(t *testing.T) {
	t.Helper()
	var last int64
	err := r.Store.Pool().QueryRow(t.Context(), "SELECT max(settled) FROM audit_call").Scan(&last)
	if err != nil {
		t.Fatal(err)
	}
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		horizon, err := r.Store.AuditHorizon(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if horizon > last {
			return
		}
		<-poll.C
	}
}

func TestTailCallsSendsBacklogThenEachCallOnceWhenItIsComplete(t *testing.T) {
	r := newRig(t)
	for n := range 5 {
		r.insertCall(t, n, nil)
	}
	r.passed(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stream, err := r.local.audit.TailCalls(ctx, connect.NewRequest(&adminv1.TailCallsRequest{Backlog: 2}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	got := []int{number(next(t, stream)), number(next(t, stream))}
	r.insertCall(t, 10, func(c *db.InsertAuditCallParams) { c.Outcome, c.LatencyUs, c.CompletedAt = nil, nil, nil })
	r.insertCall(t, 11, nil)
	got = append(got, number(next(t, stream)))
	_, err = r.Store.Pool().Exec(ctx, `UPDATE audit_call SET outcome = 'tool_error', completed_at = now(),
		settled = pg_current_xact_id()::text::bigint WHERE outcome IS NULL`)
	if err != nil {
		t.Fatal(err)
	}
	late := next(t, stream)
	got = append(got, number(late))
	if diff := cmp.Diff([]int{3, 4, 11, 10}, got); diff != "" || late.GetOutcome() != "tool_error" {
		t.Errorf("outcome %s: %s", late.GetOutcome(), diff)
	}
}

func TestTailCallsFilters(t *testing.T) {
	r := newRig(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	stream, err := r.local.audit.TailCalls(ctx, connect.NewRequest(&adminv1.TailCallsRequest{
		Filter: &adminv1.CallFilter{Tool: "s/b", Since: timestamppb.New(noon.Add(3 * time.Second))},
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if !stream.Receive() { // it stands
		t.Fatal(stream.Err())
	}
	b := func(c *db.InsertAuditCallParams) { c.Tool = "b" }
	r.insertCall(t, 1, b)
	r.insertCall(t, 4, nil)
	r.insertCall(t, 5, b)
	if got := number(next(t, stream)); got != 5 {
		t.Errorf("call %d, want 5", got)
	}
}

func TestTailsAreBounded(t *testing.T) {
	r := newRig(t)
	for range maxTails {
		r.tails <- struct{}{}
	}
	stream, err := r.local.audit.TailCalls(t.Context(), connect.NewRequest(&adminv1.TailCallsRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if stream.Receive() {
		t.Fatal("one more than the limit")
	}
	refuse(t, stream.Err(), connect.CodeResourceExhausted, "follow the ledger already")
	bad, err := r.local.audit.TailCalls(t.Context(), connect.NewRequest(&adminv1.TailCallsRequest{Backlog: -1}))
	if err != nil {
		t.Fatal(err)
	}
	defer bad.Close()
	bad.Receive()
	refuse(t, bad.Err(), connect.CodeInvalidArgument, "backlog:")
}

func TestListChangesPagesAndNamesActors(t *testing.T) {
	r := newRig(t)
	ana := r.person(t, "ana", "owner")
	for _, name := range []string{"a", "b", "c"} {
		must(ana.applications.CreateApplication(t.Context(), connect.NewRequest(&adminv1.CreateApplicationRequest{Name: name}))).or(t)
	}
	must(ana.roles.CreateRole(t.Context(), connect.NewRequest(&adminv1.CreateRoleRequest{Name: "dev"}))).or(t)
	page := must(ana.audit.ListChanges(t.Context(), connect.NewRequest(&adminv1.ListChangesRequest{PageSize: 2}))).or(t)
	first := page.GetChanges()[0]
	if first.GetAction() != "role.create" || first.GetActor() != "ana" || first.GetRevision() != 2 || first.GetDetail() != `{"grants": [], "permissions": []}` {
		t.Errorf("change %v", first)
	}
	rest := must(ana.audit.ListChanges(t.Context(), connect.NewRequest(&adminv1.ListChangesRequest{PageToken: page.GetNextPageToken()}))).or(t)
	var targets []string
	for _, c := range slices.Concat(page.GetChanges(), rest.GetChanges()) {
		targets = append(targets, c.GetTarget())
	}
	if diff := cmp.Diff([]string{"dev", "c", "b", "a", "ana", "ana", r.Authority.Fingerprint()}, targets); diff != "" || rest.GetNextPageToken() != "" {
		t.Error(diff)
	}
	must(ana.audit.ListChanges(t.Context(), connect.NewRequest(&adminv1.ListChangesRequest{PageToken: "-1"}))).
		refused(t, connect.CodeInvalidArgument, "page token")
}

func TestHealthNeedsNoSignInAndSurvivesTheDatabase(t *testing.T) {
	r := newRig(t)
	browser := r.stranger(t)
	get := func() *adminv1.GetHealthResponse {
		return must(browser.health.GetHealth(t.Context(), connect.NewRequest(&adminv1.GetHealthRequest{}))).or(t)
	}
	if h := get(); !h.GetDatabaseReady() || !h.GetSetupNeeded() || h.GetVersion() != "test" || h.GetStartedAt() == nil || h.GetNodesConnected() != 0 {
		t.Errorf("health %v", h)
	}
	err := r.Store.ConnectNode(t.Context(), db.ConnectNodeParams{Name: "n1", ConnectedTo: "replica/1", Version: "1"})
	if err != nil {
		t.Fatal(err)
	}
	r.person(t, "ana", "owner")
	if h := get(); h.GetSetupNeeded() || h.GetNodesConnected() != 1 {
		t.Errorf("health %v", h)
	}
	set := r.CurrentSet()
	r.API.CurrentSet = func() *snapshot.Set { return set } // what was published stays
	r.Store.Close()
	if h := get(); h.GetDatabaseReady() || h.GetRevision() != set.Revision() {
		t.Errorf("health %v", h)
	}
}

func TestNodes(t *testing.T) {
	r := newRig(t)
	if _, err := r.Store.JoinNode(t.Context(), db.JoinNodeParams{Name: "edge-1", Region: "eu"}); err != nil {
		t.Fatal(err)
	}
	err := r.Store.ConnectNode(t.Context(), db.ConnectNodeParams{Name: "edge-2", ConnectedTo: "r/1", Revision: 4, Version: "9", Address: "10.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	must(r.local.roles.CreateRole(t.Context(), connect.NewRequest(&adminv1.CreateRoleRequest{Name: "dev"}))).or(t)
	all := must(r.local.nodes.ListNodes(t.Context(), connect.NewRequest(&adminv1.ListNodesRequest{}))).or(t).GetNodes()
	if len(all) != 2 || all[0].GetRegion() != "eu" || all[0].GetConnected() || !all[1].GetConnected() || all[1].GetRevision() != 4 || all[1].GetDesiredRevision() != 1 {
		t.Errorf("nodes %v", all)
	}
}

// stuck is the writer of a stream whose reader takes nothing: a write waits until
// its deadline.
type stuck struct {
	http.ResponseWriter
	blocked chan struct{} // closed at the first write that waits
	expired chan struct{} // closed once a deadline has passed
	begin   sync.Once
	end     sync.Once
	bounded atomic.Bool // some deadline lay in the future, and not too far
}

func (s *stuck) SetWriteDeadline(at time.Time) error {
	if !at.IsZero() && !at.After(time.Now()) {
		s.end.Do(func() { close(s.expired) })
	}
	if wait := time.Until(at); wait > 0 && wait <= tailSend {
		s.bounded.Store(true)
	}
	return nil
}

func (s *stuck) Flush() {}

func (s *stuck) Write([]byte) (int, error) {
	s.begin.Do(func() { close(s.blocked) })
	<-s.expired
	return 0, os.ErrDeadlineExceeded
}

// A reader that takes nothing keeps neither its place nor its right to read: the
// session is looked at while the send blocks.
func TestABlockedTailEndsWithItsSession(t *testing.T) {
	r := newRig(t)
	ana := r.person(t, "ana", "viewer")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+adminv1connect.AuditServiceTailCallsProcedure,
		bytes.NewReader([]byte{0, 0, 0, 0, 2, '{', '}'}))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/connect+json")
	for _, c := range ana.http.Jar.Cookies(request.URL) {
		request.AddCookie(c)
	}
	w := &stuck{ResponseWriter: httptest.NewRecorder(), blocked: make(chan struct{}), expired: make(chan struct{})}
	var serving sync.WaitGroup
	serving.Go(func() { r.Handler().ServeHTTP(w, request) })
	<-w.blocked
	if len(r.tails) != 1 || !w.bounded.Load() {
		t.Fatalf("%d places taken; the send is bounded: %t", len(r.tails), w.bounded.Load())
	}
	must(r.local.login.RevokeSession(t.Context(), connect.NewRequest(&adminv1.RevokeSessionRequest{User: "ana"}))).or(t)
	serving.Wait()
	if len(r.tails) != 0 {
		t.Errorf("%d places taken still", len(r.tails))
	}
}
