package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/internal/fault"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

func (r *rig) policy(t *testing.T, version int64) result[adminv1.GetPolicyResponse] {
	t.Helper()
	return must(r.local.policy.GetPolicy(t.Context(), connect.NewRequest(&adminv1.GetPolicyRequest{Version: version})))
}

func (r *rig) rollback(t *testing.T, m *adminv1.RollbackPolicyRequest) result[adminv1.RollbackPolicyResponse] {
	t.Helper()
	return must(r.local.policy.RollbackPolicy(t.Context(), connect.NewRequest(m)))
}

func (r *rig) check(t *testing.T, m *adminv1.CheckPolicyRequest) *adminv1.CheckPolicyResponse {
	t.Helper()
	return must(r.local.policy.CheckPolicy(t.Context(), connect.NewRequest(m))).or(t)
}

func TestPolicyMessagesHaveConditionsAndLimits(t *testing.T) {
	r := policed(t)
	applied := must(r.local.policy.ApplyPolicy(t.Context(), connect.NewRequest(&adminv1.ApplyPolicyRequest{Reason: "why not", Document: `rules:
  - {name: by-day, effect: deny, when: 'now.getHours() < 6'}
limits:
  - {name: slow, per: user, calls: 10, window: 1m, risk: [read]}
`}))).or(t)
	for _, p := range []*adminv1.Policy{applied.GetPolicy(), r.policy(t, 1).or(t).GetPolicy()} {
		if p.GetRules()[0].GetWhen() != "now.getHours() < 6" || p.GetReason() != "why not" {
			t.Errorf("%v", p)
		}
		if l := p.GetLimits()[0]; l.GetPer() != "user" || l.GetCalls() != 10 || l.GetBurst() != 1 || l.GetWindow().AsDuration() != time.Minute || l.GetRisks()[0] != "read" {
			t.Errorf("%v", l)
		}
	}
	if remarks := applied.GetRemarks(); len(remarks) != 1 || remarks[0].GetCheck() != "no-tests" || remarks[0].GetSeverity() != "warning" {
		t.Errorf("%v", remarks)
	}
}

func TestRefusedPolicyIsToldAllThatIsWrong(t *testing.T) {
	r := policed(t)
	r.apply(t, "rules:\n  - {name: a, effect: maybe}\n  - {name: b, effect: deny, when: 'principal.usr == 1'}\n", nil).
		refused(t, connect.CodeInvalidArgument, "line 2, column 23: rules[0].effect: \"maybe\"")
	r.apply(t, "rules:\n  - {name: a, effect: maybe}\n  - {name: b, effect: deny, when: 'principal.usr == 1'}\n", nil).
		refused(t, connect.CodeInvalidArgument, "\nline 3, column 45: rules[1].when: undefined field 'usr'")
}

func TestPolicyHistoryKeepsWhoWhyAndWhatWasBroughtBack(t *testing.T) {
	r := policed(t)
	r.apply(t, document, nil).or(t)
	r.apply(t, "rules: []\n", nil).or(t)
	back := r.rollback(t, &adminv1.RollbackPolicyRequest{Version: 1, Reason: "too open", ExpectedVersion: new(int64(2))}).or(t)
	if p := back.GetPolicy(); p.GetVersion() != 3 || p.GetRollbackOf() != 1 || p.GetDocument() != document || back.GetRevision() != r.CurrentSet().Revision() {
		t.Errorf("%v", back)
	}
	if got := r.explain(t, &adminv1.ExplainDecisionRequest{User: "ana", Tool: "github/delete_repo"}).or(t); got.GetDecision() != "deny" {
		t.Errorf("what was brought back does not hold: %v", got)
	}
	var versions []int64
	token := ""
	for range 2 {
		page := must(r.local.policy.ListPolicies(t.Context(), connect.NewRequest(&adminv1.ListPoliciesRequest{PageSize: 2, PageToken: token}))).or(t)
		for _, p := range page.GetPolicies() {
			if versions = append(versions, p.GetVersion()); p.GetDocument() != "" || p.GetCreatedBy() != "@local" || p.GetCreatedAt() == nil {
				t.Errorf("%v", p)
			}
		}
		token = page.GetNextPageToken()
	}
	if !slices.Equal(versions, []int64{3, 2, 1}) || token != "" {
		t.Errorf("versions %v, then %q", versions, token)
	}
	if second := r.policy(t, 2).or(t).GetPolicy(); second.GetDocument() != "rules: []\n" {
		t.Errorf("%v", second)
	}
	if actions := r.actions(t); actions[0] != "policy.rollback policy" {
		t.Errorf("%v", actions[0])
	}
	r.policy(t, 9).refused(t, connect.CodeNotFound, "warder policy history")
}

func TestRollbackRefusesWhatDoesNotHoldToday(t *testing.T) {
	r := policed(t)
	r.apply(t, document, nil).or(t)
	r.apply(t, "rules: []\n", nil).or(t)
	r.rollback(t, &adminv1.RollbackPolicyRequest{Version: 2}).refused(t, connect.CodeFailedPrecondition, "is in force already")
	r.rollback(t, &adminv1.RollbackPolicyRequest{Version: 7}).refused(t, connect.CodeNotFound, "warder policy history")
	r.rollback(t, &adminv1.RollbackPolicyRequest{Version: 1, ExpectedVersion: new(int64(1))}).refused(t, connect.CodeAborted, "version 2 of the policy is in force")
	// Ana is a developer no more, so that the document's own test fails.
	must(r.local.users.UpdateUser(t.Context(), connect.NewRequest(&adminv1.UpdateUserRequest{Name: "ana", Roles: &adminv1.Names{Names: []string{"owner"}}}))).or(t)
	r.rollback(t, &adminv1.RollbackPolicyRequest{Version: 1}).refused(t, connect.CodeFailedPrecondition, "version 1 does not hold today:\n1 of 1 tests")
}

// Who rolls back and who applies at the same time, from the same version, do not
// replace each other unseen.
func TestRollbacksAndAppliesAtOnceLoseNobodysVersion(t *testing.T) {
	r := newRig(t)
	r.apply(t, "rules: []\n", nil).or(t)
	r.apply(t, "rules: []\n# second\n", nil).or(t)
	for version := range int64(3) {
		expected := version + 2
		var won atomic.Int32
		var all sync.WaitGroup
		count := func(err error) {
			if err == nil {
				won.Add(1)
			} else if connect.CodeOf(err) != connect.CodeAborted {
				t.Errorf("%v", err)
			}
		}
		for range 4 {
			all.Go(func() {
				_, err := r.local.policy.RollbackPolicy(t.Context(), connect.NewRequest(&adminv1.RollbackPolicyRequest{Version: 1, ExpectedVersion: &expected}))
				count(err)
			})
			all.Go(func() {
				_, err := r.local.policy.ApplyPolicy(t.Context(), connect.NewRequest(&adminv1.ApplyPolicyRequest{Document: "rules: []\n", ExpectedVersion: &expected}))
				count(err)
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d replaced version %d", won.Load(), expected)
		}
	}
}

func TestCheckPolicySaysWhatApplyingWouldAndChangesNothing(t *testing.T) {
	r := policed(t)
	r.apply(t, document, nil).or(t)
	before := r.CurrentSet().Digest()
	got := r.check(t, &adminv1.CheckPolicyRequest{Document: `rules:
  - name: no-deletes
    effect: deny
    tools: ["github/delete_*"]
  - name: no-more
    effect: deny
    users: [nobody]
    tools: ["gitlab/*"]
    roles: [missing]
    applications: [unheard]
tests:
  - {as: {user: ana}, call: github/delete_repo, expect: allow}
`})
	var remarks []string
	for _, m := range got.GetRemarks() {
		remarks = append(remarks, versionName(int64(m.GetLine()))+":"+versionName(int64(m.GetColumn()))+" "+m.GetSeverity()+" "+m.GetCheck())
	}
	want := []string{
		"7:13 warning unknown-user", "8:13 warning unknown-server", "9:13 warning unknown-role", "10:20 warning unknown-application", "12:5 error test-fails",
	}
	if !slices.Equal(remarks, want) || got.GetTests() != 1 || got.GetFailedTests() != 1 {
		t.Errorf("%q, want %q; %d of %d tests fail", remarks, want, got.GetFailedTests(), got.GetTests())
	}
	changes := got.GetChanges()
	if len(changes) != 2 || changes[0].GetChange() != "changed" || !strings.Contains(changes[0].GetBefore(), "priority: 10") || changes[1].GetChange() != "added" || got.GetVersion() != 1 {
		t.Errorf("%v", changes)
	}
	wrong := r.check(t, &adminv1.CheckPolicyRequest{Document: "rules: [{}]"})
	if m := wrong.GetRemarks(); len(m) != 1 || m[0].GetSeverity() != "error" || m[0].GetLine() != 1 || len(wrong.GetChanges()) != 0 {
		t.Errorf("%v", wrong)
	}
	if r.CurrentSet().Digest() != before || r.policy(t, 0).or(t).GetPolicy().GetVersion() != 1 {
		t.Error("a check changed something")
	}
}

// Checks are bounded in number and time: whoever may read may ask for them.
func TestP13_ChecksOfPoliciesTakeTurnsAndEnd(t *testing.T) {
	r := policed(t)
	for range maxChecks {
		r.checks <- struct{}{}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	request := &adminv1.CheckPolicyRequest{Document: "rules: []"}
	if err := tell(policies{r.API}.CheckPolicy, ctx, request); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a turn: %v", err)
	}
	<-r.checks
	for range 2 * maxChecks { // Each gives its turn back.
		r.check(t, request)
	}
	ended := fmt.Errorf("run test 7 of 9: %w", context.DeadlineExceeded)
	if err := tooSlow(t.Context(), ended); !fault.Is(err, fault.Invalid) || !strings.Contains(fault.Text(err), "longer than 10s") {
		t.Errorf("tests that take too long: %v", err)
	}
	if err := tooSlow(ctx, ended); err != ended {
		t.Errorf("of who has gone: %v", err)
	}
}
