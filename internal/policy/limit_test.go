package policy_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestLimitsOfADocument(t *testing.T) {
	document := parse(t, "rules: []\nlimits:\n  - {name: b, per: user, calls: 600, window: 1m, roles: [developer], tools: ['github/*']}\n"+
		"  - {name: a, per: tool, calls: 3, window: 1h, burst: 2, risk: [write]}\n")
	set, err := policy.Compile(1, document.Rules, nil, nil, document.Limits...)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		caller *principal.Principal
		tool   string
		risk   snapshotv1.Risk
		want   []policy.Limit
	}{
		{ana(), "github/x", read, []policy.Limit{{Name: "b", Per: snapshotv1.LimitPer_LIMIT_PER_USER, Calls: 600, Burst: 60, Window: time.Minute}}},
		{ana(), "github/x", unclassified, []policy.Limit{
			{Name: "a", Per: snapshotv1.LimitPer_LIMIT_PER_TOOL, Calls: 3, Burst: 2, Window: time.Hour},
			{Name: "b", Per: snapshotv1.LimitPer_LIMIT_PER_USER, Calls: 600, Burst: 60, Window: time.Minute},
		}},
		{&principal.Principal{User: "bo"}, "github/x", read, nil},
		{ana(), "mail/x", read, nil},
	} {
		r := call(c.caller, c.tool, c.risk)
		got := set.Profile(c.caller).Limits(&r.Target)
		same := len(got) == len(c.want)
		for i := range got {
			same = same && *got[i] == c.want[i]
		}
		if !same {
			t.Errorf("%s of %s: %+v, want %+v", c.tool, c.caller.User, got, c.want)
		}
	}
	if all := set.Limits(); len(all) != 2 || all[0].Name != "a" {
		t.Errorf("%+v", all)
	}
}

func TestBucketIsNamedAfterWhatHasIt(t *testing.T) {
	target := &policy.Target{Server: "github", Name: "x"}
	for per, want := range map[snapshotv1.LimitPer]string{
		snapshotv1.LimitPer_LIMIT_PER_ALL: "", snapshotv1.LimitPer_LIMIT_PER_USER: "ana", snapshotv1.LimitPer_LIMIT_PER_APPLICATION: "cursor",
		snapshotv1.LimitPer_LIMIT_PER_SERVER: "github", snapshotv1.LimitPer_LIMIT_PER_TOOL: "github/x",
	} {
		if got := (&policy.Limit{Per: per}).Bucket(ana(), target).String(); got != want {
			t.Errorf("%v: %q", per, got)
		}
	}
}

func TestP07LimitThatIsNotUnderstoodIsRefused(t *testing.T) {
	for why, change := range map[string]func(*snapshotv1.Limit){
		"name":          func(l *snapshotv1.Limit) { l.Name = "" },
		"no per":        func(l *snapshotv1.Limit) { l.Per = 0 },
		"per":           func(l *snapshotv1.Limit) { l.Per = 6 },
		"calls":         func(l *snapshotv1.Limit) { l.Calls = 0 },
		"burst":         func(l *snapshotv1.Limit) { l.Burst = 0 },
		"no window":     func(l *snapshotv1.Limit) { l.Window = nil },
		"short":         func(l *snapshotv1.Limit) { l.Window = durationpb.New(time.Millisecond) },
		"long":          func(l *snapshotv1.Limit) { l.Window = durationpb.New(25 * time.Hour) },
		"risk":          func(l *snapshotv1.Limit) { l.Risks = []snapshotv1.Risk{9} },
		"glob":          func(l *snapshotv1.Limit) { l.Tools = []string{"x"} },
		"empty user":    func(l *snapshotv1.Limit) { l.Users = []string{""} },
		"unknown field": func(l *snapshotv1.Limit) { unknownField(l) },
	} {
		limit := &snapshotv1.Limit{Name: "l", Per: snapshotv1.LimitPer_LIMIT_PER_USER, Calls: 1, Burst: 1, Window: durationpb.New(time.Second)}
		if _, err := policy.Compile(1, nil, nil, nil, limit); err != nil {
			t.Fatal(err)
		}
		if _, err := policy.Compile(1, nil, nil, nil, limit, limit); err == nil {
			t.Fatal("two of one name")
		}
		change(limit)
		if _, err := policy.Compile(1, nil, nil, nil, limit); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", why, err)
		}
	}
	if _, err := policy.Compile(1, nil, nil, nil, nil); !fault.Is(err, fault.Invalid) {
		t.Errorf("missing: %v", err)
	}
}

func TestLimitErrorNamesPlaceFieldAndRemedy(t *testing.T) {
	const limit = "rules: []\nlimits:\n  - name: l\n    "
	for _, c := range []struct{ why, document, want string }{
		{"no per", limit + "calls: 1", `line 3, column 5: limits[0]: the limit has no per`},
		{"unknown per", limit + "per: users\n    calls: 1\n    window: 1s", `line 4, column 10: limits[0].per: "users" has no bucket of its own; write user, application, server, tool, or all; did you mean "user"?`},
		{"no calls", limit + "per: user\n    calls: 0\n    window: 1s", `line 5, column 12: limits[0].calls: this is a whole number from 1 to 1000000000`},
		{"window without unit", limit + "per: user\n    calls: 1\n    window: 60", `line 6, column 13: limits[0].window: a window has a unit; write 60s, 1m or 24h`},
		{"long window", limit + "per: user\n    calls: 1\n    window: 25h", `limits[0].window: "25h" is not a window; write a time from 1s to 24h`},
		{"condition", limit + "when: 'true'", `limits[0].when: unknown field`},
		{"twice", limit + "per: user\n    calls: 1\n    window: 1s\n  - {name: l, per: all, calls: 1, window: 1s}", `line 7, column 5: limits[1]: the limit in line 3 is called "l" too`},
	} {
		_, err := policy.ParseDocument([]byte(c.document))
		if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Text(err), c.want) {
			t.Errorf("%s: %v, want %s", c.why, err, c.want)
		}
	}
}
