package admin

import (
	"context"
	"encoding/hex"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/mcp"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

type tools struct{ *API }

// toolStates are the states by their names in the database.
var toolStates = map[string]adminv1.ToolState{
	"pending":  adminv1.ToolState_TOOL_STATE_PENDING,
	"approved": adminv1.ToolState_TOOL_STATE_APPROVED,
	"changed":  adminv1.ToolState_TOOL_STATE_CHANGED,
	"rejected": adminv1.ToolState_TOOL_STATE_REJECTED,
}

// stateName is the inverse; unspecified is "".
func stateName(s adminv1.ToolState) (string, error) {
	if s == adminv1.ToolState_TOOL_STATE_UNSPECIFIED {
		return "", nil
	}
	for name, state := range toolStates {
		if state == s {
			return name, nil
		}
	}
	return "", fault.New(fault.Invalid, "this state is not known; it is pending, approved, changed or rejected")
}

// ListTools returns entries by server and kind, in the servers' own order.
func (t tools) ListTools(ctx context.Context, r *connect.Request[adminv1.ListToolsRequest]) (*connect.Response[adminv1.ListToolsResponse], error) {
	state, err := stateName(r.Msg.GetState())
	if err != nil {
		return nil, err
	}
	if name := r.Msg.GetServer(); name != "" {
		if _, err := t.Store.GetServer(ctx, name); fault.Is(err, fault.NotFound) {
			return nil, noServer(name)
		} else if err != nil {
			return nil, err
		}
	}
	rows, err := t.Store.ListEntries(ctx, db.ListEntriesParams{
		Kinds: kindNames(kindsOf(r.Msg.GetKinds())), Server: r.Msg.GetServer(), State: state,
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.ListToolsResponse{Tools: toolMessages(rows)}), nil
}

// GetTool returns an entry with all that a person should see who decides about it:
// the definition, how it differs from the approved one, what the scanner finds in
// it beside what all servers offer now, and what was decided before.
func (t tools) GetTool(ctx context.Context, r *connect.Request[adminv1.GetToolRequest]) (*connect.Response[adminv1.GetToolResponse], error) {
	kind := kindOf(r.Msg.GetKind())
	server, name, err := splitName(kind, r.Msg.GetName())
	if err != nil {
		return nil, err
	}
	row, err := t.Store.GetEntry(ctx, db.GetEntryParams{Server: server, Kind: string(kind), Name: name})
	if fault.Is(err, fault.NotFound) {
		return nil, noEntry([]catalog.Kind{kind}, r.Msg.GetName())
	}
	if err != nil {
		return nil, err
	}
	m, err := t.dossier(ctx, row)
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.GetToolResponse{Tool: m}), nil
}

func toolMessages(rows []db.ListEntriesRow) []*adminv1.Tool {
	out := make([]*adminv1.Tool, 0, len(rows))
	for _, row := range rows {
		out = append(out, toolMessage(row))
	}
	return out
}

// listRow leaves out what only GetTool has.
func listRow(r db.GetEntryRow) db.ListEntriesRow {
	return db.ListEntriesRow{
		ID: r.ID, Server: r.Server, Kind: r.Kind, Name: r.Name, ExposedName: r.ExposedName, State: r.State,
		Disabled: r.Disabled, Missing: r.Missing, Risk: r.Risk, OfferedHash: r.OfferedHash, ApprovedHash: r.ApprovedHash,
		FirstSeenAt: r.FirstSeenAt, Definition: r.Definition, DecidedBy: r.DecidedBy, DecidedAt: r.DecidedAt,
		DecidedReason: r.DecidedReason, RiskSet: r.RiskSet, Findings: r.Findings,
	}
}

func toolMessage(row db.ListEntriesRow) *adminv1.Tool {
	title, description := words(row.Definition)
	return &adminv1.Tool{
		Server: row.Server, Kind: kindMessage(catalog.Kind(row.Kind)), Name: row.Name, ExposedName: row.ExposedName,
		State: toolStates[row.State], Disabled: row.Disabled, Missing: row.Missing, Risk: row.Risk,
		Title: title, Description: description,
		DefinitionHash: hex.EncodeToString(row.OfferedHash), ApprovedHash: hex.EncodeToString(row.ApprovedHash),
		DecidedBy: optional(row.DecidedBy), DecidedAt: timestamp(row.DecidedAt), DecidedReason: optional(row.DecidedReason),
		FirstSeenAt: timestamppb.New(row.FirstSeenAt), RiskSet: row.RiskSet,
		Findings: findingMessages(catalog.DecodeFindings(row.Findings)),
	}
}

// words reads what a definition says of itself for people: untrusted text.
func words(definition []byte) (title, description string) {
	var claimed string
	err := mcp.Members(definition, func(name string, value mcp.Span) error {
		raw := value.Of(definition)
		switch name {
		case "title":
			title = text(raw)
		case "description", "instructions":
			description = text(raw)
		case "annotations":
			claimed = annotatedTitle(raw)
		}
		return nil
	})
	if err != nil {
		return "", ""
	}
	if title == "" {
		title = claimed
	}
	return title, description
}

// text returns the text of a JSON string; "" for anything else.
func text(raw []byte) string {
	s, err := mcp.String(raw)
	if err != nil {
		return ""
	}
	return s
}

func annotatedTitle(raw []byte) (title string) {
	err := mcp.Members(raw, func(name string, value mcp.Span) error {
		if name == "title" {
			title = text(value.Of(raw))
		}
		return nil
	})
	if err != nil {
		return ""
	}
	return title
}
