package admin

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// policies serves the policy document. Every version is kept, and none is changed.
type policies struct{ *API }

// ApplyPolicy replaces the rules by those of a document that passes its own tests.
func (p policies) ApplyPolicy(ctx context.Context, r *connect.Request[adminv1.ApplyPolicyRequest]) (*connect.Response[adminv1.ApplyPolicyResponse], error) {
	admitted, err := p.admit(ctx, r.Msg.GetDocument())
	if err != nil {
		return nil, err
	}
	admitted.reason, admitted.expected = r.Msg.GetReason(), r.Msg.ExpectedVersion
	applied, revision, err := p.install(ctx, admitted)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.ApplyPolicyResponse{Policy: applied, Revision: revision, Remarks: remarkMessages(admitted.remarks)}), nil
}

// RollbackPolicy applies the document of an earlier version as a new version, if it
// holds today.
func (p policies) RollbackPolicy(ctx context.Context, r *connect.Request[adminv1.RollbackPolicyRequest]) (*connect.Response[adminv1.RollbackPolicyResponse], error) {
	version := r.Msg.GetVersion()
	row, err := p.version(ctx, version)
	if err != nil {
		return nil, err
	}
	admitted, err := p.admit(ctx, row.Document)
	if fault.Is(err, fault.Invalid) {
		return nil, fault.Wrap(fault.Precondition, "version "+versionName(version)+" does not hold today:\n"+fault.Text(err), err)
	}
	if err != nil {
		return nil, err
	}
	admitted.reason, admitted.expected, admitted.rollbackOf = r.Msg.GetReason(), r.Msg.ExpectedVersion, &version
	applied, revision, err := p.install(ctx, admitted)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RollbackPolicyResponse{Policy: applied, Revision: revision, Remarks: remarkMessages(admitted.remarks)}), nil
}

// draft is a document that may become the next version.
type draft struct {
	text     string
	document *policy.Document
	remarks  []policy.Remark

	reason string
	// expected is the version that must be in force; nil: any.
	expected   *int64
	rollbackOf *int64
}

// admit parses a document, runs its tests, and remarks on it. The error has all that
// is wrong, with lines and columns.
func (p policies) admit(ctx context.Context, text string) (*draft, error) {
	document, err := policy.ParseDocument([]byte(text))
	if err != nil {
		return nil, err
	}
	now, err := p.surroundings(ctx)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, testTime)
	defer cancel()
	if err := document.Check(limited, now.roles, now.risk, now.rolesOf); err != nil {
		return nil, tooSlow(ctx, err)
	}
	return &draft{text: text, document: document, remarks: document.Lint(now.known)}, nil
}

// install makes a draft the version in force.
func (p policies) install(ctx context.Context, d *draft) (applied *adminv1.Policy, revision uint64, err error) {
	var row db.InsertPolicyRow
	var actor string
	revision, err = p.change(ctx, func(tx *store.Tx) error {
		if err := d.fits(ctx, tx); err != nil {
			return err
		}
		actor = tx.Actor()
		row, err = tx.InsertPolicy(ctx, db.InsertPolicyParams{Document: d.text, CreatedBy: actor, Reason: d.reason, RollbackOf: d.rollbackOf})
		if err != nil {
			return err
		}
		if d.expected != nil && row.Version != *d.expected+1 {
			return policyMoved(row.Version-1, *d.expected) // Committed between the look and the insertion.
		}
		action, detail := "policy.apply", map[string]any{
			"version": row.Version, "rules": len(d.document.Rules), "limits": len(d.document.Limits), "tests": len(d.document.Tests), "reason": d.reason,
		}
		if d.rollbackOf != nil {
			action, detail["rollback_of"] = "policy.rollback", *d.rollbackOf
		}
		tx.Record(action, "policy", detail)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	applied = policyMessage(db.PolicyVersion{
		Version: row.Version, Document: d.text, CreatedAt: row.CreatedAt, CreatedBy: actor, Reason: d.reason, RollbackOf: d.rollbackOf,
	})
	applied.Rules, applied.Limits = ruleMessages(d.document.Rules), limitMessages(d.document.Limits)
	return applied, revision, nil
}

// fits refuses early if another version is in force than the caller saw, or the very
// one that is to be brought back.
func (d *draft) fits(ctx context.Context, tx *store.Tx) error {
	if d.expected == nil && d.rollbackOf == nil {
		return nil
	}
	current, err := tx.GetPolicy(ctx)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	if d.expected != nil && current.Version != *d.expected {
		return policyMoved(current.Version, *d.expected)
	}
	if d.rollbackOf != nil && current.Version == *d.rollbackOf {
		return fault.Newf(fault.Precondition, "version %d of the policy is in force already", current.Version)
	}
	return nil
}

func policyMoved(current, expected int64) error {
	return fault.Newf(fault.Conflict, "version %d of the policy is in force, and you began from version %d; read it again, then apply", current, expected)
}

// GetPolicy returns a version, or the one in force; version 0 before the first. A
// version that cannot be read today comes without rules and limits.
func (p policies) GetPolicy(ctx context.Context, r *connect.Request[adminv1.GetPolicyRequest]) (*connect.Response[adminv1.GetPolicyResponse], error) {
	row, err := p.version(ctx, r.Msg.GetVersion())
	if err != nil {
		return nil, err
	}
	message := policyMessage(row)
	if document, err := policy.ParseDocument([]byte(row.Document)); err == nil {
		message.Rules, message.Limits = ruleMessages(document.Rules), limitMessages(document.Limits)
	}
	return reply(&adminv1.GetPolicyResponse{Policy: message}), nil
}

// version returns a version; for 0 the one in force, which is an empty row before
// the first.
func (p policies) version(ctx context.Context, version int64) (db.PolicyVersion, error) {
	if version == 0 {
		row, err := p.Store.GetPolicy(ctx)
		if fault.Is(err, fault.NotFound) {
			return db.PolicyVersion{}, nil
		}
		return row, err
	}
	row, err := p.Store.GetPolicyVersion(ctx, version)
	if fault.Is(err, fault.NotFound) {
		return row, fault.Newf(fault.NotFound, "there is no version %d of the policy; 'warder policy history' lists them", version)
	}
	return row, err
}

// ListPolicies returns a page of the versions, newest first.
func (p policies) ListPolicies(ctx context.Context, r *connect.Request[adminv1.ListPoliciesRequest]) (*connect.Response[adminv1.ListPoliciesResponse], error) {
	before, err := readRowToken(r.Msg.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(r.Msg.GetPageSize())
	rows, err := p.Store.ListPolicyVersions(ctx, db.ListPolicyVersionsParams{Before: before, RowLimit: size + 1})
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListPoliciesResponse)
	if len(rows) > int(size) {
		rows = rows[:size]
		response.NextPageToken = rowToken(rows[size-1].Version)
	}
	for _, row := range rows {
		response.Policies = append(response.Policies, policyMessage(db.PolicyVersion{
			Version: row.Version, CreatedAt: row.CreatedAt, CreatedBy: row.CreatedBy, Reason: row.Reason, RollbackOf: row.RollbackOf,
		}))
	}
	return reply(response), nil
}

// policyMessage returns a version without its rules and limits.
func policyMessage(row db.PolicyVersion) *adminv1.Policy {
	m := &adminv1.Policy{Version: row.Version, Document: row.Document, CreatedBy: row.CreatedBy, Reason: row.Reason}
	if row.Version > 0 {
		m.CreatedAt = timestamppb.New(row.CreatedAt)
	}
	if row.RollbackOf != nil {
		m.RollbackOf = *row.RollbackOf
	}
	return m
}
