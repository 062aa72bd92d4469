package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/finding"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/risk"
)

// Record writes a discovery into the transaction: entries and their states, the
// definitions by content, and what is known of the server. Of a kind that could
// not be listed nothing changes. It locks the server, so that of two discoveries
// the second is compared with what the first wrote. It takes a revision only if
// nodes are concerned.
func Record(ctx context.Context, tx *store.Tx, server string, found *Discovery) (Report, error) {
	report, _, err := recordNews(ctx, tx, server, found)
	return report, err
}

// recordNews is Record; it says also whether anything is other than it was, where a
// part of the last discovery failed and this one did not, too.
func recordNews(ctx context.Context, tx *store.Tx, server string, found *Discovery) (report Report, news bool, err error) {
	row, err := tx.LockServer(ctx, server)
	if err != nil {
		return Report{}, false, store.Missing(err, "server "+server)
	}
	known, err := readKnown(ctx, tx, row, found)
	if err != nil {
		return Report{}, false, err
	}
	offered, alike, err := withoutAlike(ctx, tx, row.ID, found)
	if err != nil {
		return Report{}, false, err
	}
	plan := Reconcile(known, offered)
	if err := plan.scan(ctx, tx, server, offered); err != nil {
		return Report{}, false, err
	}
	if err := write(ctx, tx, row.ID, &plan); err != nil {
		return Report{}, false, fmt.Errorf("record entries of %s: %w", server, err)
	}
	report = plan.report(server, slices.Concat(found.Refused, alike), found.Failed)
	capabilities := found.Capabilities
	if sameObject(row.Capabilities, capabilities) {
		capabilities = row.Capabilities // Other bytes of the same object are no change.
	}
	trouble := strings.Join(report.Failed, "; ")
	err = tx.SetServerDiscovered(ctx, db.SetServerDiscoveredParams{
		ID: row.ID, ProtocolVersion: found.ProtocolVersion, Capabilities: capabilities,
		LastError: trouble, Partial: trouble != "", ClaimedName: found.claimedName(),
	})
	if err != nil {
		return Report{}, false, fmt.Errorf("record discovery of %s: %w", server, err)
	}
	alarmed, err := alarm{tx, server}.discovered(ctx, row, found, &plan, alike)
	if err != nil {
		return Report{}, false, err
	}
	spokenTo := row.ProtocolVersion != found.ProtocolVersion || !bytes.Equal(row.Capabilities, capabilities)
	say := tx.Note
	if plan.concernsNodes() || spokenTo {
		say = tx.Record
	}
	say("server.discover", server, report.detail(found.ProtocolVersion))
	renamed := row.ClaimedName != found.claimedName()
	return report, spokenTo || renamed || alarmed || !plan.Empty() || row.LastError != trouble || row.Partial != (trouble != ""), nil
}

// detail is what the audit says of a discovery.
func (r *Report) detail(version string) map[string]any {
	return map[string]any{
		"added": len(r.Added), "changed": len(r.Changed), "missing": len(r.Missing), "unchanged": r.Unchanged,
		"refused": len(r.Refused), "failed": r.Failed, "protocol_version": version,
	}
}

// Fail writes down why a discovery failed. What was known of the server stays in
// force.
func Fail(ctx context.Context, tx *store.Tx, server, reason string) error {
	_, err := fail(ctx, tx, server, reason)
	return err
}

// fail is Fail; it says also whether the reason is another than before.
func fail(ctx context.Context, tx *store.Tx, server, reason string) (news bool, err error) {
	row, err := tx.LockServer(ctx, server)
	if err != nil {
		return false, store.Missing(err, "server "+server)
	}
	if err := tx.SetServerFailed(ctx, db.SetServerFailedParams{ID: row.ID, LastError: reason}); err != nil {
		return false, fmt.Errorf("record failed discovery of %s: %w", server, err)
	}
	alarmed, err := alarm{tx, server}.failed(ctx, row, reason)
	if err != nil {
		return false, err
	}
	tx.Note("server.discover", server, map[string]any{"error": reason})
	return row.LastError != reason || row.Partial || alarmed, nil
}

// readKnown returns what is known of a server, but for the kinds that a discovery
// could not list. Where a server was never discovered since it moved, those are gone
// until they can be: nothing shows that it has them.
func readKnown(ctx context.Context, tx *store.Tx, server db.LockServerRow, found *Discovery) ([]Known, error) {
	rows, err := tx.ListEntriesOfServer(ctx, server.ID)
	if err != nil {
		return nil, fmt.Errorf("list known entries: %w", err)
	}
	known := make([]Known, 0, len(rows))
	for _, r := range rows {
		if server.DiscoveredAt != nil && slices.ContainsFunc(found.Failed, func(f Failure) bool { return string(f.Kind) == r.Kind }) {
			continue
		}
		known = append(known, Known{
			ID: r.ID, Kind: Kind(r.Kind), Name: r.Name, State: State(r.State), Disabled: r.Disabled, Missing: r.Missing,
			Offered: [sha256.Size]byte(r.OfferedHash), Risk: r.Risk, RiskSet: r.RiskSet, Position: int(r.Position),
		})
	}
	return known, nil
}

// withoutAlike returns what was found but for tools and prompts whose exposed name
// looks like that of another server's, which are refused: the first one keeps it
// (security.md T-05).
func withoutAlike(ctx context.Context, tx *store.Tx, serverID int64, found *Discovery) ([]Entry, []Refusal, error) {
	taken := make(map[Kind]map[string]bool)
	for _, kind := range Kinds() {
		if !kind.Exposed() {
			continue
		}
		var folded []string
		for _, entry := range found.Entries {
			if entry.Kind == kind {
				folded = append(folded, fold(entry.ExposedName))
			}
		}
		alike, err := tx.ListAlikeNames(ctx, db.ListAlikeNamesParams{ServerID: serverID, Kind: string(kind), Folded: folded})
		if err != nil {
			return nil, nil, fmt.Errorf("look for names alike: %w", err)
		}
		taken[kind] = make(map[string]bool, len(alike))
		for _, name := range alike {
			taken[kind][fold(name)] = true
		}
	}
	var refused []Refusal
	entries := make([]Entry, 0, len(found.Entries))
	for _, entry := range found.Entries {
		if taken[entry.Kind][fold(entry.ExposedName)] {
			reason := fmt.Sprintf("its exposed name looks like that of another server's %s", entry.Kind)
			refused = append(refused, Refusal{Kind: entry.Kind, Name: entry.Name, Reason: reason})
			continue
		}
		entries = append(entries, entry)
	}
	return entries, refused, nil
}

// write carries a plan out.
func write(ctx context.Context, tx *store.Tx, serverID int64, plan *Plan) error {
	for _, entry := range plan.Add {
		if err := put(ctx, tx, entry); err != nil {
			return err
		}
		_, err := tx.InsertEntry(ctx, db.InsertEntryParams{
			ServerID: serverID, Kind: string(entry.Kind), Name: entry.Name, ExposedName: entry.ExposedName,
			Risk: risk.Name(entry.Risk), RiskVersion: risk.Version, OfferedHash: entry.Hash[:], Position: int32(entry.Position),
			Findings: encodeFindings(entry.Findings), ScannerVersion: finding.Version,
		})
		if err != nil {
			return fmt.Errorf("add %s %s: %w", entry.Kind, entry.Name, err)
		}
	}
	for _, u := range plan.Update {
		if err := put(ctx, tx, u.Entry); err != nil {
			return err
		}
		offer := db.UpdateOfferParams{
			ID: u.Known.ID, OfferedHash: u.Entry.Hash[:], Risk: u.Risk,
			Position: int32(u.Entry.Position), State: string(u.State),
		}
		if u.Redefined {
			offer.Findings = encodeFindings(u.Entry.Findings)
			offer.ScannerVersion, offer.RiskVersion = new(finding.Version), new(risk.Version)
		}
		if err := tx.UpdateOffer(ctx, offer); err != nil {
			return fmt.Errorf("update %s %s: %w", u.Known.Kind, u.Known.Name, err)
		}
	}
	var gone []int64
	for _, k := range plan.Missing {
		gone = append(gone, k.ID)
	}
	if len(gone) == 0 {
		return nil
	}
	return tx.MarkEntriesMissing(ctx, gone)
}

func put(ctx context.Context, tx *store.Tx, entry Entry) error {
	err := tx.PutDefinition(ctx, db.PutDefinitionParams{Hash: entry.Hash[:], Content: entry.Definition})
	if err != nil {
		return fmt.Errorf("keep definition of %s: %w", entry.Name, err)
	}
	return nil
}

// sameObject reports whether two JSON objects differ in their spelling only.
func sameObject(a, b []byte) bool {
	one, err := mcp.CanonicalDefinition(a)
	if err != nil {
		return false
	}
	two, err := mcp.CanonicalDefinition(b)
	return err == nil && bytes.Equal(one, two)
}
