package admin

import (
	"context"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	"github.com/warder-gateway/warder/internal/snapshot"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// stageGovernance is the stage of a tool that no snapshot holds.
const stageGovernance = "governance"

// How long an explanation waits for the snapshot of the revision that is
// committed, and how often it looks.
const (
	settleWait = 2 * time.Second
	settlePoll = 20 * time.Millisecond
)

// ExplainDecision decides on the snapshot that nodes have, and says why.
func (p policies) ExplainDecision(ctx context.Context, r *connect.Request[adminv1.ExplainDecisionRequest]) (*connect.Response[adminv1.ExplainDecisionResponse], error) {
	m := r.Msg
	server, tool, err := splitTool(m.GetTool())
	if err != nil {
		return nil, err
	}
	if err := checkArguments(m.GetArguments()); err != nil {
		return nil, err
	}
	caller, err := p.subject(ctx, m.GetUser(), m.GetApplication())
	if err != nil {
		return nil, err
	}
	row, err := p.Store.GetTool(ctx, db.GetToolParams{Server: server, Name: tool})
	if fault.Is(err, fault.NotFound) {
		return nil, noTool(m.GetTool())
	}
	if err != nil {
		return nil, err
	}
	set, err := p.settled(ctx)
	if err != nil {
		return nil, err
	}
	item, served := set.Get("tool/" + server + "/" + tool)
	if !served {
		return reply(withheld(set.Revision(), row)), nil
	}
	compiled, err := compilePolicy(set)
	if err != nil {
		return nil, err
	}
	decision, steps := policy.Explain(compiled, &policy.Request{
		Principal: caller, Method: policy.MethodCall,
		Target: policy.Target{Server: server, Name: tool, Risk: item.GetTool().GetRisk()},
	})
	return reply(explanation(decision, steps)), nil
}

// subject is the principal that a call of this user would have.
func (p policies) subject(ctx context.Context, user, application string) (*principal.Principal, error) {
	row, err := p.Store.GetUser(ctx, user)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.Newf(fault.NotFound, "there is no user %q; 'warder user list' shows the users", user)
	}
	if err != nil {
		return nil, err
	}
	return &principal.Principal{User: row.Name, Roles: row.Roles, Application: application}, nil
}

// settled returns the current snapshot, after waiting a moment for it to catch
// up with what is committed: who applies a policy and asks at once means the new
// one. If it does not, the answer names the revision that it is about.
func (p policies) settled(ctx context.Context) (*snapshot.Set, error) {
	committed, err := p.Store.GetRevision(ctx)
	if err != nil {
		return nil, err
	}
	deadline := time.NewTimer(settleWait)
	defer deadline.Stop()
	poll := time.NewTicker(settlePoll)
	defer poll.Stop()
	for {
		set := p.CurrentSet()
		if set != nil && set.Revision() >= uint64(committed.Revision) {
			return set, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-deadline.C:
			if set == nil {
				return nil, fault.New(fault.Unavailable, "no snapshot has been compiled yet; try again in a moment")
			}
			return set, nil
		case <-poll.C:
		}
	}
}

// withheld is the answer for a tool that nodes do not have.
func withheld(revision uint64, row db.GetToolRow) *adminv1.ExplainDecisionResponse {
	reason := whyWithheld(row)
	return &adminv1.ExplainDecisionResponse{
		Decision: "deny", Rule: stageGovernance, Reason: reason, Revision: revision,
		Steps: []*adminv1.ExplainStep{{Stage: stageGovernance, Matched: true, Detail: reason}},
	}
}

func whyWithheld(row db.GetToolRow) string {
	full := row.Server + "/" + row.Name
	switch {
	case row.State == "pending":
		return fmt.Sprintf("%s is pending: nobody has approved it yet (warder tool approve %s)", full, full)
	case row.State == "changed":
		return fmt.Sprintf("%s has changed since it was approved (warder tool show %s)", full, full)
	case row.State == "rejected":
		return full + " was rejected"
	case row.Disabled:
		return full + " is disabled"
	case row.Missing:
		return full + " is not offered by its server any more"
	}
	return full + " is approved, and has not reached the snapshot of nodes yet"
}

// explanation is the answer for a tool that nodes have.
func explanation(decision policy.Decision, steps []policy.Step) *adminv1.ExplainDecisionResponse {
	m := &adminv1.ExplainDecisionResponse{
		Decision: "deny", Rule: decision.Rule, Reason: decision.Reason, Revision: decision.Revision,
		Steps: []*adminv1.ExplainStep{{Stage: stageGovernance, Detail: "the tool is approved, enabled and offered as it was approved"}},
	}
	if decision.Allowed() {
		m.Decision = "allow"
	}
	for _, s := range steps {
		m.Steps = append(m.Steps, &adminv1.ExplainStep{Stage: s.Stage, Name: s.Name, Matched: s.Matched, Detail: s.Detail})
	}
	return m
}

// compilePolicy compiles the policy of a snapshot as a node does.
func compilePolicy(set *snapshot.Set) (*policy.Set, error) {
	var rules []*snapshotv1.Rule
	var held []*snapshotv1.Role
	var denies []*snapshotv1.Deny
	for _, item := range set.All() {
		switch {
		case item.GetRule() != nil:
			rules = append(rules, item.GetRule())
		case item.GetRole() != nil:
			held = append(held, item.GetRole())
		case item.GetDeny() != nil:
			denies = append(denies, item.GetDeny())
		}
	}
	compiled, err := policy.Compile(set.Revision(), rules, held, denies)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, "the policy in force does not compile; the log of the control plane has the cause", err)
	}
	return compiled, nil
}

// checkArguments refuses arguments that no client could send.
func checkArguments(arguments string) error {
	if arguments == "" {
		return nil
	}
	if err := mcp.Members([]byte(arguments), func(string, mcp.Span) error { return nil }); err != nil {
		return fault.Wrap(fault.Invalid, "the arguments are not one JSON object", err)
	}
	return nil
}
