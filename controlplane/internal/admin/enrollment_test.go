package admin

import (
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/snapshot"
	adminv1 "github.com/warder-gateway/warder/proto/gen/warder/admin/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

func TestJoinTokensAreShownOnceAndForAQuarterOfAnHourAtMost(t *testing.T) {
	r := newRig(t)
	made := ask(t, r.local.enrollment.CreateJoinToken, &adminv1.CreateJoinTokenRequest{Kind: "agent", Name: "laptop", Region: "eu"}).or(t)
	token, err := identity.ParseToken(made.GetToken())
	if err != nil || token.ID != made.GetJoinToken().GetId() || token.Fingerprint != r.Authority.Fingerprint() {
		t.Fatalf("token %v: %v", token, err)
	}
	if at := made.GetControlPlane(); at != "control.corp:8444" {
		t.Errorf("whom it lets in is to join at %q", at)
	}
	if life := made.GetJoinToken().GetExpiresAt().AsTime().Sub(made.GetJoinToken().GetCreatedAt().AsTime()); life != 15*time.Minute {
		t.Errorf("it is good for %v", life)
	}
	listed := ask(t, r.local.enrollment.ListJoinTokens, &adminv1.ListJoinTokensRequest{}).or(t)
	if all := listed.GetJoinTokens(); len(all) != 1 || all[0].GetName() != "laptop" || all[0].GetRegion() != "eu" || all[0].GetUsedAt() != nil {
		t.Errorf("listed %v", all)
	}
	if text := listed.String(); strings.Contains(text, token.Secret) || strings.Contains(text, "wdj_") {
		t.Error("the list shows the secret")
	}
	ask(t, r.local.enrollment.RevokeJoinToken, &adminv1.RevokeJoinTokenRequest{Id: token.ID}).or(t)
	if left := ask(t, r.local.enrollment.ListJoinTokens, &adminv1.ListJoinTokensRequest{}).or(t).GetJoinTokens(); len(left) != 0 {
		t.Errorf("after its revocation: %v", left)
	}
	ask(t, r.local.enrollment.RevokeJoinToken, &adminv1.RevokeJoinTokenRequest{Id: "nothing"}).refused(t, connect.CodeNotFound, "no unused join token")
	for _, bad := range []*adminv1.CreateJoinTokenRequest{
		{Kind: "controlplane", Name: "x"}, {Kind: "node", Name: "Edge"}, {Kind: "node"}, {Kind: "node", Name: "x", Region: "EU"},
		{Kind: "node", Name: "x", Life: durationpb.New(15*time.Minute + 1)}, {Kind: "node", Name: "x", Life: durationpb.New(0)},
	} {
		if _, err := r.local.enrollment.CreateJoinToken(t.Context(), connect.NewRequest(bad)); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// denied returns the denial of an agent or a node that nodes get.
func (r *rig) deniedPeer(t *testing.T, key string) *snapshotv1.Deny {
	t.Helper()
	item, _ := r.CurrentSet().Get(snapshot.DenyPrefix + key)
	return item.GetDeny()
}

func TestAgentsAreListedRevokedAndRemoved(t *testing.T) {
	r := newRig(t)
	if _, err := r.Store.JoinAgent(t.Context(), db.JoinAgentParams{Name: "laptop", Region: "eu", Version: "9"}); err != nil {
		t.Fatal(err)
	}
	_, err := r.Store.Pool().Exec(t.Context(), `UPDATE agent SET platform = 'linux/amd64', connected_to = 'r/1', report =
		'{"servers": [{"name": "files", "phase": "SERVER_PHASE_RUNNING", "pid": 7, "restarts": "3"}, {"name": "other", "local": true}],
		"tunnels": [{"node": "edge", "roundTrip": "0.005s"}], "unknown": 1}'`)
	if err != nil {
		t.Fatal(err)
	}
	const server = "INSERT INTO server (name, url, agent, command) VALUES ('files', '', 'laptop', '{npx}')"
	if _, err := r.Store.Pool().Exec(t.Context(), server); err != nil {
		t.Fatal(err)
	}
	all := ask(t, r.local.agents.ListAgents, &adminv1.ListAgentsRequest{}).or(t).GetAgents()
	if len(all) != 1 || !all[0].GetConnected() || all[0].GetRegion() != "eu" || all[0].GetPlatform() != "linux/amd64" || len(all[0].GetServers()) != 2 ||
		len(all[0].GetTunnels()) != 1 || all[0].GetTunnels()[0].GetRoundTrip().AsDuration() != 5*time.Millisecond {
		t.Fatalf("agents %v", all)
	}
	if s := all[0].GetServers(); s[0].GetPhase() != "running" || !s[0].GetKnown() || s[0].GetRestarts() != 3 || s[1].GetKnown() || !s[1].GetDeclared() {
		t.Errorf("servers %v", s)
	}
	// To the second, as certificates are.
	if left := time.Until(all[0].GetCertificateEndsAt().AsTime()); left > identity.Life || left < identity.Life-time.Minute {
		t.Errorf("a certificate that was just issued is said to end in %v", left)
	}
	if r.deniedPeer(t, "agent/laptop") != nil {
		t.Error("denied before")
	}

	began := time.Now()
	ask(t, r.local.agents.RevokeAgent, &adminv1.RevokeAgentRequest{Name: "laptop", Reason: "stolen"}).or(t)
	deny := r.deniedPeer(t, "agent/laptop")
	if deny.GetKind() != snapshotv1.DenyKind_DENY_KIND_AGENT || deny.GetReason() != "stolen" || deny.GetIssuedBefore().AsTime().Before(began) {
		t.Errorf("nodes are told %v", deny)
	}
	if all := ask(t, r.local.agents.ListAgents, &adminv1.ListAgentsRequest{}).or(t).GetAgents(); !all[0].GetRevoked() || all[0].GetCertificateEndsAt() != nil {
		t.Errorf("agents %v", all)
	}
	ask(t, r.local.denials.RemoveDenial, &adminv1.RemoveDenialRequest{Kind: "agent", Name: "laptop"}).refused(t, connect.CodeFailedPrecondition, "warder join-token create --kind agent --name laptop")

	ask(t, r.local.agents.RemoveAgent, &adminv1.RemoveAgentRequest{Name: "laptop"}).refused(t, connect.CodeFailedPrecondition, "has the server files")
	if _, err := r.Store.Pool().Exec(t.Context(), "DELETE FROM server"); err != nil {
		t.Fatal(err)
	}
	ask(t, r.local.agents.RemoveAgent, &adminv1.RemoveAgentRequest{Name: "laptop"}).or(t)
	if all := ask(t, r.local.agents.ListAgents, &adminv1.ListAgentsRequest{}).or(t).GetAgents(); len(all) != 0 || r.deniedPeer(t, "agent/laptop") == nil {
		t.Errorf("removed: agents %v", all)
	}
	ask(t, r.local.agents.RemoveAgent, &adminv1.RemoveAgentRequest{Name: "laptop"}).refused(t, connect.CodeNotFound, "warder agent list")
}

func TestNodesAreRevoked(t *testing.T) {
	r := newRig(t)
	if _, err := r.Store.JoinNode(t.Context(), db.JoinNodeParams{Name: "edge"}); err != nil {
		t.Fatal(err)
	}
	if all := ask(t, r.local.nodes.ListNodes, &adminv1.ListNodesRequest{}).or(t).GetNodes(); all[0].GetCertificateEndsAt() == nil {
		t.Errorf("nodes %v", all)
	}
	ask(t, r.local.nodes.RevokeNode, &adminv1.RevokeNodeRequest{Name: "edge"}).or(t)
	if all := ask(t, r.local.nodes.ListNodes, &adminv1.ListNodesRequest{}).or(t).GetNodes(); len(all) != 1 || !all[0].GetRevoked() || all[0].GetCertificateEndsAt() != nil {
		t.Errorf("nodes %v", all)
	}
	if deny := r.deniedPeer(t, "node/edge"); deny.GetKind() != snapshotv1.DenyKind_DENY_KIND_NODE {
		t.Errorf("nodes are told %v", deny)
	}
	ask(t, r.local.nodes.RevokeNode, &adminv1.RevokeNodeRequest{Name: "nobody"}).refused(t, connect.CodeNotFound, "warder node list")
}

func TestANodeThatIsGoneIsRemoved(t *testing.T) {
	r := newRig(t)
	connected := func(to string) {
		t.Helper()
		if err := r.Store.ConnectNode(t.Context(), db.ConnectNodeParams{Name: "edge", ConnectedTo: to}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Store.JoinNode(t.Context(), db.JoinNodeParams{Name: "edge"}); err != nil {
		t.Fatal(err)
	}
	connected("r/1")
	ask(t, r.local.nodes.RemoveNode, &adminv1.RemoveNodeRequest{Name: "edge"}).refused(t, connect.CodeFailedPrecondition, "warder node revoke edge")
	if all := ask(t, r.local.nodes.ListNodes, &adminv1.ListNodesRequest{}).or(t).GetNodes(); len(all) != 1 || all[0].GetRevoked() || r.deniedPeer(t, "node/edge") != nil {
		t.Errorf("a refusal has done something: %v", all)
	}
	connected("")
	ask(t, r.local.nodes.RemoveNode, &adminv1.RemoveNodeRequest{Name: "edge"}).or(t)
	if all := ask(t, r.local.nodes.ListNodes, &adminv1.ListNodesRequest{}).or(t).GetNodes(); len(all) != 0 || r.deniedPeer(t, "node/edge") == nil {
		t.Errorf("removed: nodes %v", all)
	}
	ask(t, r.local.nodes.RemoveNode, &adminv1.RemoveNodeRequest{Name: "edge"}).refused(t, connect.CodeNotFound, "warder node list")
}

func TestTheAuthorityIsRotatedOnceAtATime(t *testing.T) {
	r := newRig(t)
	made := ask(t, r.local.enrollment.RotateAuthority, &adminv1.RotateAuthorityRequest{}).or(t).GetAuthority()
	all := ask(t, r.local.enrollment.ListAuthorities, &adminv1.ListAuthoritiesRequest{}).or(t).GetAuthorities()
	if len(all) != 2 || all[0].GetRetiresAt() == nil || all[1].GetFingerprint() != made.GetFingerprint() || all[1].GetRetiresAt() != nil ||
		made.GetSignsFrom().AsTime().Before(time.Now().Add(identity.Life)) || r.Authority.Fingerprint() != all[0].GetFingerprint() {
		t.Errorf("authorities %v", all)
	}
	ask(t, r.local.enrollment.RotateAuthority, &adminv1.RotateAuthorityRequest{}).refused(t, connect.CodeAborted, "takes over already")
}
