package admin

import (
	"bytes"
	"context"
	"encoding/hex"
	"slices"
	"strings"

	"connectrpc.com/connect"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// verdict is what a person decides about tools.
type verdict interface {
	// name is how it stands in the database.
	name() string
	// because is the person's reason.
	because() string
	// applies says whether the verdict changes the tool; an error is for the
	// person. Named says that the tool was named, rather than matched by a glob.
	applies(row db.ListToolsForUpdateRow, named bool) (bool, error)
	// apply carries it out.
	apply(ctx context.Context, tx *store.Tx, row db.ListToolsForUpdateRow) error
}

// approval approves the definition that the server offers now. What was rejected
// has to be named: a glob takes only what waits.
type approval struct {
	reason string
	hash   []byte // only if the definition still has this hash; nil: do not check
}

func (approval) name() string      { return "approved" }
func (a approval) because() string { return a.reason }

func (a approval) applies(row db.ListToolsForUpdateRow, named bool) (bool, error) {
	full := row.Server + "/" + row.Name
	switch {
	case a.hash != nil && !bytes.Equal(a.hash, row.OfferedHash):
		return false, fault.Newf(fault.Conflict, "the definition of %s is another one than you saw; look at it again: warder tool show %s", full, full)
	case row.Missing && named:
		return false, fault.Newf(fault.Precondition, "the server does not offer %s any more; refresh the server when it does", full)
	case row.Missing:
		return false, nil
	case row.State == "rejected":
		return named, nil
	}
	return row.State != "approved", nil
}

func (a approval) apply(ctx context.Context, tx *store.Tx, row db.ListToolsForUpdateRow) error {
	_, err := tx.ApproveTool(ctx, db.ApproveToolParams{ID: row.ID, Hash: row.OfferedHash})
	return err
}

// rejection takes a tool away until its definition is another one.
type rejection struct{ reason string }

func (rejection) name() string      { return "rejected" }
func (r rejection) because() string { return r.reason }

func (rejection) applies(row db.ListToolsForUpdateRow, _ bool) (bool, error) {
	return row.State != "rejected", nil
}

func (rejection) apply(ctx context.Context, tx *store.Tx, row db.ListToolsForUpdateRow) error {
	_, err := tx.RejectTool(ctx, row.ID)
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

func (t turn) applies(row db.ListToolsForUpdateRow, _ bool) (bool, error) {
	return row.Disabled != t.off, nil
}

func (t turn) apply(ctx context.Context, tx *store.Tx, row db.ListToolsForUpdateRow) error {
	_, err := tx.SetToolDisabled(ctx, db.SetToolDisabledParams{ID: row.ID, Disabled: t.off})
	return err
}

// selection is which tools a verdict is about.
type selection struct {
	named []string // "server/tool"
	globs []string
	// all selects every tool, of one server if it is set.
	all    bool
	server string
}

// newSelection parts names from globs.
func newSelection(names []string) (s selection, err error) {
	for _, name := range names {
		if strings.Contains(name, "*") {
			s.globs = append(s.globs, name)
			continue
		}
		if _, _, err := splitTool(name); err != nil {
			return selection{}, err
		}
		s.named = append(s.named, name)
	}
	return s, nil
}

// pick is one selected tool.
type pick struct {
	row   db.ListToolsForUpdateRow
	named bool
}

// of returns the selected tools. A name or a glob that selects nothing is
// fault.NotFound: it is likely mistyped.
func (s selection) of(rows []db.ListToolsForUpdateRow) ([]pick, error) {
	globs, hit := make([]policy.Glob, len(s.globs)), make([]bool, len(s.globs))
	for i, text := range s.globs {
		var err error
		if globs[i], err = policy.ParseGlob(policy.Tool, text); err != nil {
			return nil, err
		}
	}
	var picks []pick
	unseen := make(map[string]bool)
	for _, name := range s.named {
		unseen[name] = true
	}
	for _, row := range rows {
		full := row.Server + "/" + row.Name
		p := pick{row, unseen[full]}
		delete(unseen, full)
		chosen := p.named || s.all && (s.server == "" || s.server == row.Server)
		for i, g := range globs {
			if g.Matches(row.Server, row.Name) {
				chosen, hit[i] = true, true
			}
		}
		if chosen {
			picks = append(picks, p)
		}
	}
	for _, name := range s.named {
		if unseen[name] {
			return nil, noTool(name)
		}
	}
	if i := slices.Index(hit, false); i >= 0 {
		return nil, fault.Newf(fault.NotFound, "no tool matches %q; 'warder tool list' shows the tools", s.globs[i])
	}
	return picks, nil
}

// decide carries a verdict out on the selected tools, in the transaction, and
// returns how many it changed. If it changes none, it records nothing.
func decide(ctx context.Context, tx *store.Tx, v verdict, s selection) (touched int, err error) {
	rows, err := tx.ListToolsForUpdate(ctx, s.server)
	if err != nil {
		return 0, err
	}
	picks, err := s.of(rows)
	if err != nil {
		return 0, err
	}
	for _, p := range picks {
		changes, err := v.applies(p.row, p.named)
		if err != nil {
			return 0, err
		}
		if !changes {
			continue
		}
		if err := v.apply(ctx, tx, p.row); err != nil {
			return 0, err
		}
		err = tx.InsertToolVerdict(ctx, db.InsertToolVerdictParams{
			ToolID: p.row.ID, Actor: tx.Actor(), Verdict: v.name(), Hash: p.row.OfferedHash, Reason: v.because(),
		})
		if err != nil {
			return 0, err
		}
		tx.Record("tool."+v.name(), p.row.Server+"/"+p.row.Name, map[string]any{
			"definition_hash": hex.EncodeToString(p.row.OfferedHash), "was": p.row.State, "reason": v.because(),
		})
		touched++
	}
	return touched, nil
}

// judge decides, and returns the selected tools as they are then.
func (t tools) judge(ctx context.Context, v verdict, s selection) ([]*adminv1.Tool, error) {
	err := t.changed(ctx, func(tx *store.Tx) error {
		touched, err := decide(ctx, tx, v, s)
		if err == nil && touched == 0 {
			return errUnchanged
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return t.selected(ctx, s)
}

// selected reads the tools of a selection.
func (t tools) selected(ctx context.Context, s selection) ([]*adminv1.Tool, error) {
	rows, err := t.Store.ListTools(ctx, db.ListToolsParams{Server: s.server})
	if err != nil {
		return nil, err
	}
	keys := make([]db.ListToolsForUpdateRow, 0, len(rows))
	for _, row := range rows {
		keys = append(keys, db.ListToolsForUpdateRow{ID: row.ID, Server: row.Server, Name: row.Name})
	}
	picks, err := s.of(keys)
	if err != nil {
		return nil, err
	}
	chosen := make(map[int64]bool, len(picks))
	for _, p := range picks {
		chosen[p.row.ID] = true
	}
	var out []*adminv1.Tool
	for _, row := range rows {
		if chosen[row.ID] {
			out = append(out, toolMessage(row))
		}
	}
	return out, nil
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
	out, err := t.judge(ctx, v, s)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.ApproveToolsResponse{Tools: out}), nil
}

func readApproval(m *adminv1.ApproveToolsRequest) (selection, approval, error) {
	v := approval{reason: m.GetReason()}
	s, err := newSelection(m.GetNames())
	if err != nil {
		return s, v, err
	}
	switch {
	case m.GetAll() && len(m.GetNames()) > 0:
		return s, v, fault.New(fault.Invalid, "give either names or all, not both")
	case !m.GetAll() && len(m.GetNames()) == 0:
		return s, v, fault.New(fault.Invalid, "name the tools to approve as \"server/tool\" or \"server/*\", or ask for all")
	case !m.GetAll() && m.GetServer() != "":
		return s, v, fault.New(fault.Invalid, "a server narrows all; names hold their server already")
	}
	s.all, s.server = m.GetAll(), m.GetServer()
	if m.GetDefinitionHash() == "" {
		return s, v, nil
	}
	if len(s.named) != 1 || len(s.globs) > 0 {
		return s, v, fault.New(fault.Invalid, "a definition hash goes with exactly one name")
	}
	v.hash, err = hex.DecodeString(m.GetDefinitionHash())
	if err != nil || len(v.hash) != 32 {
		return s, v, fault.New(fault.Invalid, "a definition hash is 64 hexadecimal digits; 'warder tool show' prints it")
	}
	return s, v, nil
}

// RejectTools rejects tools until their definition is another one.
func (t tools) RejectTools(ctx context.Context, r *connect.Request[adminv1.RejectToolsRequest]) (*connect.Response[adminv1.RejectToolsResponse], error) {
	s, err := newSelection(r.Msg.GetNames())
	if err != nil {
		return nil, err
	}
	out, err := t.judge(ctx, rejection{r.Msg.GetReason()}, s)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RejectToolsResponse{Tools: out}), nil
}

// DisableTools switches tools off.
func (t tools) DisableTools(ctx context.Context, r *connect.Request[adminv1.DisableToolsRequest]) (*connect.Response[adminv1.DisableToolsResponse], error) {
	s, err := newSelection(r.Msg.GetNames())
	if err != nil {
		return nil, err
	}
	out, err := t.judge(ctx, turn{off: true, reason: r.Msg.GetReason()}, s)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.DisableToolsResponse{Tools: out}), nil
}

// EnableTools switches tools on again. Whether they are callable is for their
// state to say.
func (t tools) EnableTools(ctx context.Context, r *connect.Request[adminv1.EnableToolsRequest]) (*connect.Response[adminv1.EnableToolsResponse], error) {
	s, err := newSelection(r.Msg.GetNames())
	if err != nil {
		return nil, err
	}
	out, err := t.judge(ctx, turn{}, s)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.EnableToolsResponse{Tools: out}), nil
}
