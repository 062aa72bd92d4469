package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/finding"
	"github.com/warder-gateway/warder/internal/policy"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// verdict is what a person decides about entries.
type verdict interface {
	// name is how it stands in the database.
	name() string
	// because is the person's reason.
	because() string
	// applies says whether the verdict changes the entry; an error is for the
	// person. Named says that the entry was named, rather than matched by a glob.
	// What is left as it is although it was meant, is errSkipped.
	applies(row db.ListEntriesForUpdateRow, named bool) (bool, error)
	// apply carries it out.
	apply(ctx context.Context, tx *store.Tx, row db.ListEntriesForUpdateRow) error
}

// lookingVerdict is one that depends on what the scanner finds now in what it would
// change.
type lookingVerdict interface {
	verdict
	looksAt(row db.ListEntriesForUpdateRow) bool
}

// errSkipped says that a verdict passes an entry over.
var errSkipped = errors.New("skipped")

// approval approves the definition that the server offers now. What was rejected
// has to be named: a glob takes only what waits. What has hard findings needs the
// person's word that he has seen them (security.md T-01).
type approval struct {
	reason         string
	hash           []byte // only if the definition still has this hash; nil: do not check
	acceptFindings bool
}

func (approval) name() string      { return "approved" }
func (a approval) because() string { return a.reason }

func (approval) looksAt(row db.ListEntriesForUpdateRow) bool {
	return !row.Missing && row.State != "approved"
}

func (a approval) applies(row db.ListEntriesForUpdateRow, named bool) (bool, error) {
	full := row.Server + "/" + row.Name
	switch {
	case a.hash != nil && !bytes.Equal(a.hash, row.OfferedHash):
		return false, fault.Newf(fault.Conflict, "the definition of %s is another one than you saw; look at it again: %s",
			full, showCommand(catalog.Kind(row.Kind), row.Server, row.Name))
	case row.Missing && named:
		return false, fault.Newf(fault.Precondition, "the server does not offer %s any more; refresh the server when it does", full)
	case row.Missing:
		return false, nil
	case row.State == "approved", row.State == "rejected" && !named:
		return false, nil
	case a.acceptFindings:
		return true, nil
	}
	return suspect(row, named)
}

// suspect holds an approval up where the scanner says that there is no innocent
// explanation, or has not looked.
func suspect(row db.ListEntriesForUpdateRow, named bool) (approve bool, err error) {
	findings := catalog.DecodeFindings(row.Findings)
	unseen := row.ScannerVersion == ""
	if finding.Worst(findings) != finding.Hard && !unseen {
		return true, nil
	}
	kind := catalog.Kind(row.Kind)
	full := row.Server + "/" + row.Name
	switch {
	case !named:
		return false, errSkipped
	case unseen:
		return false, fault.Newf(fault.Unavailable, "the scanner has not looked at %s yet, which it does a moment after the start; try again then", full)
	}
	var checks []string
	for _, f := range findings {
		if !slices.Contains(checks, f.Check) {
			checks = append(checks, f.Check)
		}
	}
	return false, fault.Newf(fault.Precondition, "%s looks dangerous (%s); look at it: %s; if you want it all the same: %s --accept-findings",
		full, strings.Join(checks, ", "), showCommand(kind, row.Server, row.Name), approveCommand(kind, row.Server, row.Name))
}

func (a approval) apply(ctx context.Context, tx *store.Tx, row db.ListEntriesForUpdateRow) error {
	_, err := tx.ApproveEntry(ctx, db.ApproveEntryParams{ID: row.ID, Hash: row.OfferedHash})
	return err
}

// rejection takes an entry away until its definition is another one.
type rejection struct{ reason string }

func (rejection) name() string      { return "rejected" }
func (r rejection) because() string { return r.reason }

func (rejection) applies(row db.ListEntriesForUpdateRow, _ bool) (bool, error) {
	return row.State != "rejected", nil
}

func (rejection) apply(ctx context.Context, tx *store.Tx, row db.ListEntriesForUpdateRow) error {
	_, err := tx.RejectEntry(ctx, row.ID)
	return err
}

// turn is the switch apart from approval.
type turn struct {
	off    bool
	reason string
}

func (t turn) name() string {
	if t.off {
		return "disabled"
	}
	return "enabled"
}
func (t turn) because() string { return t.reason }

func (t turn) applies(row db.ListEntriesForUpdateRow, _ bool) (bool, error) {
	return row.Disabled != t.off, nil
}

func (t turn) apply(ctx context.Context, tx *store.Tx, row db.ListEntriesForUpdateRow) error {
	_, err := tx.SetEntryDisabled(ctx, db.SetEntryDisabledParams{ID: row.ID, Disabled: t.off})
	return err
}

// selection is which entries a verdict is about.
type selection struct {
	kinds []catalog.Kind
	// names are "server/name" each, or globs.
	names []string
	// all selects every entry of the kinds, of one server if it is set.
	all    bool
	server string
}

// newSelection refuses names that cannot be any.
func newSelection(kinds []adminv1.Kind, names []string) (selection, error) {
	s := selection{kinds: kindsOf(kinds), names: names}
	for _, name := range names {
		if strings.Contains(name, "*") {
			continue
		}
		if _, _, err := splitName(s.kinds[0], name); err != nil {
			return selection{}, err
		}
	}
	return s, nil
}

// pick is one selected entry.
type pick struct {
	row   db.ListEntriesForUpdateRow
	named bool
}

// of returns the selected entries of rows. What an entry is called is its name,
// also with a star in it, as URI templates have; any other name with a star is a
// glob. A name or a glob that selects nothing is fault.NotFound: it is likely
// mistyped.
func (s selection) of(rows []db.ListEntriesForUpdateRow) ([]pick, error) {
	hit := make(map[string]bool, len(s.names))
	for _, name := range s.names {
		hit[name] = false
	}
	var picks []pick
	var others []db.ListEntriesForUpdateRow
	for _, row := range rows {
		full := row.Server + "/" + row.Name
		_, named := hit[full]
		switch {
		case named:
			hit[full] = true
			picks = append(picks, pick{row, true})
		case s.all && (s.server == "" || s.server == row.Server):
			picks = append(picks, pick{row, false})
		default:
			others = append(others, row)
		}
	}
	for _, name := range s.names {
		if hit[name] {
			continue
		}
		if !strings.Contains(name, "*") {
			return nil, noEntry(s.kinds, name)
		}
		matched, err := s.glob(name, others)
		if err != nil {
			return nil, err
		}
		picks = append(picks, matched...)
	}
	return once(picks), nil
}

// glob returns the entries that a glob selects.
func (s selection) glob(text string, rows []db.ListEntriesForUpdateRow) (picks []pick, err error) {
	globs := make(map[policy.Kind]policy.Glob)
	for _, kind := range s.kinds {
		if globs[policyKind(kind)], err = policy.ParseGlob(policyKind(kind), text); err != nil {
			return nil, err
		}
	}
	for _, row := range rows {
		if globs[policyKind(catalog.Kind(row.Kind))].Matches(row.Server, row.Name) {
			picks = append(picks, pick{row, false})
		}
	}
	if len(picks) == 0 {
		return nil, fault.Newf(fault.NotFound, "no %s matches %q; %s", noun(s.kinds), text, listHint(s.kinds))
	}
	return picks, nil
}

// once drops entries that several globs selected, and orders them by id.
func once(picks []pick) []pick {
	slices.SortStableFunc(picks, func(a, b pick) int { return cmp.Compare(a.row.ID, b.row.ID) })
	return slices.CompactFunc(picks, func(a, b pick) bool { return a.row.ID == b.row.ID })
}

// decided is what came of a verdict.
type decided struct {
	touched int     // how many entries it changed
	skipped []int64 // which it passed over, by id
}

// decide carries a verdict out on the selected entries, in the transaction. If it
// changes none, it records nothing.
func decide(ctx context.Context, tx *store.Tx, v verdict, s selection) (done decided, err error) {
	rows, err := tx.ListEntriesForUpdate(ctx, db.ListEntriesForUpdateParams{Kinds: kindNames(s.kinds), Server: s.server})
	if err != nil {
		return done, err
	}
	picks, err := s.of(rows)
	if err != nil {
		return done, err
	}
	if looking, is := v.(lookingVerdict); is {
		if err := look(ctx, tx, looking, picks); err != nil {
			return done, err
		}
	}
	servers := make(map[string]bool)
	for _, p := range picks {
		changes, err := v.applies(p.row, p.named)
		switch {
		case errors.Is(err, errSkipped):
			done.skipped = append(done.skipped, p.row.ID)
			continue
		case err != nil:
			return done, err
		case !changes:
			continue
		}
		if err := carryOut(ctx, tx, v, p.row); err != nil {
			return done, err
		}
		done.touched++
		servers[p.row.Server] = true
	}
	for server := range servers {
		if err := tx.CloseDecidedAlerts(ctx, db.CloseDecidedAlertsParams{ClosedBy: tx.Actor(), Target: server}); err != nil {
			return done, err
		}
	}
	return done, nil
}

// look puts what the scanner finds now in the place of what it found once: a server
// that came since may be spoken of, or copied.
func look(ctx context.Context, tx *store.Tx, v lookingVerdict, picks []pick) error {
	var ids []int64
	for _, p := range picks {
		if v.looksAt(p.row) {
			ids = append(ids, p.row.ID)
		}
	}
	found, err := catalog.Rescan(ctx, tx, ids)
	if err != nil {
		return err
	}
	for i := range picks {
		if findings, again := found[picks[i].row.ID]; again {
			picks[i].row.Findings = findings
		}
	}
	return nil
}

// carryOut applies a verdict to one entry and writes both down. What the scanner
// had found stands beside it.
func carryOut(ctx context.Context, tx *store.Tx, v verdict, row db.ListEntriesForUpdateRow) error {
	if err := v.apply(ctx, tx, row); err != nil {
		return err
	}
	err := tx.InsertVerdict(ctx, db.InsertVerdictParams{
		EntryID: row.ID, Actor: tx.Actor(), Verdict: v.name(), Hash: row.OfferedHash, Reason: v.because(),
	})
	if err != nil {
		return err
	}
	detail := map[string]any{"definition_hash": hex.EncodeToString(row.OfferedHash), "was": row.State, "reason": v.because()}
	if n := len(catalog.DecodeFindings(row.Findings)); n > 0 {
		detail["findings"] = n
	}
	tx.Record(row.Kind+"."+v.name(), row.Server+"/"+row.Name, detail)
	return nil
}

// judge decides, and returns the selected entries as they are then, and which of
// them were skipped.
func (t tools) judge(ctx context.Context, v verdict, s selection) (out, skipped []*adminv1.Tool, err error) {
	var skip []int64
	var all []db.ListEntriesRow
	err = t.changed(ctx, func(tx *store.Tx) error {
		done, err := decide(ctx, tx, v, s)
		skip = done.skipped
		if err == nil && done.touched == 0 {
			return errUnchanged
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	if all, err = t.selected(ctx, s); err != nil {
		return nil, nil, err
	}
	for _, row := range all {
		out = append(out, toolMessage(row))
		if slices.Contains(skip, row.ID) {
			skipped = append(skipped, toolMessage(row))
		}
	}
	return out, skipped, nil
}

// selected reads the entries of a selection.
func (t tools) selected(ctx context.Context, s selection) ([]db.ListEntriesRow, error) {
	rows, err := t.Store.ListEntries(ctx, db.ListEntriesParams{Kinds: kindNames(s.kinds), Server: s.server})
	if err != nil {
		return nil, err
	}
	keys := make([]db.ListEntriesForUpdateRow, 0, len(rows))
	for _, row := range rows {
		keys = append(keys, db.ListEntriesForUpdateRow{ID: row.ID, Server: row.Server, Kind: row.Kind, Name: row.Name})
	}
	picks, err := s.of(keys)
	if err != nil {
		return nil, err
	}
	chosen := make(map[int64]bool, len(picks))
	for _, p := range picks {
		chosen[p.row.ID] = true
	}
	return slices.DeleteFunc(rows, func(row db.ListEntriesRow) bool { return !chosen[row.ID] }), nil
}

// ApproveTools approves definitions as they stand.
func (t tools) ApproveTools(ctx context.Context, r *connect.Request[adminv1.ApproveToolsRequest]) (*connect.Response[adminv1.ApproveToolsResponse], error) {
	s, v, err := readApproval(r.Msg)
	if err != nil {
		return nil, err
	}
	if s.server != "" {
		if _, err := t.Store.GetServer(ctx, s.server); fault.Is(err, fault.NotFound) {
			return nil, noServer(s.server)
		} else if err != nil {
			return nil, err
		}
	}
	out, skipped, err := t.judge(ctx, v, s)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.ApproveToolsResponse{Tools: out, Skipped: skipped}), nil
}

func readApproval(m *adminv1.ApproveToolsRequest) (selection, approval, error) {
	v := approval{reason: m.GetReason(), acceptFindings: m.GetAcceptFindings()}
	s, err := newSelection(m.GetKinds(), m.GetNames())
	if err != nil {
		return s, v, err
	}
	switch {
	case m.GetAll() && len(m.GetNames()) > 0:
		return s, v, fault.New(fault.Invalid, "give either names or all, not both")
	case !m.GetAll() && len(m.GetNames()) == 0:
		return s, v, fault.Newf(fault.Invalid, "name the %ss to approve as \"server/name\" or \"server/*\", or ask for all", verb(s.kinds[0]))
	case !m.GetAll() && m.GetServer() != "":
		return s, v, fault.New(fault.Invalid, "a server narrows all; names hold their server already")
	}
	s.all, s.server = m.GetAll(), m.GetServer()
	if m.GetDefinitionHash() == "" {
		return s, v, nil
	}
	// With a star it may be the name of a template, and of nothing else.
	if len(s.names) != 1 || strings.Contains(s.names[0], "*") && !slices.Contains(s.kinds, catalog.Template) {
		return s, v, fault.New(fault.Invalid, "a definition hash goes with exactly one name")
	}
	v.hash, err = hex.DecodeString(m.GetDefinitionHash())
	if err != nil || len(v.hash) != 32 {
		return s, v, fault.Newf(fault.Invalid, "a definition hash is 64 hexadecimal digits; 'warder %s show' prints it", verb(s.kinds[0]))
	}
	return s, v, nil
}

// RejectTools rejects tools until their definition is another one.
func (t tools) RejectTools(ctx context.Context, r *connect.Request[adminv1.RejectToolsRequest]) (*connect.Response[adminv1.RejectToolsResponse], error) {
	s, err := newSelection(r.Msg.GetKinds(), r.Msg.GetNames())
	if err != nil {
		return nil, err
	}
	out, _, err := t.judge(ctx, rejection{r.Msg.GetReason()}, s)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RejectToolsResponse{Tools: out}), nil
}

// DisableTools switches tools off.
func (t tools) DisableTools(ctx context.Context, r *connect.Request[adminv1.DisableToolsRequest]) (*connect.Response[adminv1.DisableToolsResponse], error) {
	s, err := newSelection(r.Msg.GetKinds(), r.Msg.GetNames())
	if err != nil {
		return nil, err
	}
	out, _, err := t.judge(ctx, turn{off: true, reason: r.Msg.GetReason()}, s)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.DisableToolsResponse{Tools: out}), nil
}

// EnableTools switches tools on again. Whether they are callable is for their
// state to say.
func (t tools) EnableTools(ctx context.Context, r *connect.Request[adminv1.EnableToolsRequest]) (*connect.Response[adminv1.EnableToolsResponse], error) {
	s, err := newSelection(r.Msg.GetKinds(), r.Msg.GetNames())
	if err != nil {
		return nil, err
	}
	out, _, err := t.judge(ctx, turn{}, s)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.EnableToolsResponse{Tools: out}), nil
}
