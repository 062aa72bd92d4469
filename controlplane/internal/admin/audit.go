package admin

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

type audits struct{ *API }

// outcomeRunning is the outcome of a call that has none yet.
const outcomeRunning = "running"

// ListCalls returns a page of the ledger, newest first.
func (a audits) ListCalls(ctx context.Context, r *connect.Request[adminv1.ListCallsRequest]) (*connect.Response[adminv1.ListCallsResponse], error) {
	beforeAt, beforeID, err := readCallToken(r.Msg.GetPageToken())
	if err != nil {
		return nil, err
	}
	f, size := r.Msg.GetFilter(), pageSize(r.Msg.GetPageSize())
	server, tool := toolFilter(f.GetTool())
	rows, err := a.Store.ListAuditCalls(ctx, db.ListAuditCallsParams{
		UserName: f.GetUser(), Application: f.GetApplication(), Server: server, Tool: tool,
		Decision: f.GetDecision(), Outcome: f.GetOutcome(), Since: moment(f.GetSince()), Until: moment(f.GetUntil()),
		BeforeAt: beforeAt, BeforeID: beforeID, RowLimit: size + 1,
	})
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListCallsResponse)
	if len(rows) > int(size) {
		rows = rows[:size]
		last := rows[size-1]
		response.NextPageToken = callToken(last.At, last.ID)
	}
	for _, row := range rows {
		response.Calls = append(response.Calls, callMessage(db.TailAuditCallsRow(row)))
	}
	return reply(response), nil
}

// toolFilter parts "server/tool"; what has no slash is a server.
func toolFilter(filter string) (server, tool string) {
	server, tool, _ = strings.Cut(filter, "/")
	return server, tool
}

// moment returns nil for an absent time.
func moment(t *timestamppb.Timestamp) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.AsTime())
}

func callMessage(row db.TailAuditCallsRow) *adminv1.Call {
	m := &adminv1.Call{
		Id: hex.EncodeToString(row.ID), At: timestamppb.New(row.At), User: row.UserName, Application: row.Application,
		KeyId: row.KeyID, ClientName: row.ClientName, ClientVersion: row.ClientVersion, RemoteAddress: row.RemoteAddress,
		ProtocolVersion: row.ProtocolVersion, Method: row.Method, Server: row.Server, Tool: row.Tool, Risk: row.Risk,
		Decision: row.Decision, Rule: row.Rule, Reason: row.Reason, Revision: uint64(row.Revision),
		Outcome: outcomeRunning, Error: row.Error, RequestBytes: row.RequestBytes, ResponseBytes: row.ResponseBytes,
		Node: row.Node, DefinitionHash: hex.EncodeToString(row.DefinitionHash),
		ArgumentsDigest: hex.EncodeToString(row.ArgumentsDigest), TraceId: row.TraceID, Suppressed: row.Suppressed,
		Latency: microseconds(row.LatencyUs), ServerLatency: microseconds(row.ServerLatencyUs),
		Roles: row.Roles, Groups: row.Groups, Issuer: row.Issuer, TokenId: row.TokenID,
	}
	if row.Outcome != nil {
		m.Outcome = *row.Outcome
	}
	return m
}

// microseconds returns nil for an absent latency.
func microseconds(us *int64) *durationpb.Duration {
	if us == nil {
		return nil
	}
	return durationpb.New(time.Duration(*us) * time.Microsecond)
}

// ListChanges returns a page of what administrators did, newest first.
func (a audits) ListChanges(ctx context.Context, r *connect.Request[adminv1.ListChangesRequest]) (*connect.Response[adminv1.ListChangesResponse], error) {
	before, err := readRowToken(r.Msg.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(r.Msg.GetPageSize())
	rows, err := a.Store.ListAdminAudit(ctx, db.ListAdminAuditParams{Before: before, RowLimit: size + 1})
	if err != nil {
		return nil, err
	}
	response := new(adminv1.ListChangesResponse)
	if len(rows) > int(size) {
		rows = rows[:size]
		response.NextPageToken = rowToken(rows[size-1].ID)
	}
	for _, row := range rows {
		change := &adminv1.Change{
			At: timestamppb.New(row.At), Actor: row.Actor, Action: row.Action, Target: row.Target, Detail: string(row.Detail),
		}
		if row.Revision != nil {
			change.Revision = uint64(*row.Revision)
		}
		response.Changes = append(response.Changes, change)
	}
	return reply(response), nil
}
