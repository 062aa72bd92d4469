package listener

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestLegacyClientIsServed(t *testing.T) {
	d := open(t)
	tests := []struct{ name, send, want string }{
		{
			"initialize", `{"jsonrpc":"2.0","id":"a","method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"c","version":"1"}}}`,
			`{"jsonrpc":"2.0","id":"a","result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"warder","version":"9.9.9"}}}`,
		},
		{
			"initialize with a version of the future", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2031-01-01"}}`,
			`{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true}},"serverInfo":{"name":"warder","version":"9.9.9"}}}`,
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
			opens := strings.HasPrefix(test.name, "initialize ") || test.name == "initialize"
			if got.status != wantStatus || (got.header.Get("Mcp-Session-Id") != "") != opens {
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
				`,"supportedVersions":["2026-07-28","2025-11-25","2025-06-18","2025-03-26"],"capabilities":{"tools":{"listChanged":true}}}}`,
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
		if call.Target != "get" || call.Server.GetName() != "git" || call.Principal.User != "ana" || call.ClientVersion != mcp.Version20251125 {
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
		TraceId: "0af7651916cd43dd8448eb211c80319c", Roles: []string{"dev"},
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
