package admin

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

const conditional = `rules:
  - {name: web-only, priority: -2, effect: deny, groups: [web], tools: ["github/delete_*"]}
  - {name: no-prod, effect: deny, tools: ["github/list_*"], when: 'arguments.repo == "prod"'}
  - {name: no-night, priority: -1, effect: deny, tools: ["github/delete_*"], when: 'now.getHours() < 6'}
  - {name: no-inspector, effect: deny, tools: ["github/delete_*"], when: 'client.name == "inspector" && client.version == "1"'}
`

// matched returns the step that decided.
func matched(m *adminv1.ExplainDecisionResponse) *adminv1.ExplainStep {
	for _, s := range m.GetSteps() {
		if s.GetMatched() {
			return s
		}
	}
	return nil
}

func TestExplainLooksAtWhatConditionsSee(t *testing.T) {
	r := policed(t)
	r.apply(t, conditional, nil).or(t)
	day := timestamppb.New(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
	for _, c := range []struct {
		why     string
		request *adminv1.ExplainDecisionRequest
		rule    string
		open    bool
	}{
		{"without arguments", &adminv1.ExplainDecisionRequest{Tool: "github/list_repos"}, "role:developer", true},
		{"with arguments", &adminv1.ExplainDecisionRequest{Tool: "github/list_repos", Arguments: `{"repo":"prod"}`}, "no-prod", false},
		{"with others", &adminv1.ExplainDecisionRequest{Tool: "github/list_repos", Arguments: `{"repo":"x"}`}, "role:developer", false},
		{"in a group", &adminv1.ExplainDecisionRequest{Tool: "github/delete_repo", Groups: []string{"web"}}, "web-only", false},
		{"at night", &adminv1.ExplainDecisionRequest{Tool: "github/delete_repo", At: timestamppb.New(day.AsTime().Add(15 * time.Hour))}, "no-night", false},
		{"by day", &adminv1.ExplainDecisionRequest{Tool: "github/delete_repo", At: day}, "role:developer", true},
		{"with a client", &adminv1.ExplainDecisionRequest{Tool: "github/delete_repo", At: day, ClientName: "inspector", ClientVersion: "1"}, "no-inspector", false},
	} {
		t.Run(c.why, func(t *testing.T) {
			c.request.User = "ana"
			got := r.explain(t, c.request).or(t)
			if got.GetRule() != c.rule || got.GetOpen() != c.open || matched(got) == nil {
				t.Errorf("by %s, open %v, want %s, %v\n%v", got.GetRule(), got.GetOpen(), c.rule, c.open, got.GetSteps())
			}
		})
	}
}

// Whoever is allowed a call sees which limits it counts against, with whose bucket; whoever
// is denied it sees none.
func TestExplainNamesTheLimitsOfAnAllowedCall(t *testing.T) {
	r := policed(t)
	r.apply(t, `rules:
  - {name: no-deletes, effect: deny, tools: ["github/delete_*"]}
limits:
  - {name: elsewhere, per: all, calls: 1, window: 1s, tools: ["mail/*"]}
  - {name: gentle, per: tool, calls: 600, window: 1h, burst: 5}
  - {name: own, per: user, calls: 60, window: 1m, roles: [developer]}
`, nil).or(t)
	limits := func(tool string) (details []string) {
		t.Helper()
		for _, s := range r.explain(t, &adminv1.ExplainDecisionRequest{User: "ana", Tool: tool}).or(t).GetSteps() {
			if s.GetStage() == "limit" {
				details = append(details, s.GetName()+": "+s.GetDetail())
			}
		}
		return details
	}
	want := []string{"gentle: at most 600 calls in 1h for tool github/list_repos, 5 at once", "own: at most 60 calls in 1m for user ana, 6 at once"}
	if got := limits("github/list_repos"); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := limits("github/delete_repo"); got != nil {
		t.Errorf("a call that is denied has limits: %q", got)
	}
}

func TestExplainOfAKeyKnowsWhoseItIsAndWhatItIsGoodFor(t *testing.T) {
	r := policed(t)
	r.add(t, "mail", newUpstream(t, tool("send", "x")), true)
	must(r.local.applications.CreateApplication(t.Context(), connect.NewRequest(&adminv1.CreateApplicationRequest{Name: "ci"}))).or(t)
	key := must(r.local.keys.CreateKey(t.Context(), connect.NewRequest(&adminv1.CreateKeyRequest{User: "ana", Application: "ci", Servers: []string{"mail"}}))).or(t).GetDetails().GetId()
	got := r.explain(t, &adminv1.ExplainDecisionRequest{KeyId: key, Tool: "github/list_repos"}).or(t)
	if got.GetRule() != "key-servers" || got.GetDecision() != "deny" {
		t.Errorf("%v", got)
	}
	r.explain(t, &adminv1.ExplainDecisionRequest{KeyId: key, User: "vic", Tool: "github/list_repos"}).
		refused(t, connect.CodeInvalidArgument, "is of user ana and application ci")
	r.explain(t, &adminv1.ExplainDecisionRequest{KeyId: "none", Tool: "github/list_repos"}).refused(t, connect.CodeNotFound, "warder key list")
}

func TestRecordedCallIsExplainedAsItWasAsked(t *testing.T) {
	r := policed(t)
	r.apply(t, conditional, nil).or(t)
	r.insertCalls(t, []db.CopyAuditCallsParams{recordedCall(1), func() db.CopyAuditCallsParams {
		call := recordedCall(2)
		call.Tool, call.Decision, call.Rule = "delete_repo", "allow", "role:owner"
		call.Roles, call.Groups = []string{"owner"}, []string{"web"}
		return call
	}(), func() db.CopyAuditCallsParams {
		call := recordedCall(3)
		call.Server, call.Tool, call.Risk, call.Rule, call.Decision = "", "nothing", "", "unknown-tool", "deny"
		return call
	}(), func() db.CopyAuditCallsParams {
		call := recordedCall(4)
		call.Tool = "gone"
		return call
	}()})
	id := func(n int) string { return hex.EncodeToString(recordedCall(n).ID) }

	got := r.explain(t, &adminv1.ExplainDecisionRequest{CallId: id(1)}).or(t)
	if got.GetDecision() != "allow" || got.GetRule() != "role:developer" || !got.GetOpen() || got.GetRecorded().GetId() != id(1) {
		t.Errorf("%v", got)
	}
	got = r.explain(t, &adminv1.ExplainDecisionRequest{CallId: id(1), Arguments: `{"repo":"prod"}`}).or(t)
	if got.GetDecision() != "deny" || got.GetRule() != "no-prod" || got.GetRecorded().GetDecision() != "allow" {
		t.Errorf("%v", got)
	}
	// With the groups and roles of then, beside what was decided then.
	got = r.explain(t, &adminv1.ExplainDecisionRequest{CallId: id(2)}).or(t)
	if got.GetDecision() != "deny" || got.GetRule() != "web-only" || got.GetRecorded().GetRule() != "role:owner" {
		t.Errorf("%v", got)
	}
	got = r.explain(t, &adminv1.ExplainDecisionRequest{CallId: id(4)}).or(t)
	if got.GetRule() != "governance" || !strings.Contains(got.GetReason(), "catalogue no more") {
		t.Errorf("%v", got)
	}
	r.explain(t, &adminv1.ExplainDecisionRequest{CallId: id(3)}).refused(t, connect.CodeFailedPrecondition, "unknown-tool")
	r.explain(t, &adminv1.ExplainDecisionRequest{CallId: id(9)}).refused(t, connect.CodeNotFound, "warder audit list")
	r.explain(t, &adminv1.ExplainDecisionRequest{CallId: "odd"}).refused(t, connect.CodeInvalidArgument, "32 hexadecimal digits")
	r.explain(t, &adminv1.ExplainDecisionRequest{CallId: id(1), User: "ana"}).refused(t, connect.CodeInvalidArgument, "give call_id alone")
}
