package admin

import (
	"context"
	"fmt"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/warder-gateway/warder/controlplane/internal/enrollment"
	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
)

type agents struct{ *API }

// ListAgents returns the agents that were ever let in, by name, as they reported last.
func (a agents) ListAgents(ctx context.Context, _ *connect.Request[adminv1.ListAgentsRequest]) (*connect.Response[adminv1.ListAgentsResponse], error) {
	rows, err := a.Store.ListAgents(ctx)
	if err != nil {
		return nil, err
	}
	owned, err := a.Store.ListAgentServers(ctx)
	if err != nil {
		return nil, err
	}
	known := make(map[[2]string]bool, len(owned))
	for _, row := range owned {
		known[[2]string{row.Agent, row.Name}] = true
	}
	response := new(adminv1.ListAgentsResponse)
	for _, row := range rows {
		agent, err := agentMessage(row, known)
		if err != nil {
			return nil, err
		}
		response.Agents = append(response.Agents, agent)
	}
	return reply(response), nil
}

// agentMessage is a row with what it reports. Of its servers, known are those that the
// installation has.
func agentMessage(row db.ListAgentsRow, known map[[2]string]bool) (*adminv1.Agent, error) {
	report := new(enrollv1.AgentReport)
	// A newer replica may have kept more of it.
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(row.Report, report); err != nil {
		return nil, fmt.Errorf("read report of agent %s: %w", row.Name, err)
	}
	agent := &adminv1.Agent{
		Name: row.Name, Region: row.Region, Connected: row.Connected, Revoked: row.RevokedAt != nil,
		Version: row.Version, Platform: row.Platform, LastSeenAt: timestamppb.New(row.SeenAt),
		CertificateEndsAt: certificateEnd(row.IssuedAt, row.RevokedAt),
	}
	for _, s := range report.GetServers() {
		agent.Servers = append(agent.Servers, &adminv1.AgentServer{
			Name: s.GetName(), Declared: s.GetLocal(), Phase: phase(s.GetPhase()), What: s.GetWhat(), Pid: s.GetPid(),
			StartedAt: s.GetStartedAt(), Processes: int32(s.GetProcesses()), Restarts: int64(s.GetRestarts()),
			LastError: s.GetLastError(), LastLine: s.GetLastLine(), Known: known[[2]string{row.Name, s.GetName()}],
		})
	}
	for _, t := range report.GetTunnels() {
		agent.Tunnels = append(agent.Tunnels, &adminv1.AgentTunnel{Node: t.GetNode(), RoundTrip: t.GetRoundTrip(), Streams: int32(t.GetStreams())})
	}
	return agent, nil
}

// certificateEnd is until when a certificate is good; nil: it is revoked.
func certificateEnd(issued time.Time, revoked *time.Time) *timestamppb.Timestamp {
	if revoked != nil {
		return nil
	}
	return timestamppb.New(issued.Add(identity.Life))
}

// phase names a phase for people; empty: it is not known here.
func phase(p enrollv1.ServerPhase) string {
	if p == enrollv1.ServerPhase_SERVER_PHASE_UNSPECIFIED {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(p.String(), "SERVER_PHASE_"))
}

// RevokeAgent voids the certificates of an agent. Its servers stay, and are away.
func (a agents) RevokeAgent(ctx context.Context, r *connect.Request[adminv1.RevokeAgentRequest]) (*connect.Response[adminv1.RevokeAgentResponse], error) {
	_, err := a.change(ctx, func(tx *store.Tx) error {
		return enrollment.Revoke(ctx, tx, identity.Peer{Kind: identity.Agent, Name: r.Msg.GetName()}, "agent.revoke", r.Msg.GetReason())
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RevokeAgentResponse{}), nil
}

// RemoveAgent revokes an agent, and forgets it.
func (a agents) RemoveAgent(ctx context.Context, r *connect.Request[adminv1.RemoveAgentRequest]) (*connect.Response[adminv1.RemoveAgentResponse], error) {
	name := r.Msg.GetName()
	_, err := a.change(ctx, func(tx *store.Tx) error {
		if err := enrollment.Revoke(ctx, tx, identity.Peer{Kind: identity.Agent, Name: name}, "agent.remove", "removed"); err != nil {
			return err
		}
		owned, err := tx.ListAgentServers(ctx)
		if err != nil {
			return err
		}
		for _, server := range owned {
			if server.Agent == name {
				return fault.Newf(fault.Precondition, "the agent %s has the server %s; remove its servers first, with 'warder server remove'", name, server.Name)
			}
		}
		_, err = tx.DeleteAgent(ctx, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	return reply(&adminv1.RemoveAgentResponse{}), nil
}
