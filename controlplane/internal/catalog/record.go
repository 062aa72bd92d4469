package catalog

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/risk"
)

// Record writes a discovery into the transaction: tools and their states, the
// definitions by content, and what is known of the server. It locks the server,
// so that of two discoveries the second is compared with what the first wrote.
// It takes a revision only if nodes are concerned.
func Record(ctx context.Context, tx *store.Tx, server string, found *Discovery) (Report, error) {
	row, err := tx.LockServer(ctx, server)
	if err != nil {
		return Report{}, store.Missing(err, "server "+server)
	}
	known, err := readKnown(ctx, tx, row.ID)
	if err != nil {
		return Report{}, err
	}
	offered, refused, err := withoutAlike(ctx, tx, row.ID, found)
	if err != nil {
		return Report{}, err
	}
	plan := Reconcile(known, offered)
	if err := write(ctx, tx, row.ID, &plan); err != nil {
		return Report{}, fmt.Errorf("record tools of %s: %w", server, err)
	}
	err = tx.SetServerDiscovered(ctx, db.SetServerDiscoveredParams{
		ID: row.ID, ProtocolVersion: found.ProtocolVersion, Instructions: storable(found.Instructions),
	})
	if err != nil {
		return Report{}, fmt.Errorf("record discovery of %s: %w", server, err)
	}
	report := plan.report(server, refused)
	say := tx.Note
	if plan.concernsNodes() || row.ProtocolVersion != found.ProtocolVersion {
		say = tx.Record
	}
	say("server.discover", server, map[string]any{
		"added": len(report.Added), "changed": len(report.Changed), "missing": len(report.Missing),
		"unchanged": report.Unchanged, "refused": len(report.Refused), "protocol_version": found.ProtocolVersion,
	})
	return report, nil
}

// Fail writes down why a discovery failed. What was known of the server stays in
// force.
func Fail(ctx context.Context, tx *store.Tx, server, reason string) error {
	row, err := tx.LockServer(ctx, server)
	if err != nil {
		return store.Missing(err, "server "+server)
	}
	if err := tx.SetServerFailed(ctx, db.SetServerFailedParams{ID: row.ID, LastError: reason}); err != nil {
		return fmt.Errorf("record failed discovery of %s: %w", server, err)
	}
	tx.Note("server.discover", server, map[string]any{"error": reason})
	return nil
}

func readKnown(ctx context.Context, tx *store.Tx, serverID int64) ([]Known, error) {
	rows, err := tx.ListToolsOfServer(ctx, serverID)
	if err != nil {
		return nil, fmt.Errorf("list known tools: %w", err)
	}
	known := make([]Known, 0, len(rows))
	for _, r := range rows {
		known = append(known, Known{
			ID: r.ID, Name: r.Name, State: State(r.State), Missing: r.Missing,
			Offered: [sha256.Size]byte(r.OfferedHash), Risk: r.Risk, Position: int(r.Position),
		})
	}
	return known, nil
}

// withoutAlike refuses tools whose exposed name looks like that of another
// server's tool: the first one keeps it (security.md T-05).
func withoutAlike(ctx context.Context, tx *store.Tx, serverID int64, found *Discovery) ([]Tool, []Refusal, error) {
	folded := make([]string, 0, len(found.Tools))
	for _, tool := range found.Tools {
		folded = append(folded, fold(tool.ExposedName))
	}
	alike, err := tx.ListAlikeNames(ctx, db.ListAlikeNamesParams{ServerID: serverID, Folded: folded})
	if err != nil {
		return nil, nil, fmt.Errorf("look for names alike: %w", err)
	}
	if len(alike) == 0 {
		return found.Tools, found.Refused, nil
	}
	taken := make(map[string]bool, len(alike))
	for _, name := range alike {
		taken[fold(name)] = true
	}
	refused := slices.Clone(found.Refused)
	var tools []Tool
	for _, tool := range found.Tools {
		if taken[fold(tool.ExposedName)] {
			refused = append(refused, Refusal{Name: tool.Name, Reason: "its exposed name looks like that of another server's tool"})
			continue
		}
		tools = append(tools, tool)
	}
	return tools, refused, nil
}

// write carries a plan out.
func write(ctx context.Context, tx *store.Tx, serverID int64, plan *Plan) error {
	for _, tool := range plan.Add {
		if err := put(ctx, tx, tool); err != nil {
			return err
		}
		_, err := tx.InsertTool(ctx, db.InsertToolParams{
			ServerID: serverID, Name: tool.Name, ExposedName: tool.ExposedName, Risk: risk.Name(tool.Risk),
			OfferedHash: tool.Hash[:], Position: int32(tool.Position),
		})
		if err != nil {
			return fmt.Errorf("add tool %s: %w", tool.Name, err)
		}
	}
	for _, u := range plan.Update {
		if err := put(ctx, tx, u.Tool); err != nil {
			return err
		}
		err := tx.UpdateOffer(ctx, db.UpdateOfferParams{
			ID: u.Known.ID, OfferedHash: u.Tool.Hash[:], Risk: u.Risk,
			Position: int32(u.Tool.Position), State: string(u.State),
		})
		if err != nil {
			return fmt.Errorf("update tool %s: %w", u.Known.Name, err)
		}
	}
	var gone []int64
	for _, k := range plan.Missing {
		gone = append(gone, k.ID)
	}
	if len(gone) == 0 {
		return nil
	}
	return tx.MarkToolsMissing(ctx, gone)
}

func put(ctx context.Context, tx *store.Tx, tool Tool) error {
	err := tx.PutToolDefinition(ctx, db.PutToolDefinitionParams{Hash: tool.Hash[:], Definition: tool.Definition})
	if err != nil {
		return fmt.Errorf("keep definition of %s: %w", tool.Name, err)
	}
	return nil
}

// concernsNodes reports whether a tool that nodes may know is touched: one that
// is, or was, approved.
func (p *Plan) concernsNodes() bool {
	for _, k := range p.Missing {
		if k.State == Approved {
			return true
		}
	}
	for _, u := range p.Update {
		if u.Known.State == Approved {
			return true
		}
	}
	return false
}

// storable drops what PostgreSQL's text cannot hold.
func storable(text string) string {
	return string(slices.DeleteFunc([]byte(text), func(b byte) bool { return b == 0 }))
}
