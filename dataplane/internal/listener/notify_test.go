package listener

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestACallIsCancelledWhereverItRuns(t *testing.T) {
	d := rich(t)
	other := d.beside()
	token := d.enter("/mcp")
	started := make(chan []byte, 1)
	d.up.do = func(ctx context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		started <- bytes.Clone(call.ID)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	cancel := `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`
	done := make(chan answer)
	go func() { done <- d.send(d.in(token, getOld)) }()
	id := <-started
	for name, m := range map[string]*message{
		"another session's": other.legacy(cancel),
		"another call's":    other.in(token, strings.Replace(cancel, "1}", `"1"}`, 1)),
	} {
		if got := other.send(m); got.status != http.StatusAccepted {
			t.Errorf("%s: %d", name, got.status)
		}
		for _, heard := range other.up.heard() {
			if heard.message == string(id) {
				t.Errorf("%s cancelled the call", name)
			}
		}
	}
	other.send(other.in(token, cancel))
	if diff := cmp.Diff([]told{{"cancel", "old", "of-old", string(id)}}, other.up.heard(), cmp.AllowUnexported(told{})); diff != "" {
		t.Errorf("at another node: %s", diff)
	}
	d.send(d.in(token, cancel)) // and here
	if got := <-done; got.Error.Code != mcp.CodeUnavailable || !strings.Contains(got.Error.Message, "cancelled") {
		t.Errorf("the call: %s", got.body)
	}
	if events := d.audit.taken(); len(events) != 2 || events[1].GetOutcome() != auditv1.Outcome_OUTCOME_CANCELLED {
		t.Errorf("events: %v", events)
	}
}

func TestWhatClientsSayReachesTheirServers(t *testing.T) {
	d := rich(t)
	token := d.enter("/mcp")
	roots := `{"jsonrpc":"2.0","method":"notifications/roots/list_changed"}`
	progress := `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":1}}`
	for _, message := range []string{roots, progress, `{"jsonrpc":"2.0","method":"notifications/initialized"}`} {
		if got := d.send(d.in(token, message)); got.status != http.StatusAccepted || got.body != "" {
			t.Errorf("%s: %d %s", message, got.status, got.body)
		}
	}
	want := []told{{"notify", "old", "of-old", roots}, {"notify", "old", "of-old", progress}}
	if diff := cmp.Diff(want, d.up.heard(), cmp.AllowUnexported(told{})); diff != "" {
		t.Error(diff)
	}
	var levels []string
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		levels = append(levels, call.Request.Method+" "+call.Server.GetName()+" "+call.LogLevel)
		return echo(call), nil
	}
	d.send(d.in(token, getNew)) // Another node may have been told a level: a modern server would send nothing without one.
	d.send(d.in(token, rpc("logging/setLevel", `"level":"warning"`)))
	d.send(d.in(token, getNew))
	if diff := cmp.Diff([]string{"tools/call new info", "logging/setLevel old ", "tools/call new warning"}, levels); diff != "" {
		t.Error(diff)
	}
	if got := d.send(d.in(token, rpc("logging/setLevel", `"level":"loud"`))); got.Error.Code != mcp.CodeInvalidParams {
		t.Errorf("a level that is none: %s", got.body)
	}
}

func TestPromptsResourcesAndCompletionsAreGovernedAsToolsAre(t *testing.T) {
	d := rich(t)
	var targets []string
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		targets = append(targets, call.Server.GetName()+" "+call.Target)
		return echo(call), nil
	}
	tests := []struct{ method, params, target string }{
		{"prompts/get", `"name":"old__greet"`, "old greet"},
		{"resources/read", `"uri":"old+file:///a"`, "old file:///a"},
		{"resources/read", `"uri":"new+file:///t/7"`, "new file:///t/7"},
		{"resources/read", `"uri":"new+other:x"`, "new other:x"},
		{"completion/complete", `"ref":{"type":"ref/prompt","name":"new__greet"},"argument":{"name":"a","value":""}`, "new greet"},
		{"completion/complete", `"ref":{"type":"ref/resource","uri":"old+file:///t/{id}"},"argument":{"name":"id","value":""}`, "old file:///t/{id}"},
		{"resources/subscribe", `"uri":"old+file:///a"`, "old file:///a"},
		{"resources/unsubscribe", `"uri":"old+file:///a"`, "old file:///a"},
		{"resources/subscribe", `"uri":"new+file:///a"`, ""}, // kept by this node
	}
	token := d.enter("/mcp")
	for _, test := range tests {
		targets = nil
		got := d.send(d.in(token, rpc(test.method, test.params)))
		if got.status != http.StatusOK || got.Error.Code != 0 || strings.Join(targets, ",") != test.target {
			t.Errorf("%s %s: %d %s; targets %v", test.method, test.params, got.status, got.body, targets)
		}
		events := d.audit.taken()
		if len(events) != 2 || events[0].GetMethod() != test.method || events[0].GetServer() == "" || events[0].GetTool() == "" {
			t.Errorf("%s: events %v", test.method, events)
		}
	}
}

func TestAKeyInAURIIsNotKept(t *testing.T) {
	d := rich(t)
	key := d.ana.String()
	d.send(d.in(d.enter("/mcp"), rpc("resources/read", `"uri":"new+other:`+key+`"`)))
	for _, event := range d.audit.taken() {
		if strings.Contains(event.String(), d.ana.Secret) {
			t.Errorf("the secret is in the audit: %v", event)
		}
	}
}

func TestTheStreamOfASessionTellsWhatChanges(t *testing.T) {
	d := rich(t)
	token := d.enter("/mcp")
	if got := d.send(d.in(token, "").with(func(m *message) {
		m.method = http.MethodGet
		m.set("Accept", "application/json")
	})); got.status != http.StatusNotAcceptable {
		t.Errorf("without event streams: %d", got.status)
	}
	s := d.listen(token)
	if s.status != http.StatusOK || s.header.Get("Content-Type") != "text/event-stream" || s.header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("%d %v", s.status, s.header)
	}
	if n := d.listener.Inflight(); n != 0 {
		t.Errorf("%d requests are counted beside the stream", n)
	}
	ana, bob, old := d.ana, d.bob, d.old
	d.index.Store(d.richWorld(2, func(w *gatetest.World) {
		w.Tool("old", "more", snapshotv1.Risk_RISK_READ)
		for _, key := range []apikey.Key{ana, bob} {
			w.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Key{Key: &snapshotv1.Key{
				Id: key.ID, Hash: apikey.Hash(gatetest.Pepper, key.Secret), User: "ana", Application: "ide",
			}}})
		}
	}))
	d.ana, d.bob, d.old = ana, bob, old
	d.board.Changed()
	if e := s.must(); !strings.Contains(e.data, "notifications/tools/list_changed") || e.id != "" {
		t.Errorf("heard %+v", e)
	}
	d.board.Drain()
	if e, ok := s.next(); ok {
		t.Errorf("after the end: %+v", e)
	}
	if got := d.send(d.in(token, "").with(func(m *message) { m.method = http.MethodGet })); got.status != http.StatusServiceUnavailable {
		t.Errorf("a stream of a node that goes down: %d %s", got.status, got.body)
	}
}

func TestAModernClientListens(t *testing.T) {
	d := rich(t)
	m := d.modern("subscriptions/listen", "", `"notifications":{"toolsListChanged":true,"resourceSubscriptions":["new+file:///a","x:y"]}`)
	plain := d.modern("subscriptions/listen", "", `"notifications":{}`).with(func(m *message) { m.set("Accept", "application/json") })
	if got := d.send(plain); got.status != http.StatusNotAcceptable {
		t.Errorf("without event streams: %d %s", got.status, got.body)
	}
	d.audit.taken()
	s := d.stream(m)
	ack := s.must().data
	if !strings.Contains(ack, "notifications/subscriptions/acknowledged") || !strings.Contains(ack, `"new+file:///a"`) ||
		strings.Contains(ack, "x:y") || !strings.Contains(ack, `"io.modelcontextprotocol/subscriptionId":1`) {
		t.Errorf("acknowledged %s", ack)
	}
	events := d.audit.taken()
	if len(events) != 2 || events[0].GetMethod() != "subscriptions/listen" || events[1].GetOutcome() != auditv1.Outcome_OUTCOME_OK {
		t.Errorf("events: %v", events)
	}
	if n := d.listener.Inflight(); n != 0 {
		t.Errorf("%d requests are counted beside the stream", n)
	}
	d.board.Drain()
	if e := s.must(); !strings.Contains(e.data, `"id":1,"result":{"resultType":"complete"`) {
		t.Errorf("at the end: %s", e.data)
	}
	if got := d.send(d.modern("subscriptions/listen", "", `"notifications":{}`)); got.status != http.StatusServiceUnavailable || got.Error.Code == 0 {
		t.Errorf("at a node that goes down: %d %s", got.status, got.body)
	}
	if events := d.audit.taken(); len(events) != 2 || events[1].GetOutcome() == auditv1.Outcome_OUTCOME_OK {
		t.Errorf("events: %v", events)
	}
}

// TestThePageOfAToolCanBeReadThroughTheAggregate: under the URI that its tool is listed with, which begins as hosts of MCP
// Apps want it to, and although no server has to list it.
func TestThePageOfAToolCanBeReadThroughTheAggregate(t *testing.T) {
	d := &door{t: t, up: &server{}, audit: &queue{}}
	d.index.Store(d.richWorld(1, func(w *gatetest.World) {
		w.Tool("new", "chart", snapshotv1.Risk_RISK_READ).Definition = []byte(`{"name":"chart","_meta":{"ui":{"resourceUri":"ui://charts/bar"}}}`)
	}))
	d.start()
	var read string
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		read = call.Server.GetName() + " " + call.Target
		return echo(call), nil
	}
	token := d.enter("/mcp")
	const page = "ui://new/charts/bar"
	if got := d.send(d.in(token, rpc("tools/list", ""))); !strings.Contains(got.body, `"resourceUri":"`+page+`"`) {
		t.Errorf("the tool is listed as %s", got.body)
	}
	if got := d.send(d.in(token, rpc("resources/read", `"uri":"`+page+`"`))); got.status != http.StatusOK || read != "new ui://charts/bar" {
		t.Errorf("the read of %s went to %q: %s", page, read, got.body)
	}
	if got := d.send(d.in(token, rpc("resources/read", `"uri":"new+ui://charts/bar"`))); got.Error.Code != mcp.CodeResourceNotFound {
		t.Errorf("a page has a second name: %s", got.body)
	}
}
