package admin

import (
	"context"
	"encoding/hex"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/definition"
	"github.com/warder-gateway/warder/internal/finding"
	"github.com/warder-gateway/warder/internal/risk"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// maxVerdicts bounds the history that is shown of an entry.
const maxVerdicts = 100

// dossier returns an entry with all that a decision about it needs.
func (t tools) dossier(ctx context.Context, row db.GetEntryRow) (*adminv1.Tool, error) {
	m := toolMessage(listRow(row))
	m.Definition = string(row.Definition)
	if row.ApprovedDefinition != nil && m.GetApprovedHash() != m.GetDefinitionHash() {
		m.ApprovedDefinition = string(row.ApprovedDefinition)
		differences, err := definition.Diff(row.ApprovedDefinition, row.Definition)
		if err != nil { // Discovery lets nothing pass that cannot be read.
			return nil, fmt.Errorf("compare definitions of %s/%s: %w", row.Server, row.Name, err)
		}
		m.Differences = differenceMessages(differences)
	}
	if catalog.Kind(row.Kind) == catalog.Tool {
		m.RiskReasons = riskReasons(row.Definition)
	}
	// Another server may have come since it was discovered, of which it speaks.
	findings, err := catalog.Scan(ctx, t.Store, catalog.Subject{
		Kind: catalog.Kind(row.Kind), Server: row.Server, Name: row.Name, ExposedName: row.ExposedName, Definition: row.Definition,
	})
	if err != nil {
		return nil, err
	}
	m.Findings = findingMessages(findings)
	verdicts, err := t.Store.ListVerdicts(ctx, db.ListVerdictsParams{EntryID: row.ID, RowLimit: maxVerdicts})
	if err != nil {
		return nil, err
	}
	for _, v := range verdicts {
		m.Verdicts = append(m.Verdicts, verdictMessage(v))
	}
	return m, nil
}

// riskReasons says what the definition of a tool makes it.
func riskReasons(definition []byte) (out []*adminv1.RiskReason) {
	for _, reason := range risk.Assess(definition).Reasons {
		out = append(out, &adminv1.RiskReason{Risk: risk.Name(reason.Category), What: reason.What, Where: reason.Where})
	}
	return out
}

func findingMessages(findings []finding.Finding) (out []*adminv1.Finding) {
	for _, f := range findings {
		out = append(out, &adminv1.Finding{
			Check: f.Check, Severity: string(f.Severity), Path: f.Path, Excerpt: f.Excerpt, Explanation: f.Explanation,
		})
	}
	return out
}

func differenceMessages(differences []definition.Difference) (out []*adminv1.Difference) {
	for _, d := range differences {
		out = append(out, &adminv1.Difference{
			Path: d.Path, Change: string(d.Change), Before: d.Before, After: d.After, Note: d.Note,
		})
	}
	return out
}

// verdictMessage names each check once.
func verdictMessage(row db.ListVerdictsRow) *adminv1.Verdict {
	m := &adminv1.Verdict{
		At: timestamppb.New(row.At), Actor: row.Actor, Verdict: row.Verdict, Reason: row.Reason,
		DefinitionHash: hex.EncodeToString(row.Hash), ScannerVersion: row.ScannerVersion,
	}
	seen := make(map[string]bool)
	for _, f := range catalog.DecodeFindings(row.Findings) {
		if !seen[f.Check] {
			seen[f.Check] = true
			m.Findings = append(m.Findings, f.Check)
		}
	}
	return m
}
