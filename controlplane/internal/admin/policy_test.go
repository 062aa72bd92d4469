package admin

import (
	"sync"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

const document = `rules:
  - name: no-deletes
    priority: 10
    effect: deny
    reason: Deleting repositories needs a person
    tools: ["github/delete_*"]
    roles: [developer]
tests:
  - as: {user: ana}
    call: github/delete_repo
    expect: deny
`

func (r *rig) apply(t *testing.T, text string, expected *int64) result[adminv1.ApplyPolicyResponse] {
	t.Helper()
	return must(r.local.policy.ApplyPolicy(t.Context(), connect.NewRequest(&adminv1.ApplyPolicyRequest{Document: text, ExpectedVersion: expected})))
}

func (r *rig) explain(t *testing.T, m *adminv1.ExplainDecisionRequest) result[adminv1.ExplainDecisionResponse] {
	t.Helper()
	return must(r.local.policy.ExplainDecision(t.Context(), connect.NewRequest(m)))
}

// policed is a rig with a server github, and ana, a developer.
func policed(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	must(r.local.roles.CreateRole(t.Context(), connect.NewRequest(&adminv1.CreateRoleRequest{
		Name: "developer", Grants: []*adminv1.Grant{{Tools: []string{"github/*"}}},
	}))).or(t)
	r.person(t, "ana", "developer")
	r.person(t, "vic", "viewer")
	r.add(t, "github", newUpstream(t, tool("delete_repo", "Deletes."), tool("list_repos", "Lists."), tool("new", "x")), false)
	r.approve(t, &adminv1.ApproveToolsRequest{Names: []string{"github/delete_repo", "github/list_repos"}}).or(t)
	return r
}

func TestApplyPolicyKeepsVersions(t *testing.T) {
	r := policed(t)
	none := must(r.local.policy.GetPolicy(t.Context(), connect.NewRequest(&adminv1.GetPolicyRequest{}))).or(t).GetPolicy()
	if none.GetVersion() != 0 || none.GetDocument() != "" {
		t.Errorf("policy %v", none)
	}
	first := r.apply(t, document, new(int64(0))).or(t)
	if first.GetPolicy().GetVersion() != 1 || first.GetRevision() != r.CurrentSet().Revision() {
		t.Errorf("first %v", first)
	}
	r.apply(t, "rules: []\n", new(int64(1))).or(t)
	r.apply(t, document, new(int64(1))).refused(t, connect.CodeAborted, "version 2 of the policy is in force")
	r.apply(t, document, nil).or(t)
	got := must(r.local.policy.GetPolicy(t.Context(), connect.NewRequest(&adminv1.GetPolicyRequest{}))).or(t).GetPolicy()
	if got.GetVersion() != 3 || got.GetDocument() != document || got.GetCreatedBy() != "@local" || len(got.GetRules()) != 1 {
		t.Errorf("policy %v", got)
	}
	if rule := got.GetRules()[0]; rule.GetEffect() != "deny" || rule.GetName() != "no-deletes" || rule.GetPriority() != 10 {
		t.Errorf("rule %v", rule)
	}
}

// Of many who began from the same version, one wins: nobody's document is
// replaced by somebody who never saw it.
func TestApplyPolicyOfManyAtOnceLosesNobodysVersion(t *testing.T) {
	r := newRig(t)
	for version := range int64(5) {
		var won atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				_, err := r.local.policy.ApplyPolicy(t.Context(), connect.NewRequest(&adminv1.ApplyPolicyRequest{
					Document: "rules: []\n", ExpectedVersion: &version,
				}))
				if err == nil {
					won.Add(1)
				} else if connect.CodeOf(err) != connect.CodeAborted {
					t.Errorf("ApplyPolicy = %v", err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d replaced version %d", won.Load(), version)
		}
	}
}

func TestApplyPolicyRefusesWhatIsWrongAndKeepsWhatWas(t *testing.T) {
	r := policed(t)
	r.apply(t, document, nil).or(t)
	before := r.CurrentSet().Digest()
	for name, c := range map[string]struct{ text, want string }{
		"no YAML":         {"rules: [", "line"},
		"unknown field":   {"rules:\n  - name: a\n    effect: deny\n    tool: x\n", "tool"},
		"unknown effect":  {"rules:\n  - name: a\n    effect: maybe\n", "effect"},
		"failing test":    {"rules: []\ntests:\n  - as: {user: ana}\n    call: github/delete_repo\n    expect: deny\n", "test"},
		"viewer, failing": {"rules: []\ntests:\n  - as: {user: vic}\n    call: github/delete_repo\n    expect: allow\n", "test"},
	} {
		t.Run(name, func(t *testing.T) { r.apply(t, c.text, nil).refused(t, connect.CodeInvalidArgument, c.want) })
	}
	r.apply(t, "", nil).refused(t, connect.CodeInvalidArgument, "document:")
	if r.CurrentSet().Digest() != before {
		t.Error("a refused document changed the snapshot")
	}
}

func TestExplainDecision(t *testing.T) {
	r := policed(t)
	r.apply(t, document, nil).or(t)
	for _, c := range []struct {
		user, tool     string
		decision, rule string
		stage          string // of the step that matched last
	}{
		{"ana", "github/delete_repo", "deny", "no-deletes", "rule"},
		{"ana", "github/list_repos", "allow", "role:developer", "role"},
		{"vic", "github/list_repos", "allow", "role:viewer", "role"},
		{"vic", "github/delete_repo", "deny", "default-deny", "default"},
		{"ana", "github/new", "deny", "governance", "governance"},
	} {
		t.Run(c.user+" "+c.tool, func(t *testing.T) {
			got := r.explain(t, &adminv1.ExplainDecisionRequest{User: c.user, Application: "cursor", Tool: c.tool}).or(t)
			if got.GetDecision() != c.decision || got.GetRule() != c.rule || got.GetReason() == "" || got.GetRevision() != r.CurrentSet().Revision() {
				t.Errorf("decision %v", got)
			}
			var stage string
			for _, s := range got.GetSteps() {
				if s.GetMatched() {
					stage = s.GetStage()
				}
			}
			if stage != c.stage || got.GetSteps()[0].GetStage() != "governance" {
				t.Errorf("steps %v, want %s", got.GetSteps(), c.stage)
			}
		})
	}
}

func TestExplainNamesWhatHoldsAToolBack(t *testing.T) {
	r := policed(t)
	explain := func(want string) {
		t.Helper()
		got := r.explain(t, &adminv1.ExplainDecisionRequest{User: "ana", Tool: "github/list_repos"}).or(t)
		if got.GetDecision() != "deny" || got.GetRule() != "governance" || got.GetReason() != want {
			t.Errorf("got %q %q, want %q", got.GetRule(), got.GetReason(), want)
		}
	}
	must(r.local.tools.DisableTools(t.Context(), connect.NewRequest(&adminv1.DisableToolsRequest{Names: []string{"github/list_repos"}}))).or(t)
	explain("github/list_repos is disabled")
	must(r.local.tools.RejectTools(t.Context(), connect.NewRequest(&adminv1.RejectToolsRequest{Names: []string{"github/list_repos"}}))).or(t)
	explain("github/list_repos was rejected")
}

func TestExplainDecisionRefuses(t *testing.T) {
	r := policed(t)
	for name, c := range map[string]struct {
		request *adminv1.ExplainDecisionRequest
		code    connect.Code
		text    string
	}{
		"unknown user":  {&adminv1.ExplainDecisionRequest{User: "bob", Tool: "github/new"}, connect.CodeNotFound, "warder user list"},
		"unknown tool":  {&adminv1.ExplainDecisionRequest{User: "ana", Tool: "github/x"}, connect.CodeNotFound, "warder tool list"},
		"no tool":       {&adminv1.ExplainDecisionRequest{User: "ana", Tool: "github"}, connect.CodeInvalidArgument, "server/tool"},
		"bad arguments": {&adminv1.ExplainDecisionRequest{User: "ana", Tool: "github/new", Arguments: "[1]"}, connect.CodeInvalidArgument, "JSON object"},
		"two arguments": {&adminv1.ExplainDecisionRequest{User: "ana", Tool: "github/new", Arguments: `{} {}`}, connect.CodeInvalidArgument, "JSON object"},
	} {
		t.Run(name, func(t *testing.T) { r.explain(t, c.request).refused(t, c.code, c.text) })
	}
}
