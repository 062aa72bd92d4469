package listener

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// conditional opens a door to rich servers whose sessions have a clock that stands still.
func conditional(t *testing.T, at time.Time) *door {
	t.Helper()
	d := &door{t: t, up: &server{}, audit: &queue{}, clock: func() time.Time { return at }}
	d.index.Store(d.richWorld(1))
	d.start()
	return d
}

// only makes it the policy that a rule with a condition allows or denies ana what she may otherwise not do or do.
func (d *door) only(effect snapshotv1.Effect, when string, methods ...string) {
	d.index.Store(d.richWorld(1, func(w *gatetest.World) {
		w.Rule(&snapshotv1.Rule{Id: "c", Name: "cond", Effect: effect, When: when, Methods: methods, Priority: -2})
		if effect == snapshotv1.Effect_EFFECT_ALLOW {
			w.Rule(&snapshotv1.Rule{Id: "r", Name: "rest", Effect: snapshotv1.Effect_EFFECT_DENY, Methods: methods, Priority: -1})
		}
	}))
}

// asked returns the message of an era that asks for something, from a client that says it is claude 2.
func (d *door) asked(era, method, name, params string) *message {
	if era == mcp.Version20260728 {
		return d.modern(method, name, params).with(func(m *message) {
			m.body = strings.Replace(m.body, `{"name":"modern-client","version":"3"}`, `{"name":"claude","version":"2"}`, 1)
		})
	}
	return d.bare(rpc(method, params)).with(func(m *message) {
		m.set(session.HeaderSession, d.sealed("ana", "/mcp", func(s *handle.Session) { s.ClientName, s.ClientVersion = "claude", "2" }))
	})
}

// TestConditionsSeeWhatTheCallSays holds that a condition sees the arguments that are sent to the server, and who asks when;
// that what is absent satisfies nothing; and that what cannot be evaluated denies, whether it would allow or deny.
func TestConditionsSeeWhatTheCallSays(t *testing.T) {
	const no, yes, fails = "no", "yes", "fails"
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	d := conditional(t, noon)
	var sent []string
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		sent = append(sent, call.Target+string(call.Request.Arguments.Of(call.Body)))
		return echo(call), nil
	}
	for _, test := range []struct{ when, method, name, arguments, want string }{
		{`arguments.path.startsWith("/etc/")`, "tools/call", "old__get", `{"path":"/etc/passwd"}`, yes},
		{`arguments.path.startsWith("/etc/")`, "tools/call", "old__get", `{"path":"\u002fetc/passwd"}`, yes},
		{`arguments.path.startsWith("/etc/")`, "tools/call", "new__get", `{"path":"/tmp/x"}`, no},
		{`arguments.path.startsWith("/etc/")`, "tools/call", "new__get", `{}`, no},
		{`arguments.path.startsWith("/etc/")`, "tools/call", "new__get", ``, no},
		{`arguments.path.startsWith("/etc/")`, "tools/call", "new__get", `{"path":["/etc/"]}`, fails},
		{`arguments.path.startsWith("/etc/")`, "tools/call", "new__get", `{"path":null}`, fails},
		{`arguments.a.b[1].c == 2`, "tools/call", "old__get", `{"a":{"b":[0,{"c":2}]}}`, yes},
		{`arguments.a.b[1].c == 2`, "tools/call", "old__get", `{"a":{"b":[0,{"d":2}]}}`, no},
		{`arguments.a.b[1].c == 2`, "tools/call", "old__get", `{"a":{"b":[0]}}`, fails},
		{`arguments.all.exists(x, x > 10)`, "tools/call", "old__get", `{"all":[1,2,11]}`, yes},
		{`arguments.n == 9007199254740993`, "tools/call", "old__get", `{"n":9007199254740993}`, yes},
		{`arguments.n == 9007199254740993`, "tools/call", "old__get", `{"n":9007199254740992}`, no},
		{`arguments.n > 9223372036854775807u`, "tools/call", "old__get", `{"n":18446744073709551615}`, yes},
		{`arguments.n > 1`, "tools/call", "old__get", `{"n":123456789012345678901234567890}`, fails},
		{`arguments.who == "eve"`, "prompts/get", "new__greet", `{"who":"eve"}`, yes},
		{`arguments.who == "eve"`, "prompts/get", "new__greet", `{"who":"bob"}`, no},
		{`arguments.uri.endsWith("/7")`, "resources/read", "new+file:///t/7", "", yes},
		{`arguments.uri == "file:///a" && tool.kind == "resource"`, "resources/read", "old+file:///a", "", yes},
		{`arguments.uri == "old+file:///a"`, "resources/read", "old+file:///a", "", no}, // It is the server's own URI.
		{`client.name == "claude" && client.version == "2"`, "tools/call", "old__get", "", yes},
		{`client.name == "other"`, "resources/read", "new+file:///a", "", no},
		{`now == timestamp("2026-11-22T12:00:00Z")`, "tools/call", "old__get", "", yes},
		{`now.getHours("America/New_York") > 9`, "prompts/get", "old__greet", "", no},
		{`principal.user == "ana" && tool.server == "old"`, "tools/call", "old__get", "", yes},
		{`"eng" in principal.groups`, "tools/call", "old__get", "", no}, // She has no groups.
	} {
		params := `"name":"` + test.name + `"`
		if test.method == "resources/read" {
			params = `"uri":"` + test.name + `"`
		}
		if test.arguments != "" {
			params += `,"arguments":` + test.arguments
		}
		for _, effect := range []snapshotv1.Effect{snapshotv1.Effect_EFFECT_ALLOW, snapshotv1.Effect_EFFECT_DENY} {
			d.only(effect, test.when)
			for _, era := range []string{mcp.Version20251125, mcp.Version20260728} {
				sent = nil
				got := d.send(d.asked(era, test.method, test.name, params))
				allowed := (test.want == yes) == (effect == snapshotv1.Effect_EFFECT_ALLOW) && test.want != fails
				event, what := d.audit.taken()[0], effect.String()+" when "+test.when+" of "+era+": "+test.arguments
				if allowed != (got.Error.Code == 0) || allowed != (len(sent) == 1) || allowed != (event.GetDecision() == auditv1.Decision_DECISION_ALLOW) {
					t.Errorf("%s: sent %q, answered %s, recorded %v", what, sent, got.body, event)
				}
				if len(sent) == 1 && !strings.HasSuffix(sent[0], test.arguments) {
					t.Errorf("%s: %q was sent", what, sent)
				}
				rule := map[bool]string{true: "cond", false: map[bool]string{true: "rest", false: "role:dev"}[effect == snapshotv1.Effect_EFFECT_ALLOW]}[test.want != no]
				if event.GetRule() != rule || !allowed && got.Error.Data["rule"] != rule {
					t.Errorf("%s: rule %q, answered %s; want %s", what, event.GetRule(), got.body, rule)
				}
				if test.want == fails && (!strings.Contains(got.Error.Message, `"cond" could not be evaluated`) || event.GetReason() == "") {
					t.Errorf("%s: answered %s, recorded %q", what, got.body, event.GetReason())
				}
			}
		}
	}
}

// Of a legacy client counts what it said when it opened its session, and a User-Agent is no claim at all.
func TestAClientIsWhoItSaidItWas(t *testing.T) {
	d := conditional(t, time.Now())
	d.only(snapshotv1.Effect_EFFECT_ALLOW, `client.name == "claude" || client.name == "test-client"`)
	for what, test := range map[string]struct {
		message *message
		allowed bool
	}{
		"session": {d.asked(mcp.Version20251125, "tools/call", "old__get", `"name":"old__get"`), true},
		"session, with other words in the message": {d.asked(mcp.Version20251125, "tools/call", "old__get",
			`"name":"old__get","_meta":{"io.modelcontextprotocol/clientInfo":{"name":"other","version":"1"}}`), true},
		"session without a name": {d.bare(rpc("tools/call", `"name":"old__get"`)).with(func(m *message) { m.inSession = true }), false},
		"session without a name, with one in the message": {d.bare(rpc("tools/call",
			`"name":"old__get","_meta":{"io.modelcontextprotocol/clientInfo":{"name":"claude","version":"1"}}`)).with(func(m *message) { m.inSession = true }), false},
	} {
		if got := d.send(test.message); (got.Error.Code == 0) != test.allowed {
			t.Errorf("%s: %s", what, got.body)
		}
	}
}

// TestT29_AConditionThatFailsLetsNothingThrough injects a failure into the decision on each method, in both eras, and on
// what servers ask, of rules that allow and that deny.
func TestT29_AConditionThatFailsLetsNothingThrough(t *testing.T) {
	d := conditional(t, time.Now())
	asks := 0
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		for _, method := range []string{"sampling/createMessage", "elicitation/create", "roots/list"} {
			if call.Permit(method, nil) == nil {
				asks++
			}
		}
		return echo(call), nil
	}
	messages := []struct{ method, name, params string }{
		{"tools/call", "old__get", `"name":"old__get"`}, {"tools/call", "new__get", `"name":"new__get","arguments":{}`},
		{"prompts/get", "new__greet", `"name":"new__greet"`}, {"resources/read", "old+file:///a", `"uri":"old+file:///a"`},
		{"resources/read", "new+other:x", `"uri":"new+other:x"`},
		{"completion/complete", "", `"ref":{"type":"ref/prompt","name":"new__greet"},"argument":{"name":"a","value":""}`},
		{"completion/complete", "", `"ref":{"type":"ref/resource","uri":"old+file:///t/{id}"},"argument":{"name":"id","value":""}`},
		{"resources/subscribe", "", `"uri":"old+file:///a"`}, {"resources/subscribe", "", `"uri":"new+file:///a"`},
		{"resources/unsubscribe", "", `"uri":"new+file:///a"`},
	}
	const fails = `1 / (size(client.name) - 6) > 0`
	for _, effect := range []snapshotv1.Effect{snapshotv1.Effect_EFFECT_ALLOW, snapshotv1.Effect_EFFECT_DENY} {
		d.only(effect, fails)
		before := d.up.calls.Load()
		for _, m := range messages {
			for _, era := range []string{mcp.Version20251125, mcp.Version20260728} {
				if era == mcp.Version20260728 && strings.HasSuffix(m.method, "subscribe") {
					continue // It has no such method.
				}
				got := d.send(d.asked(era, m.method, m.name, m.params))
				if got.Error.Code != mcp.CodeDenied || got.Error.Data["rule"] != "cond" {
					t.Errorf("%s of %s under %v: %d %s", m.method, era, effect, got.status, got.body)
				}
			}
		}
		if n := d.up.calls.Load() - before; n != 0 {
			t.Errorf("%d calls reached a server", n)
		}
		// The call is let through, and what its server asks is not.
		d.only(effect, fails, "sampling/createMessage", "elicitation/create", "roots/list")
		if got := d.send(d.asked(mcp.Version20251125, "tools/call", "old__get", `"name":"old__get"`)); got.Error.Code != 0 || d.up.calls.Load() != before+1 {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
	if asks != 0 {
		t.Errorf("servers could ask %d times", asks)
	}
}

// What a server asks while it answers knows who asks and when, and has no arguments.
func TestWhatAServerAsksIsDecidedWithoutArguments(t *testing.T) {
	d := conditional(t, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	var allowed bool
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		allowed = call.Permit("sampling/createMessage", nil) == nil
		return echo(call), nil
	}
	for when, want := range map[string]bool{
		`client.name == "claude"`: true, `client.name == "other"`: false, `now.getHours() == 12`: true, `arguments.a == 1`: false, `!has(arguments.a)`: false,
	} {
		d.only(snapshotv1.Effect_EFFECT_ALLOW, when, "sampling/createMessage")
		for _, era := range []string{mcp.Version20251125, mcp.Version20260728} {
			allowed = !want
			got := d.send(d.asked(era, "tools/call", "old__get", `"name":"old__get","arguments":{"a":1}`))
			if got.Error.Code != 0 || allowed != want {
				t.Errorf("%s, %s: may ask %v; %s", when, era, allowed, got.body)
			}
		}
	}
}

// TestT36_EachMessageOfABatchHasItsOwnArguments: a condition sees those of its element, whatever stands around it.
func TestT36_EachMessageOfABatchHasItsOwnArguments(t *testing.T) {
	d := conditional(t, time.Now())
	d.only(snapshotv1.Effect_EFFECT_DENY, `arguments.force == true`)
	element := func(id, arguments string) string {
		return `{"jsonrpc":"2.0","id":` + id + `,"method":"tools/call","params":{"name":"old__get","arguments":` + arguments + `}}`
	}
	got := d.send(d.batch(element("1", `{"force":true}`), element("2", `{"force":false}`), element("3", `{"force":true}`), element("4", `{}`)))
	for _, want := range []string{`"id":1,"error":{"code":1403`, `"id":2,"result"`, `"id":3,"error":{"code":1403`, `"id":4,"result"`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("no %s in %s", want, got.body)
		}
	}
	if n := d.up.calls.Load(); got.status != http.StatusOK || n != 2 {
		t.Errorf("HTTP %d, %d calls", got.status, n)
	}
}

// What may be called for some arguments is in the list, what for none is not, and neither a wrong time nor a wrong client
// changes it: lists are of profiles.
func TestListsHoldWhatSomeCallMayUse(t *testing.T) {
	d := conditional(t, time.Now())
	for when, want := range map[string]bool{
		`arguments.force == true`: true, `client.name == "other"`: true, `now.getFullYear() == 1999`: true, `tool.server == "old"`: true, `principal.user == "bob"`: false,
	} {
		d.only(snapshotv1.Effect_EFFECT_ALLOW, when)
		for _, era := range []string{mcp.Version20251125, mcp.Version20260728} {
			if got := d.send(d.asked(era, "tools/list", "", "")); strings.Contains(got.body, `"old__get"`) != want || got.Error.Code != 0 {
				t.Errorf("%s, %s: %s", when, era, got.body)
			}
		}
	}
}
