package catalog

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/finding"
	"github.com/warder-gateway/warder/internal/mcp"
)

// others reads what all servers offer: the store, or a transaction on it.
type others interface {
	ListRegistryEntries(ctx context.Context, arg db.ListRegistryEntriesParams) ([]db.ListRegistryEntriesRow, error)
}

// registry returns what definitions of these names are compared with: the tools
// and prompts of all servers but one (empty: none left out), and these entries in
// place of that server's.
func registry(ctx context.Context, from others, without string, own []finding.Entry, names []string) (*finding.Registry, error) {
	tails := make([]string, 0, len(names))
	for _, name := range names {
		tails = append(tails, tail(name))
	}
	rows, err := from.ListRegistryEntries(ctx, db.ListRegistryEntriesParams{Tails: tails, Without: without})
	if err != nil {
		return nil, fmt.Errorf("list what servers offer: %w", err)
	}
	entries := make([]finding.Entry, 0, len(rows)+len(own))
	for _, row := range rows {
		entries = append(entries, finding.Entry{
			Server: row.Server, Name: row.Name, ExposedName: row.ExposedName, Description: description(row.Definition),
		})
	}
	return finding.NewRegistry(append(entries, own...)), nil
}

// tail is a name as the query of a registry compares it.
func tail(name string) string {
	return strings.NewReplacer("_", "", "-", "", ".", "", " ", "").Replace(strings.ToLower(name))
}

// description returns that of a definition; what is none is empty.
func description(definition []byte) (text string) {
	err := mcp.Members(definition, func(name string, value mcp.Span) (err error) {
		if name == "description" {
			text, err = mcp.String(value.Of(definition))
		}
		return err
	})
	if err != nil {
		return ""
	}
	return text
}

// Subject is a definition to scan, and whose it is.
type Subject struct {
	Kind                      Kind
	Server, Name, ExposedName string
	Definition                []byte
}

// Scan returns what the scanner finds in a definition, compared with what all
// servers offer now.
func Scan(ctx context.Context, from others, s Subject) ([]finding.Finding, error) {
	known, err := registry(ctx, from, "", nil, []string{s.Name})
	if err != nil {
		return nil, err
	}
	return scan(s, known), nil
}

// Rescan scans what is offered of entries, beside what all servers offer now: others
// have come since it was discovered. It writes down what is found, so that what a
// person is shown, what an approval is held to and what its verdict records are one
// thing, and returns it by id, in the form of the database.
func Rescan(ctx context.Context, tx *store.Tx, ids []int64) (map[int64][]byte, error) {
	rows, err := tx.ListScannedEntries(ctx, ids)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	names := make([]string, 0, len(rows))
	for _, row := range rows {
		names = append(names, row.Name)
	}
	known, err := registry(ctx, tx, "", nil, names)
	if err != nil {
		return nil, err
	}
	found := make(map[int64][]byte, len(rows))
	for _, row := range rows {
		found[row.ID] = encodeFindings(scan(Subject{Kind(row.Kind), row.Server, row.Name, row.ExposedName, row.Definition}, known))
		err := tx.SetEntryFindings(ctx, db.SetEntryFindingsParams{ID: row.ID, Findings: found[row.ID], ScannerVersion: finding.Version})
		if err != nil {
			return nil, fmt.Errorf("keep findings of %s: %w", Kind(row.Kind).FullName(row.Server, row.Name), err)
		}
	}
	return found, nil
}

func scan(s Subject, known *finding.Registry) []finding.Finding {
	return finding.Scan(finding.Definition{
		Kind: finding.Kind(s.Kind), Server: s.Server, Name: s.Name, ExposedName: s.ExposedName, Raw: s.Definition,
	}, known)
}

// scan fills in the findings of what is new in a plan. All of it is compared with
// one state of the catalogue, in which the server already offers what it does now.
func (p *Plan) scan(ctx context.Context, tx others, server string, offered []Entry) error {
	fresh := p.fresh()
	if len(fresh) == 0 {
		return nil
	}
	var own []finding.Entry
	for _, e := range offered {
		if e.Kind.Exposed() {
			own = append(own, finding.Entry{Server: server, Name: e.Name, ExposedName: e.ExposedName, Description: description(e.Definition)})
		}
	}
	names := make([]string, 0, len(fresh))
	for _, e := range fresh {
		names = append(names, e.Name)
	}
	known, err := registry(ctx, tx, server, own, names)
	if err != nil {
		return err
	}
	for _, e := range fresh {
		e.Findings = scan(Subject{e.Kind, server, e.Name, e.ExposedName, e.Definition}, known)
	}
	return nil
}

// fresh returns the entries of a plan whose definition nobody has scanned.
func (p *Plan) fresh() (entries []*Entry) {
	for i := range p.Add {
		entries = append(entries, &p.Add[i])
	}
	for i := range p.Update {
		if p.Update[i].Redefined {
			entries = append(entries, &p.Update[i].Entry)
		}
	}
	return entries
}

// written is a finding as it stands in the database.
type written struct {
	Check       string           `json:"check"`
	Severity    finding.Severity `json:"severity"`
	Path        string           `json:"path"`
	Excerpt     string           `json:"excerpt"`
	Explanation string           `json:"explanation"`
}

func encodeFindings(findings []finding.Finding) []byte {
	rows := make([]written, 0, len(findings))
	for _, f := range findings {
		rows = append(rows, written(f))
	}
	encoded, err := json.Marshal(rows)
	if err != nil { // Text that is not UTF-8: the scanner writes all that out.
		return encodeFindings([]finding.Finding{unreadable})
	}
	return encoded
}

// unreadable stands for findings that cannot be written or read: what they said is
// not known, so that it counts as the worst.
var unreadable = finding.Finding{
	Check: "scan.degraded", Severity: finding.Hard, Explanation: "What the scanner found is kept in a form that cannot be read.",
}

// DecodeFindings reads findings as they stand in the database. Those that cannot be
// read are one hard finding.
func DecodeFindings(stored []byte) []finding.Finding {
	var rows []written
	if err := json.Unmarshal(stored, &rows); err != nil {
		return []finding.Finding{unreadable}
	}
	var findings []finding.Finding
	for _, row := range rows {
		findings = append(findings, finding.Finding(row))
	}
	return findings
}
