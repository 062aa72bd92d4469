package enrollment

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
)

// A process that starts again has its identity, whatever became of the token; a new
// token lets it in again.
func TestATokenIsNeededOnceAndMayStay(t *testing.T) {
	r, dir := newRig(t), t.TempDir()
	config := r.config(identity.Node, dir)
	token := r.token(t, identity.Node, "edge").Reveal()
	first, err := identity.Obtain(t.Context(), config, token)
	if err != nil {
		t.Fatal(err)
	}
	r.server.Stop() // It needs nobody for that.
	for _, given := range []string{"", token} {
		again, err := identity.Obtain(t.Context(), config, given)
		if err != nil || again.Peer() != first.Peer() || again.Region() != "eu" || !again.ExpiresAt().Equal(first.ExpiresAt()) {
			t.Errorf("with %.8q: %v", given, err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "identity.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v: %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
	content, err := os.ReadFile(filepath.Join(dir, "identity.pem"))
	if err != nil || strings.Contains(string(content), strings.Split(token, "_")[2]) {
		t.Errorf("the token's secret is kept: %v", err)
	}
}

func TestWithoutIdentityOrTokenItIsSaidWhatToDo(t *testing.T) {
	r, dir := newRig(t), t.TempDir()
	_, err := identity.Obtain(t.Context(), r.config(identity.Node, dir), "")
	if !fault.Is(err, fault.Precondition) || !strings.Contains(fault.Text(err), "warder join-token create --kind node") || fault.Code(err) != identity.CodeIdentity {
		t.Errorf("with nothing: %v", err)
	}
	if _, err := identity.Obtain(t.Context(), r.config(identity.Node, dir), "wdj_x"); !fault.Is(err, fault.Invalid) {
		t.Errorf("with no token: %v", err)
	}
}

// The peer knows the control plane by the token: to another it does not show it.
func TestATokenIsShownToTheControlPlaneThatMadeItAlone(t *testing.T) {
	r, other := newRig(t), newRig(t)
	config := other.config(identity.Node, "")
	_, err := identity.Join(t.Context(), config, r.token(t, identity.Node, "edge"))
	if !fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), "not the control plane that made the join token") || other.reached.Load() != 0 {
		t.Errorf("reached it %d times: %v", other.reached.Load(), err)
	}
}

// What a peer holds works at both ends of a connection, follows a renewal, and expects
// kind and name of the other.
func TestPeersExpectKindAndName(t *testing.T) {
	r := newRig(t)
	node, other, agent := r.join(t, identity.Node, "edge"), r.join(t, identity.Node, "edge-2"), r.join(t, identity.Agent, "laptop")
	tests := map[string]struct {
		listens, dials *identity.Identity
		expect         identity.Peer
		admits         []identity.Kind
		want           string
	}{
		"as expected":              {node, agent, identity.Peer{Kind: identity.Node, Name: "edge"}, []identity.Kind{identity.Agent}, ""},
		"any node":                 {node, other, identity.Peer{Kind: identity.Node}, []identity.Kind{identity.Agent, identity.Node}, ""},
		"another name":             {other, agent, identity.Peer{Kind: identity.Node, Name: "edge"}, []identity.Kind{identity.Agent}, "the certificate of node edge-2, and not of node edge"},
		"another kind":             {node, agent, identity.Peer{Kind: identity.ControlPlane}, []identity.Kind{identity.Agent}, "the certificate of node edge, and not of the control plane"},
		"not admitted":             {node, other, identity.Peer{Kind: identity.Node, Name: "edge"}, []identity.Kind{identity.Agent}, "bad certificate"},
		"an agent does not listen": {agent, node, identity.Peer{Kind: identity.Agent, Name: "laptop"}, []identity.Kind{identity.Node}, "incompatible key usage"},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			server, client := c.listens.Server(c.admits...), c.dials.Client(c.expect.Kind, c.expect.Name)
			for _, when := range []string{"before", "after"} {
				err := shake(t, server, client)
				if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
					t.Errorf("%s a renewal: %v", when, err)
				}
				for _, who := range []*identity.Identity{c.listens, c.dials} {
					if err := who.Renew(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

// shake makes a connection, and returns why either end refused it.
func shake(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	listener, err := tls.Listen("tcp", "127.0.0.1:0", server)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = conn.Write([]byte{1})
	}()
	client = client.Clone()
	client.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", listener.Addr().String(), client)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_, err = conn.Read(make([]byte, 1))
	return err
}
