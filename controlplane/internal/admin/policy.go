package admin

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/risk"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

type policies struct {
	*API
	adminv1connect.UnimplementedPolicyServiceHandler // until each method is here
}

// ApplyPolicy replaces the rules by those of a document that passes its own
// tests.
func (p policies) ApplyPolicy(ctx context.Context, r *connect.Request[adminv1.ApplyPolicyRequest]) (*connect.Response[adminv1.ApplyPolicyResponse], error) {
	text := r.Msg.GetDocument()
	document, err := policy.ParseDocument([]byte(text))
	if err != nil {
		return nil, err
	}
	if err := p.check(ctx, document); err != nil {
		return nil, err
	}
	var row db.InsertPolicyRow
	var actor string
	revision, err := p.change(ctx, func(tx *store.Tx) error {
		if err := expectVersion(ctx, tx, r.Msg.ExpectedVersion); err != nil {
			return err
		}
		actor = tx.Actor()
		if row, err = tx.InsertPolicy(ctx, db.InsertPolicyParams{Document: text, CreatedBy: actor}); err != nil {
			return err
		}
		if e := r.Msg.ExpectedVersion; e != nil && row.Version != *e+1 {
			return policyMoved(row.Version-1, *e) // Committed between the look and the insertion.
		}
		tx.Record("policy.apply", "policy", map[string]any{
			"version": row.Version, "rules": len(document.Rules), "tests": len(document.Tests),
		})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.ApplyPolicyResponse{Revision: revision, Policy: &adminv1.Policy{
		Version: row.Version, Document: text, Rules: ruleMessages(document.Rules),
		CreatedBy: actor, CreatedAt: timestamppb.New(row.CreatedAt),
	}}), nil
}

// expectVersion refuses early if another version is in force than the caller saw.
func expectVersion(ctx context.Context, tx *store.Tx, expected *int64) error {
	if expected == nil {
		return nil
	}
	current, err := tx.GetPolicy(ctx)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if current.Version != *expected {
		return policyMoved(current.Version, *expected)
	}
	return nil
}

func policyMoved(current, expected int64) error {
	return fault.Newf(fault.Conflict, "version %d of the policy is in force, and you began from version %d; read it again, then apply", current, expected)
}

// check runs the document's tests against roles, entries and users as they are.
func (p policies) check(ctx context.Context, document *policy.Document) error {
	all, err := readRoles(ctx, p.Store.Queries)
	if err != nil {
		return err
	}
	compiled := make([]*snapshotv1.Role, 0, len(all))
	for _, role := range all {
		out, err := snapshotRole(role)
		if err != nil {
			return err
		}
		compiled = append(compiled, out)
	}
	lookup, err := p.risks(ctx)
	if err != nil {
		return err
	}
	rows, err := p.Store.ListUsers(ctx)
	if err != nil {
		return err
	}
	rolesOf := make(map[string][]string, len(rows))
	for _, row := range rows {
		rolesOf[row.Name] = row.Roles
	}
	return document.Check(compiled, lookup, func(name string) ([]string, bool) {
		roles, known := rolesOf[name]
		return roles, known
	})
}

// risks returns a look-up of the categories of all entries in the catalogue,
// approved or not: a document may be written before they are.
func (p policies) risks(ctx context.Context) (func(policy.Target) (snapshotv1.Risk, bool), error) {
	rows, err := p.Store.ListEntries(ctx, db.ListEntriesParams{
		Kinds: kindNames([]catalog.Kind{catalog.Tool, catalog.Prompt, catalog.Resource}),
	})
	if err != nil {
		return nil, err
	}
	known := make(map[policy.Target]snapshotv1.Risk, len(rows))
	for _, row := range rows {
		category, err := risk.Parse(row.Risk)
		if err != nil {
			return nil, err
		}
		known[policy.Target{Kind: policyKind(catalog.Kind(row.Kind)), Server: row.Server, Name: row.Name}] = category
	}
	return func(t policy.Target) (snapshotv1.Risk, bool) {
		category, found := known[t]
		return category, found
	}, nil
}

// GetPolicy returns the version in force; version 0 before the first.
func (p policies) GetPolicy(ctx context.Context, _ *connect.Request[adminv1.GetPolicyRequest]) (*connect.Response[adminv1.GetPolicyResponse], error) {
	row, err := p.Store.GetPolicy(ctx)
	if fault.Is(err, fault.NotFound) {
		return reply(&adminv1.GetPolicyResponse{Policy: &adminv1.Policy{}}), nil
	}
	if err != nil {
		return nil, err
	}
	document, err := policy.ParseDocument([]byte(row.Document))
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.GetPolicyResponse{Policy: &adminv1.Policy{
		Version: row.Version, Document: row.Document, Rules: ruleMessages(document.Rules),
		CreatedBy: row.CreatedBy, CreatedAt: timestamppb.New(row.CreatedAt),
	}}), nil
}

func ruleMessages(rules []*snapshotv1.Rule) []*adminv1.Rule {
	out := make([]*adminv1.Rule, 0, len(rules))
	for _, rule := range rules {
		m := &adminv1.Rule{
			Name: rule.GetName(), Priority: rule.GetPriority(), Effect: effectName(rule.GetEffect()), Reason: rule.GetReason(),
			Users: rule.GetUsers(), Groups: rule.GetGroups(), Roles: rule.GetRoles(),
			Applications: rule.GetApplications(), Tools: rule.GetTools(), Methods: rule.GetMethods(),
			Prompts: rule.GetPrompts(), Resources: rule.GetResources(),
		}
		for _, category := range rule.GetRisks() {
			m.Risks = append(m.Risks, risk.Name(category))
		}
		out = append(out, m)
	}
	return out
}

// effectName is "allow" for that effect alone.
func effectName(e snapshotv1.Effect) string {
	if e == snapshotv1.Effect_EFFECT_ALLOW {
		return "allow"
	}
	return "deny"
}
