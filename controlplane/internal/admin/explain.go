package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	"github.com/warder-gateway/warder/internal/snapshot"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// The stages that package policy does not have: what no snapshot holds, or holds as
// withheld, and limits.
const (
	stageGovernance = policy.StageGovernance
	stageLimit      = "limit"
)

// How long an explanation waits for the snapshot of the revision that is
// committed, and how often it looks.
const (
	settleWait = 2 * time.Second
	settlePoll = 20 * time.Millisecond
)

// ExplainDecision decides on the snapshot that nodes have, and says why.
func (p policies) ExplainDecision(ctx context.Context, r *connect.Request[adminv1.ExplainDecisionRequest]) (*connect.Response[adminv1.ExplainDecisionResponse], error) {
	if err := checkArguments(r.Msg.GetArguments()); err != nil {
		return nil, err
	}
	read := p.described
	if r.Msg.GetCallId() != "" {
		read = p.recorded
	}
	q, err := read(ctx, r.Msg)
	if err != nil {
		return nil, err
	}
	if arguments := r.Msg.GetArguments(); arguments != "" {
		q.facts.Arguments = []byte(arguments)
	}
	set, err := p.settled(ctx)
	if err != nil {
		return nil, err
	}
	response, err := q.explain(set)
	if err != nil {
		return nil, err
	}
	response.Recorded = q.record
	return reply(response), nil
}

// question is what ExplainDecision decides on.
type question struct {
	asked
	// entry is what the catalogue knows of it; nil: nothing.
	entry  *db.GetEntryRow
	caller *principal.Principal
	method string
	facts  policy.Facts
	// record is the call that the question is about, if one was recorded.
	record *adminv1.Call
}

// described reads the question that a request describes.
func (p policies) described(ctx context.Context, m *adminv1.ExplainDecisionRequest) (q *question, err error) {
	q = &question{facts: policy.Facts{Client: policy.Client{Name: m.GetClientName(), Version: m.GetClientVersion()}, Now: time.Now()}}
	if m.GetAt() != nil {
		q.facts.Now = m.GetAt().AsTime()
	}
	if q.asked, err = readAsked(m); err != nil {
		return nil, err
	}
	if q.method, err = methodOf(policyKind(q.kind), m.GetMethod()); err != nil {
		return nil, err
	}
	if q.caller, err = p.subject(ctx, m); err != nil {
		return nil, err
	}
	q.entry, err = p.known(ctx, q.asked)
	return q, err
}

// explain answers the question by a snapshot.
func (q *question) explain(set *snapshot.Set) (*adminv1.ExplainDecisionResponse, error) {
	found := q.in(set)
	if !found.served {
		if q.entry != nil {
			found.detail = whyWithheld(*q.entry)
		}
		found.detail = cmp.Or(found.detail, q.full+" is in the catalogue no more")
		return withheld(set.Revision(), found.detail), nil
	}
	compiled, err := compilePolicy(set)
	if err != nil {
		return nil, err
	}
	request := &policy.Request{
		Principal: q.caller, Method: q.method, Facts: q.facts,
		Target: policy.Target{Kind: policyKind(q.kind), Server: q.server, Name: q.name, Risk: found.risk},
	}
	decision, steps := policy.Explain(compiled, request)
	response := explanation(found.detail, decision, steps)
	if decision.Allowed() {
		response.Steps = append(response.Steps, limiting(compiled, request)...)
	}
	return response, nil
}

// limiting returns the limits that are about a call. How much of them is left only
// nodes know.
func limiting(set *policy.Set, r *policy.Request) []*adminv1.ExplainStep {
	var steps []*adminv1.ExplainStep
	for _, l := range set.Profile(r.Principal).Limits(&r.Target) {
		per := ""
		if bucket := l.Bucket(r.Principal, &r.Target).String(); bucket != "" {
			per = " for " + policy.PerName(l.Per) + " " + bucket
		}
		steps = append(steps, &adminv1.ExplainStep{
			Stage: stageLimit, Name: l.Name, Detail: fmt.Sprintf("at most %d calls in %s%s, %d at once", l.Calls, policy.Span(l.Window), per, l.Burst),
		})
	}
	return steps
}

// asked is what a decision is asked about.
type asked struct {
	kind               catalog.Kind
	full, server, name string
}

// readAsked takes the one that is given of tool, prompt and resource.
func readAsked(m *adminv1.ExplainDecisionRequest) (a asked, err error) {
	given := 0
	for _, one := range []asked{
		{kind: catalog.Tool, full: m.GetTool()}, {kind: catalog.Prompt, full: m.GetPrompt()},
		{kind: catalog.Resource, full: m.GetResource()},
	} {
		if one.full != "" {
			a, given = one, given+1
		}
	}
	if given != 1 {
		return asked{}, fault.New(fault.Invalid, "say what is asked for: one of a tool, a prompt and a resource")
	}
	a.server, a.name, err = splitName(a.kind, a.full)
	return a, err
}

// methodOf returns the method to decide on: the main one of the kind unless
// another is named.
func methodOf(kind policy.Kind, named string) (string, error) {
	if named == "" {
		return kind.Method(), nil
	}
	if known := kind.Methods(); !slices.Contains(known, named) {
		return "", fault.Newf(fault.Invalid, "no decision about a %s is made for method %q; there are %s", kind, named, strings.Join(known, ", "))
	}
	return named, nil
}

// known returns the entry that is asked about. Of resources there may be ones
// that nobody listed, so that nil is an answer as long as there is the server.
func (p policies) known(ctx context.Context, a asked) (*db.GetEntryRow, error) {
	row, err := p.Store.GetEntry(ctx, db.GetEntryParams{Server: a.server, Kind: string(a.kind), Name: a.name})
	if err == nil {
		return &row, nil
	}
	if !fault.Is(err, fault.NotFound) {
		return nil, err
	}
	if a.kind != catalog.Resource {
		return nil, noEntry([]catalog.Kind{a.kind}, a.full)
	}
	if _, err := p.Store.GetServer(ctx, a.server); fault.Is(err, fault.NotFound) {
		return nil, noServer(a.server)
	} else if err != nil {
		return nil, err
	}
	return nil, nil
}

// subject is the principal that a call of this user, or with this key, would have.
func (p policies) subject(ctx context.Context, m *adminv1.ExplainDecisionRequest) (*principal.Principal, error) {
	caller := &principal.Principal{User: m.GetUser(), Application: m.GetApplication(), KeyID: m.GetKeyId()}
	if caller.KeyID != "" {
		if err := p.holder(ctx, caller); err != nil {
			return nil, err
		}
	}
	row, err := p.Store.GetUser(ctx, caller.User)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.Newf(fault.NotFound, "there is no user %q; 'warder user list' shows the users; whom only tokens name has roles by them: explain a recorded call of his, with --call", caller.User)
	}
	if err != nil {
		return nil, err
	}
	caller.Roles, caller.Groups = row.Roles, slices.Concat(row.Groups, m.GetGroups())
	return caller, nil
}

// holder fills in whose the caller's key is, and what for.
func (p policies) holder(ctx context.Context, caller *principal.Principal) error {
	row, err := p.Store.GetAPIKey(ctx, caller.KeyID)
	if fault.Is(err, fault.NotFound) {
		return fault.Newf(fault.NotFound, "there is no key %q; 'warder key list' shows the keys", caller.KeyID)
	}
	if err != nil {
		return err
	}
	if caller.User != "" && caller.User != row.UserName || caller.Application != "" && caller.Application != row.Application {
		return fault.Newf(fault.Invalid, "the key %s is of user %s and application %s", row.ID, row.UserName, row.Application)
	}
	caller.User, caller.Application = row.UserName, row.Application
	if len(row.Servers) > 0 {
		caller.Servers = row.Servers
	}
	return nil
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

// withheld is the answer for what nodes keep from everybody.
func withheld(revision uint64, reason string) *adminv1.ExplainDecisionResponse {
	return &adminv1.ExplainDecisionResponse{
		Decision: "deny", Rule: stageGovernance, Reason: reason, Revision: revision,
		Steps: []*adminv1.ExplainStep{{Stage: stageGovernance, Matched: true, Detail: reason}},
	}
}

func whyWithheld(row db.GetEntryRow) string {
	full, kind := row.Server+"/"+row.Name, catalog.Kind(row.Kind)
	switch {
	case row.State == "pending":
		return fmt.Sprintf("%s is pending: nobody has approved it yet (%s)", full, approveCommand(kind, row.Server, row.Name))
	case row.State == "changed":
		return fmt.Sprintf("%s has changed since it was approved (%s)", full, showCommand(kind, row.Server, row.Name))
	case row.State == "rejected":
		return full + " was rejected"
	case row.Disabled:
		return full + " is disabled"
	case row.Missing:
		return full + " is not offered by its server any more"
	}
	return full + " is approved, and has not reached the snapshot of nodes yet"
}

// explanation is the answer for what nodes have.
func explanation(governed string, decision policy.Decision, steps []policy.Step) *adminv1.ExplainDecisionResponse {
	m := &adminv1.ExplainDecisionResponse{
		Decision: "deny", Rule: decision.Rule, Reason: decision.Reason, Revision: decision.Revision,
		Steps: []*adminv1.ExplainStep{{Stage: stageGovernance, Detail: governed}},
	}
	if decision.Allowed() {
		m.Decision = "allow"
	}
	for _, s := range steps {
		m.Open = m.Open || s.Open
		m.Steps = append(m.Steps, &adminv1.ExplainStep{Stage: s.Stage, Name: s.Name, Matched: s.Matched, Detail: s.Detail, Open: s.Open})
	}
	return m
}

// compilePolicy compiles the policy of a snapshot as a node does.
func compilePolicy(set *snapshot.Set) (*policy.Set, error) {
	var rules []*snapshotv1.Rule
	var held []*snapshotv1.Role
	var denies []*snapshotv1.Deny
	var limits []*snapshotv1.Limit
	for _, item := range set.All() {
		switch {
		case item.GetRule() != nil:
			rules = append(rules, item.GetRule())
		case item.GetRole() != nil:
			held = append(held, item.GetRole())
		case item.GetDeny() != nil:
			denies = append(denies, item.GetDeny())
		case item.GetLimit() != nil:
			limits = append(limits, item.GetLimit())
		}
	}
	compiled, err := policy.Compile(set.Revision(), rules, held, denies, limits...)
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
