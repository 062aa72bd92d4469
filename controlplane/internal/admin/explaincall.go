package admin

import (
	"context"
	"encoding/hex"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/controlplane/internal/catalog"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

// recorded reads the question that a recorded call asked: by its caller as he was
// then, at that time, with what the request gives for arguments.
func (p policies) recorded(ctx context.Context, m *adminv1.ExplainDecisionRequest) (*question, error) {
	if !proto.Equal(m, &adminv1.ExplainDecisionRequest{CallId: m.GetCallId(), Arguments: m.GetArguments()}) {
		return nil, fault.New(fault.Invalid, "a recorded call is explained as it was asked: give call_id alone, or with arguments")
	}
	row, err := p.call(ctx, m.GetCallId())
	if err != nil {
		return nil, err
	}
	if !slices.Contains(policy.Methods(), row.Method) || row.Server == "" || row.Tool == "" {
		return nil, fault.Newf(fault.Precondition, "policy was not asked about this call, and there is nothing to ask it about: %s (%s)", row.Reason, row.Rule)
	}
	now, err := p.surroundings(ctx)
	if err != nil {
		return nil, err
	}
	kind := now.kindOf(row.Method, row.Server, row.Tool)
	q := &question{
		asked:  asked{kind: catalogKinds[kind], full: row.Server + "/" + row.Tool, server: row.Server, name: row.Tool},
		method: row.Method,
		caller: &principal.Principal{
			User: row.UserName, Application: row.Application, KeyID: row.KeyID, Groups: row.Groups, Roles: row.Roles,
			Issuer: row.Issuer, TokenID: row.TokenID,
		},
		facts:  policy.Facts{Client: policy.Client{Name: row.ClientName, Version: row.ClientVersion}, Now: row.At},
		record: callMessage(db.TailAuditCallsRow(row)),
	}
	if row.Roles == nil { // Recorded before roles were.
		q.caller.Roles = now.users[row.UserName]
	}
	if row.KeyID != "" {
		if err := p.holder(ctx, q.caller); err != nil && !fault.Is(err, fault.NotFound) {
			return nil, err
		}
	}
	q.entry, err = p.known(ctx, q.asked)
	if fault.Is(err, fault.NotFound) {
		err = nil // It is not there any more, which the explanation says.
	}
	return q, err
}

// call returns a call of the ledger by its id in hex.
func (p policies) call(ctx context.Context, id string) (db.GetAuditCallRow, error) {
	raw, err := hex.DecodeString(id)
	if err != nil || len(raw) != callIDSize {
		return db.GetAuditCallRow{}, fault.Newf(fault.Invalid, "call_id: %q is not the id of a call, which has %d hexadecimal digits", id, 2*callIDSize)
	}
	row, err := p.Store.GetAuditCall(ctx, raw)
	if fault.Is(err, fault.NotFound) {
		return row, fault.Newf(fault.NotFound, "no call %s is recorded; 'warder audit list' lists calls", id)
	}
	return row, err
}

// catalogKinds is the inverse of policyKind.
var catalogKinds = map[policy.Kind]catalog.Kind{policy.Tool: catalog.Tool, policy.Prompt: catalog.Prompt, policy.Resource: catalog.Resource}
