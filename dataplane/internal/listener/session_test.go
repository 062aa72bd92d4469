package listener

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestInitializeOpensASessionAtAllLegacyServersAtOnce(t *testing.T) {
	d := rich(t)
	got := d.send(d.bare(initialize))
	want := `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},` +
		`"prompts":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"completions":{},"logging":{}},` +
		`"serverInfo":{"name":"warder","version":"9.9.9"},"instructions":`
	if !strings.HasPrefix(got.body, want) || !strings.Contains(got.body, "Ask old first.") {
		t.Errorf("got %s\nwant %s", got.body, want)
	}
	token := got.header.Get(session.HeaderSession)
	if len(token) > 1536 || strings.Trim(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") != "" {
		t.Errorf("session id %q", token)
	}
	var seen []upstream.Call
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		one := *call // the call itself is used again
		one.ID = bytes.Clone(call.ID)
		if call.Session != nil {
			one.Session = new(*call.Session)
		}
		seen = append(seen, one)
		return echo(call), nil
	}
	for _, tool := range []string{"old__get", "new__get"} {
		d.send(d.in(token, rpc("tools/call", `"name":"`+tool+`"`)))
	}
	if len(seen) != 2 {
		t.Fatalf("%d calls", len(seen))
	}
	caps := mcp.CapRoots | mcp.CapRootsListChanged | mcp.CapSampling | mcp.CapElicitForm
	if old := seen[0]; old.Session == nil || old.Session.ID != "of-old" || len(old.ID) == 0 || old.Capabilities != caps || old.URIPrefix != "old+" || old.Asker != "old" {
		t.Errorf("call of the old server: %+v", old)
	}
	if modern := seen[1]; modern.Session != nil || len(modern.ID) != 0 || modern.Capabilities != caps {
		t.Errorf("call of the new server: %+v", modern)
	}
}

func TestAServerThatIsSlowOrDownIsLeftOutOfTheSession(t *testing.T) {
	d := rich(t)
	d.up.open = func(ctx context.Context, server string) (upstream.SessionRef, error) {
		<-ctx.Done()
		return upstream.SessionRef{}, ctx.Err()
	}
	start := time.Now()
	token := d.enter("/mcp")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		if call.Session != nil || !strings.HasPrefix(call.SessionKey, "s/") {
			t.Errorf("call %+v; want a session of this node's own", call)
		}
		return echo(call), nil
	}
	if got := d.send(d.in(token, rpc("tools/call", `"name":"old__get"`))); got.status != http.StatusOK || got.Error.Code != 0 {
		t.Errorf("got %d %s", got.status, got.body)
	}
}

func TestT21_ASessionIsGoodForItsOwnerAndRouteOnly(t *testing.T) {
	d := rich(t)
	token := d.enter("/mcp")
	ping := `{"jsonrpc":"2.0","id":1,"method":"ping"}`
	if got := d.send(d.in(token, ping)); got.status != http.StatusOK { // The node knows the session from here on.
		t.Fatalf("its owner: %d %s", got.status, got.body)
	}
	flip := func(i int) string {
		text := []byte(token)
		text[i] ^= 1
		return string(text)
	}
	for name, m := range map[string]*message{
		"another user":    d.in(token, ping).with(d.by(d.bob)),
		"another route":   d.in(token, ping).with(func(m *message) { m.path = "/mcp/old" }),
		"a changed bit":   d.in(flip(20), ping),
		"another changed": d.in(flip(len(token)-9), ping),
		"GET of another": d.in(token, "").with(func(m *message) {
			m.method = http.MethodGet
			d.by(d.bob)(m)
		}),
		"DELETE of another": d.in(token, "").with(func(m *message) {
			m.method = http.MethodDelete
			d.by(d.bob)(m)
		}),
		"of a server, at the aggregate": d.in(d.enter("/mcp/old"), ping),
	} {
		d.audit.taken()
		got := d.send(m)
		if got.status != http.StatusNotFound || got.Error.Code != mcp.CodeInvalidRequest {
			t.Errorf("%s: %d %s; want 404", name, got.status, got.body)
		}
		if event := d.refusal(); event.GetRule() != "unknown-session" {
			t.Errorf("%s: %v", name, event)
		}
	}
	if got := d.send(d.in(token, ping)); got.status != http.StatusOK {
		t.Errorf("its owner: %d %s", got.status, got.body)
	}
}

func TestAnyNodeServesASession(t *testing.T) {
	d := rich(t)
	token := d.enter("/mcp")
	d.Server.Close() // the node that opened it is gone
	other := d.beside()
	if got := other.send(other.in(token, rpc("tools/call", `"name":"old__get"`))); got.status != http.StatusOK || got.Error.Code != 0 {
		t.Errorf("got %d %s", got.status, got.body)
	}
	events := other.audit.taken()
	if len(events) != 2 || events[0].GetClientName() != "c" || events[0].GetProtocolVersion() != mcp.Version20251125 {
		t.Errorf("events: %v", events)
	}
}

func TestDELETEEndsASession(t *testing.T) {
	d := rich(t)
	token := d.enter("/mcp")
	leave := func() *message {
		return d.in(token, "").with(func(m *message) { m.method = http.MethodDelete; m.header.Del("Content-Type") })
	}
	if got := d.send(leave().with(func(m *message) { m.header.Del(session.HeaderSession) })); got.status != http.StatusBadRequest {
		t.Errorf("without a session: %d", got.status)
	}
	if got := d.send(leave()); got.status != http.StatusNoContent || got.body != "" {
		t.Errorf("got %d %s", got.status, got.body)
	}
	// What the client carries is ended, and what this node opened for it.
	var opened handle.Session
	if err := d.index.Load().Sealer().OpenSession(token, handle.OwnerOf(&principal.Principal{User: "ana", Application: "ide"}), time.Now(), &opened); err != nil {
		t.Fatal(err)
	}
	want := []told{{"end", "old", "of-old", ""}, {"end key", notice.SessionKey(opened.ID), "", ""}}
	if diff := cmp.Diff(want, d.up.heard(), cmp.AllowUnexported(told{})); diff != "" {
		t.Error(diff)
	}
	for _, m := range []*message{leave(), d.in(token, rpc("tools/list", ""))} {
		if got := d.send(m); got.status != http.StatusNotFound {
			t.Errorf("%s afterwards: %d", m.method, got.status)
		}
	}
}

func TestCursorsAreOfOneOwnerRouteAndList(t *testing.T) {
	d := &door{t: t, up: &server{}, audit: &queue{}}
	d.index.Store(d.richWorld(1, func(w *gatetest.World) {
		for i := range 40 {
			tool := w.Tool("old", fmt.Sprint("big", i), snapshotv1.Risk_RISK_READ)
			tool.Definition = []byte(`{"name":"` + tool.Name + `","description":"` + strings.Repeat("x", 60<<10) + `"}`)
		}
	}))
	d.start()
	page := func(m *message) (names []string, next string) {
		got := d.send(m)
		if got.Error.Code != 0 {
			t.Fatalf("%+v", got.Error)
		}
		for _, tool := range got.Result["tools"].([]any) {
			names = append(names, tool.(map[string]any)["name"].(string))
		}
		next, _ = got.Result["nextCursor"].(string)
		return names, next
	}
	all, next := page(d.legacy(rpc("tools/list", "")))
	first := next
	for next != "" {
		var names []string
		names, next = page(d.legacy(rpc("tools/list", `"cursor":"`+next+`"`)))
		all = append(all, names...)
	}
	if first == "" || len(all) != 42 { // 40 and the two that may be called
		t.Errorf("%d tools, first cursor %q", len(all), first)
	}
	for name, m := range map[string]*message{
		"another user":  d.legacy(rpc("tools/list", `"cursor":"`+first+`"`)).with(d.by(d.bob)),
		"another route": d.legacy(rpc("tools/list", `"cursor":"`+first+`"`)).with(func(m *message) { m.path = "/mcp/old" }),
		"another list":  d.legacy(rpc("prompts/list", `"cursor":"`+first+`"`)),
		"no string":     d.legacy(rpc("tools/list", `"cursor":7`)),
	} {
		if got := d.send(m); got.status != http.StatusOK || got.Error.Code != mcp.CodeInvalidParams {
			t.Errorf("%s: %d %s", name, got.status, got.body[:min(200, len(got.body))])
		}
	}
}

func TestBatchesAreOfOneVersionAndEachMessageIsDecidedAlone(t *testing.T) {
	d := rich(t)
	token := d.sealed("ana", "/mcp", func(s *handle.Session) { s.Version = mcp.Version20250326 })
	send := func(body string) answer {
		return d.send(d.in(token, body).with(func(m *message) { m.header.Del("Mcp-Protocol-Version") }))
	}
	d.up.do = func(ctx context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		return echo(call), ctx.Err() // each has a time of its own
	}
	one := func(id, tool string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"` + tool + `","arguments":{"a":` + id + `}}}`
	}
	got := send("[" + strings.Join([]string{
		one("1", "old__get"), one("2", "old__delete"), `{"jsonrpc":"2.0","method":"notifications/initialized"}`, one("3", "new__get"),
		`{"jsonrpc":"2.0","id":4,"method":"ping"}`, initialize, `{"jsonrpc":"1.0","id":5,"method":"ping"}`, `7`,
	}, ",") + "]")
	var answers []struct {
		ID     jsontext.Value `json:"id"`
		Result jsontext.Value `json:"result"`
		Error  struct {
			Code int `json:"code"`
		} `json:"error"`
	}
	if err := json.Unmarshal([]byte(got.body), &answers); err != nil || got.status != http.StatusOK {
		t.Fatalf("%d %v: %s", got.status, err, got.body)
	}
	var said []string
	for _, a := range answers {
		said = append(said, fmt.Sprintf("%s %s %d", a.ID, a.Result, a.Error.Code))
	}
	want := []string{
		`1 {"echo":{"a":1}} 0`, `2 null 1403`, `3 {"echo":{"a":3}} 0`, `4 {} 0`, `0 null -32600`, `5 null -32600`, `null null -32600`,
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Error(diff)
	}
	kinds := map[auditv1.EventKind]int{}
	for _, event := range d.audit.taken() {
		kinds[event.GetKind()]++
	}
	if kinds[auditv1.EventKind_EVENT_KIND_INTENT] != 2 || kinds[auditv1.EventKind_EVENT_KIND_RESULT] != 2 || kinds[auditv1.EventKind_EVENT_KIND_REFUSAL] != 4 {
		t.Errorf("events: %v", kinds)
	}
	if got := send(`[{"jsonrpc":"2.0","method":"notifications/initialized"}]`); got.status != http.StatusAccepted {
		t.Errorf("notifications only: %d %s", got.status, got.body)
	}
	for name, body := range map[string]string{"empty": "[]", "nested": "[[]]", "too many": "[" + strings.Repeat(`{},`, 64) + "{}]"} {
		if got := send(body); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

// TestTheLedgerKnowsWhenASessionBeganAndEnded: and what the client said of its log, but not each notification.
func TestTheLedgerKnowsWhenASessionBeganAndEnded(t *testing.T) {
	d := rich(t)
	token := d.send(d.bare(initialize)).header.Get(session.HeaderSession)
	leave := func() *message {
		return d.in(token, "").with(func(m *message) { m.method = http.MethodDelete; m.header.Del("Content-Type") })
	}
	recorded := func(method string) {
		t.Helper()
		events := d.audit.taken()
		if len(events) != 2 {
			t.Fatalf("%s: events %v", method, events)
		}
		intent, result := events[0], events[1]
		if intent.GetMethod() != method || intent.GetDecision() != auditv1.Decision_DECISION_ALLOW || intent.GetReason() == "" ||
			intent.GetUser() != "ana" || intent.GetClientName() != "c" || intent.GetClientVersion() != "1" || intent.GetProtocolVersion() != mcp.Version20251125 {
			t.Errorf("%s: intent %v", method, intent)
		}
		if !bytes.Equal(intent.GetCallId(), result.GetCallId()) || result.GetOutcome() != auditv1.Outcome_OUTCOME_OK || result.GetError() != "" {
			t.Errorf("%s: result %v", method, result)
		}
	}
	recorded("initialize")
	d.send(d.in(token, rpc("logging/setLevel", `"level":"error"`)))
	recorded("logging/setLevel")
	for _, method := range []string{"notifications/initialized", "notifications/roots/list_changed"} {
		d.send(d.in(token, `{"jsonrpc":"2.0","method":"`+method+`"}`))
	}
	d.send(d.in(token, rpc("tools/list", "")))
	if events := d.audit.taken(); len(events) != 0 {
		t.Errorf("notifications and lists are recorded: %v", events)
	}
	d.send(leave())
	recorded("DELETE")
}

// TestASessionBeginsAndEndsAlsoWhereTheAuditIsFull: nothing is called by it. Servers are told nothing of a log, though.
func TestASessionBeginsAndEndsAlsoWhereTheAuditIsFull(t *testing.T) {
	d := rich(t)
	d.audit.setFull(true)
	token := d.send(d.bare(initialize)).header.Get(session.HeaderSession)
	if token == "" {
		t.Fatal("no session")
	}
	if got := d.send(d.in(token, rpc("logging/setLevel", `"level":"error"`))); got.Error.Code != mcp.CodeAuditUnavailable || d.up.calls.Load() != 0 {
		t.Errorf("the level: %s after %d calls", got.body, d.up.calls.Load())
	}
	if got := d.send(d.in(token, "").with(func(m *message) { m.method = http.MethodDelete; m.header.Del("Content-Type") })); got.status != http.StatusNoContent {
		t.Errorf("the end: %d %s", got.status, got.body)
	}
}

// One key cannot fill the list of ended sessions, in which all have to be that others end.
func TestOneKeyDoesNotFillTheListOfEndedSessions(t *testing.T) {
	d := rich(t)
	end := func(user string, by apikey.Key, n int) answer {
		token := d.sealed(user, "/mcp", func(s *handle.Session) { s.ID[14], s.ID[15] = byte(n>>8), byte(n) })
		return d.send(d.in(token, "").with(d.by(by)).with(func(m *message) { m.method = http.MethodDelete; m.header.Del("Content-Type") }))
	}
	ended := 0
	var got answer
	for n := range 1100 {
		if got = end("ana", d.ana, n); got.status != http.StatusNoContent {
			break
		}
		ended++
	}
	if ended < 1000 || ended > 1050 || got.status != http.StatusTooManyRequests || got.Error.Code != 1429 {
		t.Errorf("%d sessions were ended, then %d %s", ended, got.status, got.body)
	}
	if got := end("bob", d.bob, 0); got.status != http.StatusNoContent {
		t.Errorf("the session of another key: %d %s", got.status, got.body)
	}
	token := d.sealed("ana", "/mcp", func(s *handle.Session) { s.ID[14], s.ID[15] = byte(ended>>8), byte(ended) })
	if got := d.send(d.in(token, rpc("tools/list", ""))); got.status != http.StatusOK {
		t.Errorf("a session that was not ended: %d %s", got.status, got.body)
	}
}
