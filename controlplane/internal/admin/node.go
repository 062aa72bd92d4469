package admin

import (
	"context"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/enrollment"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
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
		node := &adminv1.Node{
			Name: row.Name, Connected: row.Connected, Revision: uint64(row.Revision), DesiredRevision: desired,
			Refusal: row.Refusal, Version: row.Version, Address: row.Address, LastSeenAt: timestamppb.New(row.SeenAt),
			Region: row.Region, TunnelAddress: row.TunnelAddress, Revoked: row.RevokedAt != nil,
			CertificateEndsAt: certificateEnd(row.IssuedAt, row.RevokedAt),
		}
		if row.Connected { // Else they are those that it had.
			node.Agents = row.Agents
		}
		response.Nodes = append(response.Nodes, node)
	}
	return reply(response), nil
}

// RevokeNode voids the certificates of a node.
func (n nodes) RevokeNode(ctx context.Context, r *connect.Request[adminv1.RevokeNodeRequest]) (*connect.Response[adminv1.RevokeNodeResponse], error) {
	_, err := n.change(ctx, func(tx *store.Tx) error {
		return enrollment.Revoke(ctx, tx, identity.Peer{Kind: identity.Node, Name: r.Msg.GetName()}, "node.revoke", r.Msg.GetReason())
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RevokeNodeResponse{}), nil
}

// RemoveNode revokes a node, and forgets it. One that is connected stays: it would still
// be there, and nobody would see it.
func (n nodes) RemoveNode(ctx context.Context, r *connect.Request[adminv1.RemoveNodeRequest]) (*connect.Response[adminv1.RemoveNodeResponse], error) {
	name := r.Msg.GetName()
	_, err := n.change(ctx, func(tx *store.Tx) error {
		if _, err := tx.MoveLocations(ctx); err != nil {
			return err
		}
		if err := enrollment.Revoke(ctx, tx, identity.Peer{Kind: identity.Node, Name: name}, "node.remove", "removed"); err != nil {
			return err
		}
		connected, err := tx.IsNodeConnected(ctx, name)
		if err != nil {
			return err
		}
		if connected {
			return fault.Newf(fault.Precondition, "the node %s is connected; stop it first, or shut it out with 'warder node revoke %s'", name, name)
		}
		_, err = tx.DeleteNode(ctx, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RemoveNodeResponse{}), nil
}
