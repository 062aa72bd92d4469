package enrollment

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/doorman"
	"github.com/warder-gateway/warder/internal/identity"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// methodsOf returns all that is registered.
func (r *rig) methods() (methods []string) {
	for service, info := range r.server.GetServiceInfo() {
		for _, m := range info.Methods {
			methods = append(methods, "/"+service+"/"+m.Name)
		}
	}
	slices.Sort(methods)
	return methods
}

// ask makes one call, and reports whether its handler was reached.
func (r *rig) ask(t *testing.T, conn *grpc.ClientConn, method string) bool {
	t.Helper()
	before := r.reached.Load()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err == nil && stream.SendMsg(new(emptypb.Empty)) == nil && stream.CloseSend() == nil {
		for err == nil {
			err = stream.RecvMsg(new(emptypb.Empty))
		}
	}
	if ctx.Err() != nil {
		t.Errorf("%s: %v", method, err)
	}
	return r.reached.Load() > before
}

// P-10, T-25, T-28, T-43: who reaches which method, of all peers that could be. What a
// row does not say is refused.
func TestP10T43_EachPeerReachesItsMethodsAndNoOthers(t *testing.T) {
	r := newRig(t)
	stranger := newAuthority(t, storetest.New(t), time.Now)
	node, agent := identity.Peer{Kind: identity.Node, Name: "edge"}, identity.Peer{Kind: identity.Agent, Name: "laptop"}
	goodNode, goodAgent := r.join(t, node.Kind, node.Name), r.join(t, agent.Kind, agent.Name)
	revokedNode, revokedAgent := r.join(t, node.Kind, "lost"), r.join(t, agent.Kind, "lost")
	r.revoke(t, node.Kind, "lost")
	r.revoke(t, agent.Kind, "lost")
	now, client, server := time.Now(), x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth
	shows := func(c tls.Certificate) credentials.TransportCredentials { return credentials.NewTLS(r.trusting(c)) }
	const (
		join, rejoin = enrollv1.EnrollService_Join_FullMethodName, enrollv1.EnrollService_Rejoin_FullMethodName
		renew, shown = enrollv1.EnrollService_Renew_FullMethodName, enrollv1.EnrollService_Confirm_FullMethodName
		sync, push   = syncv1.SyncService_Sync_FullMethodName, auditv1.AuditService_Push_FullMethodName
		agents, dial = enrollv1.AgentService_Follow_FullMethodName, tunnelv1.TunnelService_Attach_FullMethodName
	)
	for name, peer := range map[string]struct {
		credentials credentials.TransportCredentials
		may         []string
	}{
		"a node":                     {credentials.NewTLS(goodNode.Client(identity.ControlPlane, "")), []string{join, rejoin, renew, shown, sync, push}},
		"an agent":                   {credentials.NewTLS(goodAgent.Client(identity.ControlPlane, "")), []string{join, rejoin, renew, shown, agents, dial}},
		"no certificate":             {credentials.NewTLS(r.trusting()), []string{join, rejoin}},
		"a revoked node":             {credentials.NewTLS(revokedNode.Client(identity.ControlPlane, "")), []string{join, rejoin}},
		"a revoked agent":            {credentials.NewTLS(revokedAgent.Client(identity.ControlPlane, "")), []string{join, rejoin}},
		"a node that never joined":   {shows(forged(t, r.authority, identity.Peer{Kind: identity.Node, Name: "ghost"}, now, client)), []string{join, rejoin}},
		"an agent by a node's name":  {shows(forged(t, r.authority, identity.Peer{Kind: identity.Agent, Name: "edge"}, now, client)), []string{join, rejoin}},
		"issued before it joined":    {shows(forged(t, r.authority, node, now.Add(-10*time.Minute), client)), []string{join, rejoin}},
		"plaintext":                  {insecure.NewCredentials(), nil},
		"an expired node":            {shows(forged(t, r.authority, node, now.Add(-identity.Life-time.Second), client)), nil},
		"a node of the future":       {shows(forged(t, r.authority, node, now.Add(identity.Backdate+time.Minute), client)), nil},
		"a node of another CA":       {shows(forged(t, stranger, node, now, client)), nil},
		"an agent of another CA":     {shows(forged(t, stranger, agent, now, client)), nil},
		"a server certificate":       {shows(forged(t, r.authority, node, now, server)), nil},
		"the control plane":          {shows(forged(t, r.authority, identity.Peer{Kind: identity.ControlPlane}, now, client)), nil},
		"a kind that there is not":   {shows(forged(t, r.authority, identity.Peer{Kind: "admin", Name: "ana"}, now, client)), nil},
		"a name that cannot be":      {shows(forged(t, r.authority, identity.Peer{Kind: identity.Node, Name: "Edge 1"}, now, client)), nil},
		"the authority's own":        {shows(tls.Certificate{Certificate: [][]byte{r.authority.signing().certificate.Raw}, PrivateKey: r.authority.signing().key}), nil},
		"another's public half only": {shows(tls.Certificate{Certificate: forged(t, r.authority, node, now, client).Certificate, PrivateKey: newKey(t)}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			conn := r.connect(t, peer.credentials)
			for _, method := range r.methods() {
				if reached, may := r.ask(t, conn, method), slices.Contains(peer.may, method); reached != may {
					t.Errorf("%s: reached %t, want %t", method, reached, may)
				}
			}
		})
	}
}

// A resumed session would keep the standing of the one before.
func TestSessionsAreNeverResumed(t *testing.T) {
	r := newRig(t)
	config := r.join(t, identity.Node, "edge").Client(identity.ControlPlane, "")
	config.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	for range 3 {
		conn, err := tls.Dial("tcp", r.address, func() *tls.Config { c := config.Clone(); c.NextProtos = []string{"h2"}; return c }())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil { // SETTINGS: a ticket would have come before.
			t.Fatal(err)
		}
		if conn.ConnectionState().DidResume {
			t.Error("a session was resumed")
		}
		_ = conn.Close()
	}
}

// variants are 30 ways to write the path of Sync that are not it.
func variants() []string {
	const exact = "/warder.sync.v1.SyncService/Sync"
	return []string{
		exact[1:], "/" + exact, "//" + exact, exact + "/", exact + "//", exact + "?x=1", exact + "#x", exact + " ", " " + exact,
		exact + "\t", "/./" + exact[1:], "/../" + exact[1:], "/x/.." + exact, "/%77arder.sync.v1.SyncService/Sync",
		"/warder.sync.v1.SyncService%2FSync", "/warder.sync.v1.SyncService/%53ync", "/warder.sync.v1.SyncService//Sync",
		"/warder.sync.v1.SyncService/./Sync", "/warder.sync.v1.syncservice/Sync", "/Warder.Sync.V1.SyncService/Sync",
		"/warder.sync.v1.SyncService/sync", "/warder.sync.v1.SyncService/SYNC", "/warder.sync.v1.SyncService\\Sync",
		"/warder.sync.v1.SyncService/Sync;x", "/warder.sync.v1.SyncService", "/warder.sync.v1./Sync", "/SyncService/Sync",
		"http://x" + exact, "*", "/",
	}
}

// T-28: raw frames. Paths that are nearly one that is known reach nothing: not of who
// has no certificate, nor of an agent, which may not call it, nor of a node, which may.
func TestT28_OnlyTheExactPathReachesAMethod(t *testing.T) {
	r := newRig(t)
	paths := variants()
	if len(paths) != 30 || slices.Compact(slices.Sorted(slices.Values(paths))) == nil {
		t.Fatalf("%d variants", len(paths))
	}
	for name, config := range map[string]*tls.Config{
		"nobody": r.trusting(), "an agent": r.join(t, identity.Agent, "laptop").Client(identity.ControlPlane, ""),
		"a node": r.join(t, identity.Node, "edge").Client(identity.ControlPlane, ""),
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range paths {
				before := r.reached.Load()
				if answer := r.raw(t, config, path); strings.HasPrefix(answer, "0") {
					t.Errorf("%q: status %s", path, answer)
				}
				if r.reached.Load() != before {
					t.Errorf("%q reached a handler", path)
				}
			}
		})
	}
	// The exact one does reach it: what is above is not a frame that nothing takes.
	node := r.join(t, identity.Node, "edge-2")
	before := r.reached.Load()
	answer := r.raw(t, node.Client(identity.ControlPlane, ""), "/warder.sync.v1.SyncService/Sync")
	if r.reached.Load() != before+1 {
		t.Errorf("the exact path reaches nothing: %s", answer)
	}
}

// raw sends one request with a path as it stands, and returns the status in the
// trailers of the answer, or how the connection ended.
func (r *rig) raw(t *testing.T, config *tls.Config, path string) string {
	t.Helper()
	config = config.Clone()
	config.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", r.address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range [][2]string{
		{":method", "POST"}, {":scheme", "https"}, {":path", path}, {":authority", "x"},
		{"content-type", "application/grpc"}, {"te", "trailers"},
	} {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			t.Fatal(err)
		}
	}
	framer := http2.NewFramer(conn, conn)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}); err != nil {
		t.Fatal(err)
	}
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return err.Error()
		}
		switch f := frame.(type) {
		case *http2.MetaHeadersFrame:
			for _, field := range f.Fields {
				if field.Name == "grpc-status" {
					return field.Value
				}
			}
			if f.StreamEnded() {
				return fmt.Sprint(f.Fields)
			}
		case *http2.RSTStreamFrame, *http2.GoAwayFrame:
			return f.Header().String()
		}
	}
}

// A method that nobody decided on must not exist, and none that was decided on may be
// gone.
func TestEveryMethodHasAnEntry(t *testing.T) {
	r := newRig(t)
	registered := r.methods()
	for _, method := range registered {
		if _, known := admitted[method]; !known {
			t.Errorf("%s is registered and nobody is admitted to it", method)
		}
	}
	for method := range admitted {
		if !slices.Contains(registered, method) {
			t.Errorf("%s is admitted and not registered", method)
		}
	}
}

// A peer without a certificate can join and rejoin, and take up no more than that needs.
func TestPeersWithoutACertificateAreBounded(t *testing.T) {
	r := newRig(t)
	conn, err := tls.Dial("tcp", r.address, r.trusting())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	framer := http2.NewFramer(conn, conn)
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	if err := framer.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	sent := 0
	for ; sent < 100*doorman.StrangerBytes && err == nil; sent += 17 {
		err = framer.WritePing(true, [8]byte{})
	}
	if err == nil {
		t.Errorf("%d bytes were taken", sent)
	}
}

// Places of peers without a certificate are few, and given back.
func TestOneMorePeerWithoutACertificateIsTurnedAway(t *testing.T) {
	r := newRig(t)
	var strangers []net.Conn
	for range doorman.StrangersEach {
		conn, err := tls.Dial("tcp", r.address, r.trusting())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := conn.Read(make([]byte, 1)); err != nil { // The server speaks first, to who is in.
			t.Fatal(err)
		}
		strangers = append(strangers, conn)
	}
	join := func() codes.Code {
		conn, err := grpc.NewClient(r.address, grpc.WithTransportCredentials(credentials.NewTLS(r.trusting())))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, err = enrollv1.NewEnrollServiceClient(conn).Join(t.Context(), &enrollv1.JoinRequest{})
		return status.Code(err)
	}
	if code := join(); code != codes.Unavailable {
		t.Errorf("one more than there is room for: %v", code)
	}
	_ = strangers[0].Close()
	for deadline := time.Now().Add(10 * time.Second); join() != codes.InvalidArgument; time.Sleep(time.Millisecond) { // It is heard that somebody has gone.
		if time.Now().After(deadline) {
			t.Fatal("there is no room again")
		}
	}
}
