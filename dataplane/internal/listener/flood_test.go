package listener

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

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
