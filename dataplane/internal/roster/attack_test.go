package roster_test

import (
	"context"
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// trap is a handler that no call must reach.
type trap struct{ t testing.TB }

func (p trap) Serve(_ context.Context, in *tunnel.Incoming, w tunnel.Answer) {
	p.t.Errorf("an intruder got a call to %q: %v", in.Server, in.Header)
	w.Reply(200, nil, nil)
}

// with returns how a peer with any certificate of the authority dials, checking nothing.
func (a *authority) with(who identity.Peer, until time.Time) *tls.Config {
	cert, key := a.certificate(who, until)
	return &tls.Config{
		MinVersion: tls.VersionTLS13, InsecureSkipVerify: true,
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
	}
}

// stream opens a stream of either service, and returns how it ends.
func stream(t *testing.T, n *node, secure credentials.TransportCredentials, relay bool) error {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+n.address, grpc.WithTransportCredentials(secure))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var s grpc.BidiStreamingClient[tunnelv1.Frames, tunnelv1.Frames]
	if relay {
		s, err = tunnelv1.NewRelayServiceClient(conn).Relay(ctx)
	} else {
		s, err = tunnelv1.NewTunnelServiceClient(conn).Attach(ctx)
	}
	for err == nil {
		_, err = s.Recv() // A hello comes to who is let in; nothing is said to it.
		if err == nil {
			return nil
		}
	}
	return err
}

// The moves of security.md T-43 that are made at nodes, by who gets no stream at all.
func TestNobodyAttachesOrRelaysUnderANameThatIsNotTheirs(t *testing.T) {
	nodes, server, ca, _ := cluster(t, mcp.Version20260728, echo, "one")
	other := newAuthority(t)
	agent, node := identity.Peer{Kind: identity.Agent, Name: "laptop"}, identity.Peer{Kind: identity.Node, Name: "two"}
	soon := time.Now().Add(time.Hour)
	for name, move := range map[string]struct {
		secure credentials.TransportCredentials
		relay  bool
	}{
		"in the clear":                         {insecure.NewCredentials(), false},
		"in the clear, as a node":              {insecure.NewCredentials(), true},
		"without a certificate":                {credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}), false},
		"of another authority":                 {credentials.NewTLS(other.with(agent, soon)), false},
		"of another authority, as a node":      {credentials.NewTLS(other.with(node, soon)), true},
		"expired":                              {credentials.NewTLS(ca.with(agent, time.Now().Add(-time.Minute))), false},
		"not yet valid":                        {credentials.NewTLS(ca.with(agent, time.Now().Add(3*time.Hour))), false},
		"a node as an agent":                   {credentials.NewTLS(ca.with(node, soon)), false},
		"an agent as a node":                   {credentials.NewTLS(ca.with(agent, soon)), true},
		"the control plane as an agent":        {credentials.NewTLS(ca.with(identity.Peer{Kind: identity.ControlPlane}, soon)), false},
		"the control plane as a node":          {credentials.NewTLS(ca.with(identity.Peer{Kind: identity.ControlPlane}, soon)), true},
		"a kind that is none":                  {credentials.NewTLS(ca.with(identity.Peer{Kind: "admin", Name: "laptop"}, soon)), false},
		"a name that is a path":                {credentials.NewTLS(ca.with(identity.Peer{Kind: identity.Agent, Name: "laptop/x"}, soon)), false},
		"a name in capitals":                   {credentials.NewTLS(ca.with(identity.Peer{Kind: identity.Agent, Name: "Laptop"}, soon)), false},
		"an agent without a name":              {credentials.NewTLS(ca.with(identity.Peer{Kind: identity.Agent}, soon)), false},
		"the authority's own certificate":      {credentials.NewTLS(own(ca)), false},
		"the other authority's own, as a node": {credentials.NewTLS(own(other)), true},
	} {
		if err := stream(t, nodes[0], move.secure, move.relay); err == nil {
			t.Errorf("%s: let in", name)
		}
	}
	here(t, nodes[0], "laptop[files]")
	wantEcho(t, nodes[0], server, mcp.Modern)
}

func own(a *authority) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key}}}
}

func TestAnAgentServesWhatItWasGivenAndNothingElse(t *testing.T) {
	nodes, server, ca, _ := cluster(t, mcp.Version20260728, echo, "one", "two")
	mail := serverOf("desk", "mail", mcp.Version20260728)
	retain(nodes, server, mail)
	intruder := ca.identity(identity.Agent, "intruder").Client(identity.Node, "")
	attach(t, intruder, nodes[0], trap{t}, "files", "mail", "laptop", "")
	attach(t, intruder, nodes[1], trap{t}, "files", "mail")
	here(t, nodes[0], "intruder[] laptop[files]")
	here(t, nodes[1], "intruder[]")
	locate(nodes)
	for _, n := range nodes {
		wantEcho(t, n, server, mcp.Modern)
		if _, failure := ask(t, n, call(t, mail, mcp.Modern, "{}")); !strings.Contains(failure, `agent "desk" is not connected`) {
			t.Errorf("at %s, a call to the server of an agent that is away: %q", n.name, failure)
		}
	}
	// Nor does a node that asks for a server at the wrong agent get one.
	for _, agent := range []string{"intruder", "desk", "", "laptop "} {
		if _, err := nodes[1].relay.Do(t.Context(), "one", &tunnel.Request{Agent: agent, Server: "files", Method: "POST"}); err == nil {
			t.Errorf("files is served by agent %q", agent)
		}
	}
	if _, err := nodes[1].relay.Do(t.Context(), "one", &tunnel.Request{Errand: "anything", Method: "POST"}); err == nil {
		t.Error("an errand is served that nobody knows")
	}
}

func TestATunnelThatHasNotSaidHelloDisplacesNobody(t *testing.T) {
	nodes, server, ca, _ := cluster(t, mcp.Version20260728, echo, "one")
	secure := ca.identity(identity.Agent, "laptop").Client(identity.Node, "")
	conn, err := grpc.NewClient("passthrough:///"+nodes[0].address, grpc.WithTransportCredentials(credentials.NewTLS(secure)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	refused := 0
	for range 12 { // More than an agent may have open.
		silent, err := tunnelv1.NewTunnelServiceClient(conn).Attach(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := silent.Recv(); err != nil {
			refused++
		}
	}
	if refused != 5 { // Of eight, one is the good one.
		t.Errorf("%d silent streams were refused, want 5", refused)
	}
	for range 20 {
		wantEcho(t, nodes[0], server, mcp.Modern)
	}
}

func TestTheOldestOfTooManyTunnelsEnds(t *testing.T) {
	nodes, server, ca, first := cluster(t, mcp.Version20260728, echo, "one")
	secure := ca.identity(identity.Agent, "laptop").Client(identity.Node, "")
	for range 4 {
		attach(t, secure, nodes[0], mcpServer(t, echo), "files")
	}
	select {
	case err := <-first.ended:
		if !strings.Contains(err.Error(), "too many other tunnels") {
			t.Errorf("the oldest ended by %v", err)
		}
	case <-time.After(patience):
		t.Error("the oldest of five tunnels stays")
	}
	wantEcho(t, nodes[0], server, mcp.Modern)
}

func TestADeniedAgentLosesItsTunnelsAndGetsNone(t *testing.T) {
	nodes, server, ca, agent := cluster(t, mcp.Version20260728, echo, "one", "two")
	items := retained(nodes, server, identity.Denials{"laptop": {Reason: "lost"}}, nil)
	select {
	case err := <-agent.ended:
		if !strings.Contains(err.Error(), "revoked") {
			t.Errorf("it is told %v", err)
		}
	case <-time.After(patience):
		t.Fatal("the tunnel of a denied agent stays")
	}
	for _, n := range nodes {
		if _, failure := ask(t, n, call(t, server, mcp.Modern, "{}")); !strings.Contains(failure, `agent "laptop" is revoked`) {
			t.Errorf("at %s: %q", n.name, failure)
		}
		if len(n.roster.Away(items)) != 1 {
			t.Errorf("%s does not take its server for away", n.name)
		}
	}
	if err := stream(t, nodes[0], credentials.NewTLS(ca.identity(identity.Agent, "laptop").Client(identity.Node, "")), false); err == nil {
		t.Error("a denied agent attaches again")
	}
	here(t, nodes[0], "")
}

func TestADeniedNodeIsNeitherServedNorAsked(t *testing.T) {
	nodes, server, _, _ := cluster(t, mcp.Version20260728, echo, "one", "two")
	wantEcho(t, nodes[1], server, mcp.Modern)
	nodes[0].relay.Retain(identity.Denials{"two": {Reason: "stolen"}})
	eventually(t, "the line of a denied node ends, and no other is let in", func() bool {
		_, failure := ask(t, nodes[1], call(t, server, mcp.Modern, "{}"))
		return failure != ""
	})
	nodes[0].relay.Retain(nil)
	eventually(t, "it is served again", func() bool {
		_, failure := ask(t, nodes[1], call(t, server, mcp.Modern, "{}"))
		return failure == ""
	})
	retained(nodes[1:], server, nil, identity.Denials{"one": {Reason: "stolen"}})
	if _, failure := ask(t, nodes[1], call(t, server, mcp.Modern, "{}")); !strings.Contains(failure, "not connected") {
		t.Errorf("a denied node is asked: %q", failure)
	}
}

// TestARevocationIsOfWhatWasIssuedBefore: who joined anew with another token is let in, and what was stolen is not.
func TestARevocationIsOfWhatWasIssuedBefore(t *testing.T) {
	nodes, server, ca, _ := cluster(t, mcp.Version20260728, echo, "one", "two")
	laptop, two := identity.Peer{Kind: identity.Agent, Name: "laptop"}, identity.Peer{Kind: identity.Node, Name: "two"}
	stolen := time.Now().Add(identity.Life / 2) // half an hour old
	thief := attach(t, ca.with(laptop, stolen), nodes[0], mcpServer(t, echo), "files")
	wantEcho(t, nodes[1], server, mcp.Modern)

	retained(nodes, server, identity.Denials{"laptop": {Before: time.Now()}}, identity.Denials{"one": {Before: time.Now()}, "two": {Before: time.Now()}})
	select {
	case <-thief.ended:
	case <-time.After(patience):
		t.Fatal("the tunnel by a void certificate stays")
	}
	locate(nodes) // As the control plane does, which knows who joined anew.
	for _, n := range nodes {
		wantEcho(t, n, server, mcp.Modern)
	}
	if err := stream(t, nodes[0], credentials.NewTLS(ca.with(laptop, stolen)), false); err == nil {
		t.Error("a void certificate of an agent is let in")
	}
	if err := stream(t, nodes[0], credentials.NewTLS(ca.with(two, stolen)), true); err == nil {
		t.Error("a void certificate of a node is let in")
	}
	if err := stream(t, nodes[0], credentials.NewTLS(ca.identity(identity.Agent, "laptop").Client(identity.Node, "")), false); err != nil {
		t.Errorf("who joined anew is refused: %v", err)
	}
}

// TestANodeDialsNobodyWithAVoidCertificate: who has taken over the address of a node has its old certificate, too.
func TestANodeDialsNobodyWithAVoidCertificate(t *testing.T) {
	nodes, server, _, _ := cluster(t, mcp.Version20260728, echo, "one", "two")
	nodes[1].relay.Retain(identity.Denials{"one": {Before: time.Now().Add(identity.Life)}})
	if _, failure := ask(t, nodes[1], call(t, server, mcp.Modern, "{}")); !strings.Contains(failure, "not connected") {
		t.Errorf("it is asked: %q", failure)
	}
	nodes[1].relay.Retain(nil)
	eventually(t, "it is asked again", func() bool {
		_, failure := ask(t, nodes[1], call(t, server, mcp.Modern, "{}"))
		return failure == ""
	})
}

func TestANodeHasAFewLinesToAnother(t *testing.T) {
	nodes, _, ca, _ := cluster(t, mcp.Version20260728, echo, "one")
	var last error
	for range 9 {
		conn, err := grpc.NewClient("passthrough:///"+nodes[0].address, grpc.WithTransportCredentials(
			credentials.NewTLS(ca.with(identity.Peer{Kind: identity.Node, Name: "two"}, time.Now().Add(time.Hour)))))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		s, err := tunnelv1.NewRelayServiceClient(conn).Relay(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if last != nil {
			t.Fatalf("refused before there are too many: %v", last)
		}
		_, last = s.Recv()
	}
	if status.Code(last) != codes.ResourceExhausted {
		t.Errorf("one line more: %v", last)
	}
}

func TestWhoIsDialledIsTheNodeThatIsMeant(t *testing.T) {
	nodes, server, _, _ := cluster(t, mcp.Version20260728, echo, "one", "two", "three")
	// Three answers at the address of one.
	nodes[0].address = nodes[2].address
	locate(nodes)
	_, failure := ask(t, nodes[1], call(t, server, mcp.Modern, "{}"))
	if !strings.Contains(failure, "not connected") {
		t.Errorf("a call by a node that is another: %q", failure)
	}
}

// retained is retain with denials, and returns the servers.
func retained(nodes []*node, server *snapshotv1.Server, agents, barred identity.Denials) []*snapshotv1.Server {
	items := []*snapshotv1.Server{server}
	for _, n := range nodes {
		n.roster.Retain(items, agents, barred)
		n.relay.Retain(barred)
	}
	return items
}
