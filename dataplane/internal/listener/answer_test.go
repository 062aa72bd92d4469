package listener

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/httpserver"
	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestLegacyClientIsServedWithoutAnyState(t *testing.T) {
	d := open(t)
	tests := []struct{ name, send, want string }{
		{
			"initialize", `{"jsonrpc":"2.0","id":"a","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`,
			`{"jsonrpc":"2.0","id":"a","result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"warder","version":"9.9.9"}}}`,
		},
		{
			"initialize with a version of the future", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2031-01-01"}}`,
			`{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"warder","version":"9.9.9"}}}`,
		},
		{"ping", `{"jsonrpc":"2.0","id":7,"method":"ping"}`, `{"jsonrpc":"2.0","id":7,"result":{}}`},
		{
			"tools/list", `{"jsonrpc":"2.0","id":12345678901234567890,"method":"tools/list","params":{}}`,
			`{"jsonrpc":"2.0","id":12345678901234567890,"result":{"tools":[` +
				strings.Replace(string(gatetest.Definition("get")), `"get"`, `"git__get"`, 1) + `,` + look("git__look") + `]}}`,
		},
		{"tools/call", call, `{"jsonrpc":"2.0","id":1,"result":{"echo":{"a":1}}}`},
		{"initialized", `{"jsonrpc":"2.0","method":"notifications/initialized"}`, ``},
		{"cancelled", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}`, ``},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := d.send(d.legacy(test.send))
			wantStatus := http.StatusOK
			if test.want == "" {
				wantStatus = http.StatusAccepted
			}
			if got.status != wantStatus || got.header.Get("Mcp-Session-Id") != "" {
				t.Errorf("status %d, session %q", got.status, got.header.Get("Mcp-Session-Id"))
			}
			if diff := cmp.Diff(test.want, got.body); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestModernClientIsServedAtTheSameURL(t *testing.T) {
	d := open(t)
	const info = `"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"warder","version":"9.9.9"}}`
	list := `{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","ttlMs":0,"cacheScope":"private",` + info + `,"tools":[`
	tests := []struct {
		name string
		send *message
		want string
	}{
		{
			"server/discover", d.modern("server/discover", "", ""),
			`{"jsonrpc":"2.0","id":1,"result":{"resultType":"complete","ttlMs":300000,"cacheScope":"private",` + info +
				`,"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"],"capabilities":{"tools":{}}}}`,
		},
		{
			"tools/list", d.modern("tools/list", "", ""),
			list + strings.Replace(string(gatetest.Definition("get")), `"get"`, `"git__get"`, 1) + `,` + look("git__look") + `]}}`,
		},
		{
			"tools/list of one server", d.modern("tools/list", "", "").with(func(m *message) { m.path = "/mcp/git" }),
			list + string(gatetest.Definition("get")) + `,` + look("look") + `]}}`,
		},
		{
			"tools/list of nothing", d.modern("tools/list", "", "").with(func(m *message) { m.set("Authorization", "Bearer "+d.bob.String()) }),
			list + `]}}`,
		},
		{
			"tools/call", d.modern("tools/call", "git__get", `"name":"git__get","arguments":{"b":1.10}`),
			`{"jsonrpc":"2.0","id":1,"result":{"echo":{"b":1.10}}}`,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := d.send(test.send)
			if got.status != http.StatusOK {
				t.Errorf("status %d", got.status)
			}
			if diff := cmp.Diff(test.want, got.body); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestP01_ACallIsRecordedBeforeAndAfter(t *testing.T) {
	d := open(t)
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		events := d.audit.taken()
		if len(events) != 1 || events[0].GetKind() != auditv1.EventKind_EVENT_KIND_INTENT {
			t.Errorf("before the call leaves there are %v; want its intent", events)
		}
		d.audit.events = events
		if call.Tool != "get" || call.Server.GetName() != "git" || call.Principal.User != "ana" || call.ClientVersion != mcp.Version20251125 {
			t.Errorf("call is %+v", call)
		}
		return echo(call), nil
	}
	message := d.legacy(call)
	message.set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	d.send(message)
	events := d.audit.taken()
	if len(events) != 2 {
		t.Fatalf("%d events; want intent and result", len(events))
	}
	intent, result := events[0], events[1]
	want := &auditv1.Event{
		Kind: auditv1.EventKind_EVENT_KIND_INTENT, CallId: intent.GetCallId(), At: intent.GetAt(), RemoteAddress: intent.GetRemoteAddress(),
		User: "ana", Application: "ide", KeyId: d.ana.ID, ClientName: "test-client", ClientVersion: "1.2",
		ProtocolVersion: mcp.Version20251125, Method: "tools/call", Server: "git", Tool: "get", Risk: snapshotv1.Risk_RISK_READ,
		DefinitionHash: make([]byte, 32), Decision: auditv1.Decision_DECISION_ALLOW, Rule: "role:dev", Reason: intent.GetReason(),
		Revision: 1, ArgumentsDigest: d.index.Load().Digest(nil, []byte(`{"a":1}`)), RequestBytes: uint64(len(call)),
		TraceId: "0af7651916cd43dd8448eb211c80319c",
	}
	if diff := cmp.Diff(want.String(), intent.String()); diff != "" {
		t.Errorf("intent: %s", diff)
	}
	if result.GetKind() != auditv1.EventKind_EVENT_KIND_RESULT || string(result.GetCallId()) != string(intent.GetCallId()) ||
		result.GetOutcome() != auditv1.Outcome_OUTCOME_OK || result.GetLatency().AsDuration() <= 0 ||
		result.GetServerLatency().AsDuration() != time.Millisecond || result.GetResponseBytes() == 0 {
		t.Errorf("result: %v", result)
	}
}

func TestADeniedCallSaysWhyAndReachesNoServer(t *testing.T) {
	d := open(t)
	tests := []struct {
		name, tool, path string
		key              func(*door) string
		text, rule       string
	}{
		{"by a rule", "git__delete", "/mcp", nil, "Denied by policy: Deleting needs a person", "no-deletes"},
		{"by a rule, at the server's endpoint", "delete", "/mcp/git", nil, "Denied by policy: Deleting needs a person", "no-deletes"},
		{"for want of a rule", "mail__send", "/mcp", nil, "ana", "default-deny"},
		{"another caller", "git__get", "/mcp", func(d *door) string { return d.bob.String() }, "bob", "default-deny"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			message := d.legacy(strings.Replace(call, "git__get", test.tool, 1))
			message.path = test.path
			if test.key != nil {
				message.set("Authorization", "Bearer "+test.key(d))
			}
			got := d.send(message)
			if got.status != http.StatusOK || got.Error.Code != mcp.CodeDenied || !strings.Contains(got.Error.Message, test.text) {
				t.Errorf("got %d %+v; want 200, %d, …%s…", got.status, got.Error, mcp.CodeDenied, test.text)
			}
			event := d.refusal()
			if event.GetRule() != test.rule || event.GetTool() == "" || event.GetServer() == "" || event.GetUser() == "" {
				t.Errorf("event: %v; want rule %s", event, test.rule)
			}
			if got.Error.Data["callId"] != fmt.Sprintf("%x", event.GetCallId()) || got.Error.Data["rule"] != test.rule {
				t.Errorf("data: %v", got.Error.Data)
			}
		})
	}
}

// TestP06 asks the door itself: every tool of the snapshot is called, and what
// is listed answers, what is not does not.
func TestP06_WhatIsListedIsCallableAndNothingElseIs(t *testing.T) {
	d := open(t)
	for _, key := range []string{d.ana.String(), d.bob.String()} {
		list := d.send(d.legacy(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`).with(func(m *message) { m.set("Authorization", "Bearer "+key) }))
		var listed []string
		for _, tool := range list.Result["tools"].([]any) {
			listed = append(listed, tool.(map[string]any)["name"].(string))
		}
		for _, tool := range []string{"git__get", "git__delete", "mail__send", "git__none", "get"} {
			got := d.send(d.legacy(strings.Replace(call, "git__get", tool, 1)).with(func(m *message) { m.set("Authorization", "Bearer "+key) }))
			if callable := got.Error.Code == 0; callable != slices.Contains(listed, tool) {
				t.Errorf("%s: callable %v, listed %v", tool, callable, listed)
			}
		}
	}
	if d.up.calls.Load() != 1 {
		t.Errorf("%d calls reached the server; want 1", d.up.calls.Load())
	}
}

func TestP04_ACallThatCannotBeRecordedIsNotMade(t *testing.T) {
	d := open(t)
	d.audit.setFull(true)
	got := d.send(d.legacy(call))
	if got.status != http.StatusOK || got.Error.Code != mcp.CodeAuditUnavailable {
		t.Errorf("got %d %+v; want %d", got.status, got.Error, mcp.CodeAuditUnavailable)
	}
	if denied := d.send(d.legacy(strings.Replace(call, "git__get", "git__delete", 1))); denied.Error.Code != mcp.CodeDenied {
		t.Errorf("a refusal that cannot be recorded: %+v; want a refusal all the same", denied.Error)
	}
	if d.up.calls.Load() != 0 {
		t.Error("a call left without a record")
	}
	d.audit.setFull(false)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.session.Refusals().Run(ctx)
	stood := map[string]uint64{}
	for _, event := range d.audit.taken() {
		stood[event.GetRule()] += event.GetSuppressed() + 1
	}
	if diff := cmp.Diff(map[string]uint64{"audit-unavailable": 1, "denied": 1}, stood); diff != "" {
		t.Errorf("what was recorded later: %s", diff)
	}
}

func TestAFloodWithoutAKeyIsFoldedAndNothingIsLost(t *testing.T) {
	d := open(t)
	const sent = 200
	for range sent {
		if got := d.send(d.legacy(call).with(func(m *message) { m.header.Del("Authorization") })); got.status != http.StatusUnauthorized {
			t.Fatalf("status %d", got.status)
		}
	}
	d.send(d.legacy(call))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.session.Refusals().Run(ctx)
	events := d.audit.taken()
	stood, calls := uint64(0), 0
	for _, event := range events {
		switch event.GetKind() {
		case auditv1.EventKind_EVENT_KIND_REFUSAL:
			stood += event.GetSuppressed() + 1
		default:
			calls++
		}
	}
	if stood != sent || calls != 2 {
		t.Errorf("events stand for %d refusals and %d of a call; want %d and 2", stood, calls, sent)
	}
	if len(events) > sent/2 {
		t.Errorf("%d events for a flood of %d", len(events), sent)
	}
}

// TestT24_AKeyInTheWrongPlaceIsNotKept: people put keys where names belong.
func TestT24_AKeyInTheWrongPlaceIsNotKept(t *testing.T) {
	d := open(t)
	key := d.ana.String()
	for name, m := range map[string]*message{
		"path":       d.legacy(call).with(func(m *message) { m.path = "/mcp/" + key }),
		"tool":       d.legacy(strings.Replace(call, "git__get", key, 1)),
		"method":     d.legacy(strings.Replace(call, "tools/call", key, 1)),
		"member":     d.legacy(strings.Replace(call, `"a":1`, `"`+key+`":1,"`+key+`":2`, 1)),
		"user agent": d.legacy(call).with(func(m *message) { m.set("User-Agent", key+"/"+key) }),
		"version":    d.legacy(call).with(func(m *message) { m.set("Mcp-Protocol-Version", key) }),
		"at the door": d.legacy(call).with(func(m *message) {
			m.header.Del("Authorization")
			m.set("User-Agent", "x/"+key)
		}),
	} {
		d.send(m)
		events := d.audit.taken()
		if len(events) == 0 {
			t.Errorf("%s: no event", name)
		}
		for _, event := range events {
			if strings.Contains(event.String(), d.ana.Secret) {
				t.Errorf("%s: the secret is in the audit: %v", name, event)
			}
		}
	}
}

// TestAFloodOfOneKeyIsFoldedUnderItsName: who holds a key, and does with it what
// he may not, fills neither the queue nor the record of others.
func TestAFloodOfOneKeyIsFoldedUnderItsName(t *testing.T) {
	d := open(t)
	const sent = 600
	for range sent {
		d.send(d.legacy(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"nothing"}}`))
	}
	deny := strings.Replace(call, "git__get", "git__delete", 1)
	d.send(d.legacy(deny))
	d.send(d.legacy(deny).with(func(m *message) { m.set("Authorization", "Bearer "+d.bob.String()) }))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d.session.Refusals().Run(ctx)
	type count struct {
		User, Rule string
	}
	stood, events := map[count]uint64{}, d.audit.taken()
	for _, event := range events {
		if event.GetKeyId() == "" || event.GetApplication() != "ide" {
			t.Fatalf("an event without its caller: %v", event)
		}
		stood[count{event.GetUser(), event.GetRule()}] += event.GetSuppressed() + 1
	}
	want := map[count]uint64{{"ana", "unknown-tool"}: sent, {"ana", "no-deletes"}: 1, {"bob", "no-deletes"}: 1}
	if diff := cmp.Diff(want, stood); diff != "" {
		t.Errorf("what the events stand for (-want +got):\n%s", diff)
	}
	if len(events) > sent*3/4 {
		t.Errorf("%d events for a flood of %d", len(events), sent)
	}
}

func TestAnswersStreamWhatTheServerSaysFirst(t *testing.T) {
	d := open(t)
	arrived := make(chan struct{})
	d.up.do = func(ctx context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
		if err := sink.Notification([]byte("{\"jsonrpc\":\"2.0\",\n\"method\":\"notifications/progress\"}")); err != nil {
			t.Error(err)
		}
		select {
		case <-arrived: // the client has the first message before the second is made
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		return echo(call), sink.Notification([]byte(`{"jsonrpc":"2.0","method":"notifications/message"}`))
	}
	response, err := d.client.Do(d.request(t.Context(), d.legacy(call)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" || response.Header.Get("X-Accel-Buffering") != "no" {
		t.Errorf("headers %v", response.Header)
	}
	events := bufio.NewReader(response.Body)
	want := "event: message\ndata: {\"jsonrpc\":\"2.0\",\ndata: \"method\":\"notifications/progress\"}\n\n"
	first := make([]byte, len(want))
	if _, err := io.ReadFull(events, first); err != nil {
		t.Fatal(err)
	}
	close(arrived)
	rest, err := io.ReadAll(events)
	if err != nil {
		t.Fatal(err)
	}
	want += "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\"}\n\n" +
		"event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"echo\":{\"a\":1}}}\n\n"
	if diff := cmp.Diff(want, string(first)+string(rest)); diff != "" {
		t.Error(diff)
	}
}

func TestAClientThatTakesJSONOnlyGetsTheAnswerOnly(t *testing.T) {
	d := open(t)
	d.up.do = func(_ context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
		return echo(call), sink.Notification([]byte(`{"jsonrpc":"2.0","method":"notifications/message"}`))
	}
	for _, accept := range [][]string{{"application/json"}, {"*/*"}, nil} {
		m := d.legacy(call)
		m.header["Accept"] = accept
		got := d.send(m)
		if diff := cmp.Diff(`{"jsonrpc":"2.0","id":1,"result":{"echo":{"a":1}}}`, got.body); diff != "" {
			t.Errorf("%v: %s", accept, diff)
		}
	}
	m := d.legacy(`{"jsonrpc":"2.0","id":7,"method":"ping"}`)
	m.set("Accept", "text/event-stream")
	if got := d.send(m); got.body != "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}\n\n" {
		t.Errorf("a client of streams only got %q", got.body)
	}
}

func TestAWaitingClientHearsKeepAlives(t *testing.T) {
	d := open(t, func(c *Config) { c.KeepAlive = time.Millisecond })
	heard := make(chan struct{})
	d.up.do = func(ctx context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		select {
		case <-heard:
			return echo(call), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	response, err := d.client.Do(d.request(t.Context(), d.legacy(call)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	comments, data := 0, ""
	for lines.Scan() {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, ":"):
			if comments++; comments == 3 {
				close(heard)
			}
		case strings.HasPrefix(line, "data: "):
			data += line
		}
	}
	if want := `data: {"jsonrpc":"2.0","id":1,"result":{"echo":{"a":1}}}`; data != want || comments < 3 {
		t.Errorf("%d comments, then %q; want %q", comments, data, want)
	}
}

func TestAClientThatGoesAwayIsRecordedAsSuch(t *testing.T) {
	d := open(t)
	started, ended := make(chan struct{}), make(chan struct{})
	d.up.do = func(ctx context.Context, _ *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		close(started)
		<-ctx.Done()
		defer close(ended)
		return nil, ctx.Err()
	}
	ctx, leave := context.WithCancel(t.Context())
	request := d.request(ctx, d.legacy(call))
	go func() {
		<-started
		leave()
	}()
	if response, err := d.client.Do(request); err == nil {
		t.Errorf("status %d; want no answer", response.StatusCode)
	}
	<-ended
	d.Server.Close() // waits for the handler
	events := d.audit.taken()
	if len(events) != 2 || events[1].GetOutcome() != auditv1.Outcome_OUTCOME_CANCELLED {
		t.Errorf("events: %v; want an intent and a cancelled result", events)
	}
}

func TestACallThatPanicsHasAResult(t *testing.T) {
	d := open(t)
	var log bytes.Buffer // written before the connection is closed
	d.Config.ErrorLog = httpserver.New(nil, slog.New(slog.NewTextHandler(&log, nil))).ErrorLog
	d.up.do = func(context.Context, *upstream.Call, upstream.Sink) (*upstream.Answer, error) {
		panic("bug of the test")
	}
	if response, err := d.client.Do(d.request(t.Context(), d.legacy(call))); err == nil {
		t.Errorf("status %d; want the connection cut", response.StatusCode)
	}
	d.Server.Close()
	events := d.audit.taken()
	if len(events) != 2 || events[1].GetOutcome() != auditv1.Outcome_OUTCOME_SERVER_FAILED {
		t.Errorf("events: %v; want an intent and a failed result", events)
	}
	if n := d.listener.Inflight(); n != 0 {
		t.Errorf("%d requests are still counted", n)
	}
	if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), "bug of the test") {
		t.Errorf("the log says of the panic: %q; want an error", log.String())
	}
}

func TestP09_OneRequestSeesOneRevision(t *testing.T) {
	d := open(t)
	before := d.index.Load()
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		d.index.Store(d.world(2))
		return echo(call), nil
	}
	d.send(d.legacy(call))
	if events := d.audit.taken(); len(events) != 2 || events[0].GetRevision() != before.Revision() {
		t.Errorf("events: %v", events)
	}
	if got := d.send(d.legacy(call)); got.status != http.StatusOK {
		t.Errorf("a key of the new revision: %d", got.status)
	}
	if events := d.audit.taken(); events[0].GetRevision() != 2 {
		t.Errorf("the next call was decided at revision %d", events[0].GetRevision())
	}
}

func TestWithoutASnapshotNothingIsServed(t *testing.T) {
	d := open(t, func(c *Config) { c.Current = func() *gate.Index { return nil } })
	got := d.send(d.legacy(call))
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !strings.Contains(got.Error.Message, "no snapshot") {
		t.Errorf("got %d %v %+v", got.status, got.header, got.Error)
	}
	if event := d.refusal(); event.GetRule() != "not-ready" {
		t.Errorf("event: %v", event)
	}
}

func TestP13_RequestsBeyondTheBoundAreTurnedAway(t *testing.T) {
	d := open(t, func(c *Config) { c.MaxRequests = 1 })
	started, release := make(chan struct{}), make(chan struct{})
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		close(started)
		<-release
		return echo(call), nil
	}
	first := make(chan answer)
	go func() { first <- d.send(d.legacy(call)) }()
	<-started
	got := d.send(d.legacy(call))
	close(release)
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("second request: %d", got.status)
	}
	if one := <-first; one.status != http.StatusOK {
		t.Errorf("first request: %d", one.status)
	}
	if n := testutil.ToFloat64(d.listener.turned); n != 1 {
		t.Errorf("counted %v", n)
	}
}

func TestP13_ASlowBodyIsCutOff(t *testing.T) {
	d := open(t, func(c *Config) { c.BodyTime = 20 * time.Millisecond })
	status := d.raw("Content-Length: 100\r\n\r\n{")
	if status != http.StatusRequestTimeout {
		t.Errorf("status %d; want %d", status, http.StatusRequestTimeout)
	}
	if event := d.refusal(); event.GetRule() != "body-too-slow" || event.GetUser() != "ana" {
		t.Errorf("event: %v", event)
	}
}

func TestP13_ABodyOfUnknownLengthIsBoundedToo(t *testing.T) {
	d := open(t)
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 65<<10, strings.Repeat(" ", 65<<10))
	if status := d.raw("Transfer-Encoding: chunked\r\n\r\n" + chunk + "0\r\n\r\n"); status != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d; want %d", status, http.StatusRequestEntityTooLarge)
	}
	if event := d.refusal(); event.GetRule() != "body-too-large" {
		t.Errorf("event: %v", event)
	}
}

// raw sends ana's headers and then the rest as it stands, and returns the
// status of the answer.
func (d *door) raw(rest string) int {
	d.t.Helper()
	conn, err := net.Dial("tcp", d.Listener.Addr().String())
	if err != nil {
		d.t.Fatal(err)
	}
	defer conn.Close()
	head := "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer " + d.ana.String() + "\r\n"
	if _, err := io.WriteString(conn, head+rest); err != nil {
		d.t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

func TestLegacyClientsThatTryGETOrDELETEAreToldWhatIsAllowed(t *testing.T) {
	d := open(t)
	for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodPut, "PROPFIND"} {
		m := d.legacy("")
		m.method = method
		if got := d.send(m); got.status != http.StatusMethodNotAllowed || got.header.Get("Allow") != "POST, OPTIONS" {
			t.Errorf("%s: %d %v", method, got.status, got.header)
		}
	}
	if events := d.audit.taken(); len(events) > 0 {
		t.Errorf("recorded as if something had been refused: %v", events)
	}
}

func TestBrowsersOfAllowedOriginsMayCall(t *testing.T) {
	d := open(t)
	own := "http://" + d.Listener.Addr().String()
	for _, origin := range []string{"https://tools.example", own} {
		preflight := d.legacy("")
		preflight.method, preflight.header = http.MethodOptions, http.Header{
			"Origin": {origin}, "Access-Control-Request-Method": {"POST"},
			"Access-Control-Request-Headers": {"authorization, mcp-param-City, x-evil"},
		}
		got := d.send(preflight)
		allowed := got.header.Get("Access-Control-Allow-Headers")
		if got.status != http.StatusNoContent || got.header.Get("Access-Control-Allow-Origin") != origin ||
			!strings.Contains(allowed, "mcp-param-city") || strings.Contains(allowed, "evil") {
			t.Errorf("%s: preflight %d %v", origin, got.status, got.header)
		}
		called := d.send(d.legacy(call).with(func(m *message) { m.set("Origin", origin) }))
		if called.status != http.StatusOK || called.header.Get("Access-Control-Allow-Origin") != origin || called.header.Get("Vary") != "Origin" {
			t.Errorf("%s: call %d %v", origin, called.status, called.header)
		}
	}
	foreign := d.legacy("").with(func(m *message) { m.method = http.MethodOptions; m.set("Origin", "https://evil.example") })
	if got := d.send(foreign); got.status != http.StatusForbidden || got.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("foreign preflight: %d %v", got.status, got.header)
	}
}

func TestHostNamesAreComparedWithoutPortAndCapitals(t *testing.T) {
	d := open(t)
	for _, host := range []string{"127.0.0.1", "127.0.0.1:1234", "Node.Example", "node.example:443"} {
		if got := d.send(d.legacy(call).with(func(m *message) { m.host = host })); got.status != http.StatusOK {
			t.Errorf("%s: %d", host, got.status)
		}
	}
	hosts := newHosts([]string{"::1", "LOCALHOST"})
	for host, want := range map[string]bool{
		"[::1]:7070": true, "[0:0:0:0:0:0:0:1]": true, "localhost": true, "localhost:7070": true,
		"localhost.": false, "[::2]": false, "": false, "localhost@evil": false, "evil:localhost": false,
	} {
		if hosts.allow(host) != want {
			t.Errorf("%q: allowed %v", host, !want)
		}
	}
}

func TestBodiesAreWipedAndLargeOnesNotKept(t *testing.T) {
	var b bodies
	one := b.get()
	if err := one.fill(strings.NewReader("secret"), 100); err != nil {
		t.Fatal(err)
	}
	alias := one.bytes
	b.put(one)
	if strings.Contains(string(alias), "secret") {
		t.Error("a used buffer still has its message")
	}
	large := &body{bytes: make([]byte, maxKept+1)}
	large.bytes[0] = 'x'
	b.put(large)
	if large.bytes[0] != 'x' || len(large.bytes) == 0 {
		t.Error("a large buffer was taken back")
	}
}

// TestAConnectionLivesOnAfterItsDeadlines: deadlines of one answer must not end
// the next, which another handler may give.
func TestDeadlinesOfOneAnswerDoNotOutliveIt(t *testing.T) {
	d := open(t, func(c *Config) { c.BodyTime, c.WriteTime = 30*time.Millisecond, 30*time.Millisecond })
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		<-time.After(60 * time.Millisecond) // longer than both
		return echo(call), nil
	}
	conn, err := net.Dial("tcp", d.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for range 3 {
		if err := d.request(t.Context(), d.legacy(call)).Write(conn); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), "echo") {
			t.Fatalf("%d %s %v", response.StatusCode, body, err)
		}
	}
}

// TestT35 holds Mcp-Param-* headers to the arguments they repeat.
func TestT35_ParamHeadersMustSayWhatTheBodySays(t *testing.T) {
	tests := []struct {
		name, arguments string
		header          [][2]string
		good            bool
	}{
		{"both right", `{"city":"Bern","at":{"n":42}}`, [][2]string{{"City", "Bern"}, {"N", "42"}}, true},
		{"number in another spelling", `{"at":{"n":42.0}}`, [][2]string{{"N", "42"}}, true},
		{"sentinel", `{"city":"Zürich"}`, [][2]string{{"City", mcp.EncodeHeaderValue("Zürich")}}, true},
		{"null, no header", `{"city":null}`, nil, true},
		{"absent, no header", `{}`, nil, true},
		{"header of nobody", `{}`, [][2]string{{"Other", "x"}}, true},
		{"missing", `{"city":"Bern"}`, nil, false},
		{"differs", `{"city":"Bern"}`, [][2]string{{"City", "bern"}}, false},
		{"extra", `{}`, [][2]string{{"City", "Bern"}}, false},
		{"extra for null", `{"city":null}`, [][2]string{{"City", "null"}}, false},
		{"twice", `{"city":"Bern"}`, [][2]string{{"City", "Bern"}, {"City", "Bern"}}, false},
		{"header of nobody twice", `{}`, [][2]string{{"Other", "x"}, {"Other", "y"}}, false},
		{"bad sentinel", `{"city":"Bern"}`, [][2]string{{"City", "=?base64?QmVybg?="}}, false},
		{"sentinel within a sentinel", `{"city":"Bern"}`, [][2]string{{"City", mcp.EncodeHeaderValue(mcp.EncodeHeaderValue("Bérn"))}}, false},
		{"hexadecimal", `{"at":{"n":16}}`, [][2]string{{"N", "0x10"}}, false},
		{"number that has neighbours", `{"at":{"n":9007199254740993}}`, [][2]string{{"N", "9007199254740993"}}, false},
		{"string for a number", `{"at":{"n":"42"}}`, [][2]string{{"N", "42"}}, true},
		{"object", `{"city":{"a":1}}`, [][2]string{{"City", "x"}}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := open(t)
			m := d.modern("tools/call", "git__look", `"name":"git__look","arguments":`+test.arguments)
			for _, pair := range test.header {
				m.header.Add("Mcp-Param-"+pair[0], pair[1])
			}
			got := d.send(m)
			if test.good {
				if got.status != http.StatusOK || got.Error.Code != 0 {
					t.Errorf("got %d %+v", got.status, got.Error)
				}
				return
			}
			if got.status != http.StatusBadRequest || got.Error.Code != mcp.CodeHeaderMismatch {
				t.Errorf("got %d %+v; want 400, %d", got.status, got.Error, mcp.CodeHeaderMismatch)
			}
			d.refusal()
		})
	}
}

func TestLegacyParamHeadersMeanNothing(t *testing.T) {
	d := open(t)
	m := d.legacy(strings.Replace(call, "git__get", "git__look", 1))
	m.set("Mcp-Param-City", "Bern")
	if got := d.send(m); got.status != http.StatusOK || got.Error.Code != 0 {
		t.Errorf("got %d %+v", got.status, got.Error)
	}
}
