package admin

import (
	"context"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/risk"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// SetRisk puts a person's category in place of the classifier's, or takes it back.
func (t tools) SetRisk(ctx context.Context, r *connect.Request[adminv1.SetRiskRequest]) (*connect.Response[adminv1.SetRiskResponse], error) {
	kind := kindOf(r.Msg.GetKind())
	server, name, err := splitName(kind, r.Msg.GetName())
	if err != nil {
		return nil, err
	}
	err = t.changed(ctx, func(tx *store.Tx) error {
		row, err := tx.LockEntry(ctx, db.LockEntryParams{Server: server, Kind: string(kind), Name: name})
		if fault.Is(err, fault.NotFound) {
			return noEntry([]catalog.Kind{kind}, r.Msg.GetName())
		}
		if err != nil {
			return err
		}
		return setRisk(ctx, tx, r.Msg, row)
	})
	if err != nil {
		return nil, err
	}
	row, err := t.Store.GetEntry(ctx, db.GetEntryParams{Server: server, Kind: string(kind), Name: name})
	if err != nil {
		return nil, err
	}
	m, err := t.dossier(ctx, row)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.SetRiskResponse{Tool: m}), nil
}

// setRisk writes the category of an entry, and who says so.
func setRisk(ctx context.Context, tx *store.Tx, m *adminv1.SetRiskRequest, row db.LockEntryRow) error {
	category, set := m.GetRisk(), m.GetRisk() != ""
	if !set {
		category = risk.Name(classified(catalog.Kind(row.Kind), row.Definition))
	}
	if category == row.Risk && set == row.RiskSet {
		return errUnchanged
	}
	err := tx.SetEntryRisk(ctx, db.SetEntryRiskParams{ID: row.ID, Risk: category, RiskSet: set, RiskVersion: risk.Version})
	if err != nil {
		return err
	}
	reason := category + ", was " + row.Risk
	if !set {
		reason += ", as the classifier says"
	}
	if m.GetReason() != "" {
		reason += ": " + m.GetReason()
	}
	err = tx.InsertVerdict(ctx, db.InsertVerdictParams{
		EntryID: row.ID, Actor: tx.Actor(), Verdict: "risk", Hash: row.OfferedHash, Reason: reason,
	})
	if err != nil {
		return err
	}
	tx.Record(row.Kind+".risk", m.GetName(), map[string]any{"risk": category, "was": row.Risk, "set": set, "reason": m.GetReason()})
	return nil
}

// classified is the category that the classifier gives; what is no tool only reads.
func classified(kind catalog.Kind, definition []byte) snapshotv1.Risk {
	if kind != catalog.Tool {
		return snapshotv1.Risk_RISK_READ
	}
	return risk.Classify(definition)
}
