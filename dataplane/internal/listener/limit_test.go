package listener

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/dataplane/internal/limit"
	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// limited opens a door to rich servers whose calls are limited, and whose clock the test
// moves. Ana has a second key, of another application.
func limited(t *testing.T, limits ...*snapshotv1.Limit) (d *door, now *time.Time, ci apikey.Key) {
	t.Helper()
	now = new(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	d = &door{t: t, up: &server{}, audit: &queue{}, limits: limit.New(), clock: func() time.Time { return *now }}
	d.up.do = func(_ context.Context, call *upstream.Call, _ upstream.Sink) (*upstream.Answer, error) {
		return echo(call), nil
	}
	d.index.Store(d.richWorld(1, func(w *gatetest.World) {
		for _, l := range limits {
			w.Limit(l)
		}
		ci = w.Key("ana", "ci", time.Time{})
	}))
	d.start()
	return d, now, ci
}

// hourly returns a limit of two calls an hour, one at once.
func hourly(per snapshotv1.LimitPer) *snapshotv1.Limit {
	return &snapshotv1.Limit{Name: "hourly", Per: per, Calls: 2, Burst: 1, Window: durationpb.New(time.Hour)}
}

// ask calls a tool as a modern client.
func (d *door) ask(key apikey.Key, name string) answer {
	d.t.Helper()
	return d.send(d.modern("tools/call", name, `"name":"`+name+`"`).with(d.by(key)))
}

// TestEachKindOfLimitHoldsByItself: who and what shares a bucket is refused, who does not
// goes on, and nobody else's calls count.
func TestEachKindOfLimitHoldsByItself(t *testing.T) {
	for _, c := range []struct {
		per                       snapshotv1.LimitPer
		user, application, server bool // whether another one is still admitted
		tool                      bool
	}{
		{per: snapshotv1.LimitPer_LIMIT_PER_USER, user: true},
		{per: snapshotv1.LimitPer_LIMIT_PER_APPLICATION, application: true},
		{per: snapshotv1.LimitPer_LIMIT_PER_SERVER, server: true},
		{per: snapshotv1.LimitPer_LIMIT_PER_TOOL, server: true, tool: true},
		{per: snapshotv1.LimitPer_LIMIT_PER_ALL},
	} {
		for what, other := range map[string]struct {
			admitted bool
			ask      func(d *door, ci apikey.Key) answer
		}{
			"user":        {c.user, func(d *door, _ apikey.Key) answer { return d.ask(d.bob, "old__get") }},
			"application": {c.application, func(d *door, ci apikey.Key) answer { return d.ask(ci, "old__get") }},
			"server":      {c.server, func(d *door, _ apikey.Key) answer { return d.ask(d.ana, "new__get") }},
			"prompt": {c.tool, func(d *door, _ apikey.Key) answer {
				return d.send(d.modern("prompts/get", "old__greet", `"name":"old__greet"`))
			}},
			"resource": {c.tool, func(d *door, _ apikey.Key) answer {
				return d.send(d.modern("resources/read", "old+file:///a", `"uri":"old+file:///a"`))
			}},
		} {
			t.Run(fmt.Sprint(c.per, " and another ", what), func(t *testing.T) {
				d, _, ci := limited(t, hourly(c.per))
				if got := d.ask(d.ana, "old__get"); got.Result == nil {
					t.Fatalf("the first call: %s", got.body)
				}
				if got := d.ask(d.ana, "old__get"); got.Error.Code != mcp.CodeRateLimited {
					t.Errorf("the second call: %s", got.body)
				}
				if got := other.ask(d, ci); (got.Result != nil) != other.admitted {
					t.Errorf("admitted is %v, want %v: %s", got.Result != nil, other.admitted, got.body)
				}
			})
		}
	}
}

// TestWhoRunsIntoALimitIsToldWhenToComeBack holds the answer in both eras, its record and
// its count; and that the call is admitted at the time that it was told.
func TestWhoRunsIntoALimitIsToldWhenToComeBack(t *testing.T) {
	for era, message := range map[string]func(*door) *message{
		"legacy": func(d *door) *message { return d.legacy(rpc("tools/call", `"name":"old__get"`)) },
		"modern": func(d *door) *message { return d.modern("tools/call", "old__get", `"name":"old__get"`) },
		"legacy, as a stream": func(d *door) *message {
			return d.legacy(rpc("tools/call", `"name":"old__get"`)).with(func(m *message) { m.set("Accept", "text/event-stream, application/json;q=0.1") })
		},
	} {
		t.Run(era, func(t *testing.T) {
			l := hourly(snapshotv1.LimitPer_LIMIT_PER_USER)
			l.Calls = 7
			d, now, _ := limited(t, l)
			d.send(message(d))
			d.audit.taken()
			*now = now.Add(time.Second)
			got := d.send(message(d))
			const wait = 3600*1000/7 + 1 - 1000 // milliseconds, rounded up
			for _, want := range []string{
				`"code":1429`, fmt.Sprintf(`"limit":"hourly","retryAfterMs":%d,"callId":"`, wait),
				"Too many calls: the limit of 7 calls per user each 1h (hourly) is used up. Come back in 514 s.",
			} {
				if got.status != 200 || !strings.Contains(got.body, want) {
					t.Errorf("%d %s; want %s", got.status, got.body, want)
				}
			}
			if after := got.header.Get("Retry-After"); after != "514" {
				t.Errorf("Retry-After %q; want 514", after)
			}
			events := d.audit.taken()
			if len(events) != 1 || events[0].GetRule() != "limit:hourly" || events[0].GetDecision() != auditv1.Decision_DECISION_DENY ||
				events[0].GetKind() != auditv1.EventKind_EVENT_KIND_REFUSAL || events[0].GetTool() != "get" || events[0].GetServer() != "old" {
				t.Errorf("recorded %v", events)
			}
			want := "# HELP warder_limit_refusals_total Calls that ran into a limit of the policy, by its name; it is empty for limits beyond the first 1,000 since the start.\n" +
				"# TYPE warder_limit_refusals_total counter\nwarder_limit_refusals_total{limit=\"hourly\"} 1\n"
			if err := testutil.GatherAndCompare(d.metrics, strings.NewReader(want), "warder_limit_refusals_total"); err != nil {
				t.Error(err)
			}
			*now = now.Add(wait * time.Millisecond)
			if got := d.send(message(d)); !strings.Contains(got.body, `"result"`) || got.header.Get("Retry-After") != "" {
				t.Errorf("at the time that was said: %s", got.body)
			}
		})
	}
}

// TestWhatIsNoCallCostsNothing: lists, what policy denies, what does not exist, and what is
// refused for its form leave the one call there.
func TestWhatIsNoCallCostsNothing(t *testing.T) {
	d, _, _ := limited(t, hourly(snapshotv1.LimitPer_LIMIT_PER_USER))
	for _, m := range []*message{
		d.modern("tools/list", "", ""), d.modern("prompts/list", "", ""), d.modern("resources/list", "", ""),
		d.modern("resources/templates/list", "", ""), d.modern("server/discover", "", ""), d.legacy(rpc("ping", "")),
		d.modern("tools/call", "old__delete", `"name":"old__delete"`),
		d.modern("tools/call", "old__nothing", `"name":"old__nothing"`),
		d.modern("tools/call", "old__get", `"name":"new__get"`),
	} {
		if got := d.send(m); got.Error.Code == mcp.CodeRateLimited {
			t.Errorf("%s: %s", m.body, got.body)
		}
	}
	if got := d.ask(d.ana, "old__get"); got.Result == nil {
		t.Errorf("then the first call: %s", got.body)
	}
}

// TestEachMessageOfABatchIsCharged: a batch is no way around a limit.
func TestEachMessageOfABatchIsCharged(t *testing.T) {
	l := hourly(snapshotv1.LimitPer_LIMIT_PER_TOOL)
	l.Burst = 2
	d, _, _ := limited(t, l)
	got := d.send(d.batch(numbered(1, "get"), numbered(2, "get"), numbered(3, "get"), numbered(4, "get")))
	if n := strings.Count(got.body, `"code":1429`); n != 2 || strings.Count(got.body, `"result"`) != 2 {
		t.Errorf("%s; want two results and two refusals", got.body)
	}
}

// TestMadeUpResourcesShareABucket: a client makes up as many URIs as it likes; if each had
// a bucket, a limit per tool would hold nobody, and the buckets of others would not fit.
func TestMadeUpResourcesShareABucket(t *testing.T) {
	for what, uri := range map[string]string{"of a template": "old+file:///t/%d", "of nothing": "old+file:///u/%d"} {
		l := hourly(snapshotv1.LimitPer_LIMIT_PER_TOOL)
		l.Burst = 2
		d, _, _ := limited(t, l)
		read := func(i int) answer {
			uri := fmt.Sprintf(uri, i)
			return d.send(d.modern("resources/read", uri, `"uri":"`+uri+`"`))
		}
		for i, want := range []bool{true, true, false, false} {
			if got := read(i); (got.Result != nil) != want || !want && got.Error.Code != mcp.CodeRateLimited {
				t.Errorf("%s: resource %d: %s", what, i, got.body)
			}
		}
		if got := d.send(d.modern("resources/read", "old+file:///a", `"uri":"old+file:///a"`)); got.Result == nil {
			t.Errorf("%s: the listed resource is refused, too: %s", what, got.body)
		}
	}
}

var _ session.Limits = (*limit.Buckets)(nil)
