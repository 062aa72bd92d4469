package admin

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
)

type nodes struct{ *API }

// ListNodes returns the nodes that were ever let in, by name.
func (n nodes) ListNodes(ctx context.Context, _ *connect.Request[adminv1.ListNodesRequest]) (*connect.Response[adminv1.ListNodesResponse], error) {
	rows, err := n.Store.ListNodes(ctx)
	if err != nil {
		return nil, err
	}
	var desired uint64
	if set := n.CurrentSet(); set != nil {
		desired = set.Revision()
	}
	response := new(adminv1.ListNodesResponse)
	for _, row := range rows {
		response.Nodes = append(response.Nodes, &adminv1.Node{
			Name: row.Name, Connected: row.Connected, Revision: uint64(row.Revision), DesiredRevision: desired,
			Refusal: row.Refusal, Version: row.Version, Address: row.Address, LastSeenAt: timestamppb.New(row.SeenAt),
		})
	}
	return reply(response), nil
}

// IssueNode makes a certificate. The act is audited before the certificate is
// handed out.
func (n nodes) IssueNode(ctx context.Context, r *connect.Request[adminv1.IssueNodeRequest]) (*connect.Response[adminv1.IssueNodeResponse], error) {
	issued, err := n.API.IssueNode(r.Msg.GetName())
	if err != nil {
		return nil, err
	}
	err = n.act(ctx, func(tx *store.Tx) error {
		tx.Note("node.issue", r.Msg.GetName(), map[string]any{"expires_at": issued.ExpiresAt})
		return tx.EnsureNode(ctx, r.Msg.GetName())
	})
	if err != nil {
		return nil, err
	}
	response := reply(&adminv1.IssueNodeResponse{
		Certificate: string(issued.Certificate), PrivateKey: string(issued.Key), Authority: string(issued.Authority),
		ExpiresAt: timestamppb.New(issued.ExpiresAt),
	})
	response.Header().Set("Cache-Control", "no-store")
	return response, nil
}
