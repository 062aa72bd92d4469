package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/finding"
	"github.com/warder-gateway/warder/internal/risk"
)

// assessAtMost bounds the definitions that are looked at again in one transaction.
const assessAtMost = 500

// keepAssessed looks at what another version of the scanner or of the classifier
// looked at: at the start, and now and again, since a replica of another version
// may run beside this one.
func (r *Refresher) keepAssessed(ctx context.Context) {
	for {
		err := r.assessAll(ctx)
		if err != nil && ctx.Err() == nil {
			r.Log.Warn("cannot look at definitions with this version's scanner; tries again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(r.age()):
		}
	}
}

// assessAll works through all of them, some at a time.
func (r *Refresher) assessAll(ctx context.Context) error {
	for {
		_, err := r.Store.Change(ctx, actor, func(tx *store.Tx) error {
			n, err := assessSome(ctx, tx)
			if err == nil && n == 0 {
				return errNoNews
			}
			return err
		})
		if errors.Is(err, errNoNews) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// assessSome scans and classifies definitions anew that another version looked at,
// and returns how many. A category that a person chose stays; so does one that a
// person approved, where the new one would be less risky: that would allow more
// than he agreed to.
func assessSome(ctx context.Context, tx *store.Tx) (int, error) {
	rows, err := tx.LockStaleEntries(ctx, db.LockStaleEntriesParams{
		ScannerVersion: finding.Version, RiskVersion: risk.Version, AtMost: assessAtMost,
	})
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	names := make([]string, 0, len(rows))
	for _, row := range rows {
		names = append(names, row.Name)
	}
	known, err := registry(ctx, tx, "", nil, names)
	if err != nil {
		return 0, err
	}
	suspicious := make(map[string][]string)
	for _, row := range rows {
		kind := Kind(row.Kind)
		findings := scan(Subject{kind, row.Server, row.Name, row.ExposedName, row.Definition}, known)
		if finding.Worst(findings) == finding.Hard && State(row.State) == Approved {
			suspicious[row.Server] = append(suspicious[row.Server], kind.FullName(row.Server, row.Name))
		}
		category := reclassified(row)
		err := tx.SetEntryAssessment(ctx, db.SetEntryAssessmentParams{
			ID: row.ID, Risk: category, RiskVersion: risk.Version, Findings: encodeFindings(findings), ScannerVersion: finding.Version,
		})
		if err != nil {
			return 0, fmt.Errorf("assess %s: %w", kind.FullName(row.Server, row.Name), err)
		}
		if category != row.Risk {
			tx.Record(row.Kind+".risk", row.Server+"/"+row.Name, map[string]any{"risk": category, "was": row.Risk, "classifier": risk.Version})
		}
	}
	for server, names := range suspicious {
		text := "Approved, and this version of Warder has hard findings in it: " + some(names) + ". Look at it again: warder server show " + server
		if _, err := (alarm{tx, server}).state(ctx, AlertFinding, text); err != nil {
			return 0, err
		}
	}
	tx.Note("catalog.assess", "", map[string]any{"entries": len(rows), "scanner": finding.Version, "classifier": risk.Version})
	return len(rows), nil
}

// reclassified returns the category that an entry has under this version.
func reclassified(row db.LockStaleEntriesRow) string {
	if row.RiskSet || Kind(row.Kind) != Tool {
		return row.Risk
	}
	category := risk.Classify(row.Definition)
	was, err := risk.Parse(row.Risk)
	if err == nil && State(row.State) == Approved && !risk.Riskier(category, was) {
		return row.Risk
	}
	return risk.Name(category)
}
