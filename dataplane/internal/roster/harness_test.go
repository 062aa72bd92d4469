package roster_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/warder-gateway/warder/dataplane/internal/relay"
	"github.com/warder-gateway/warder/dataplane/internal/roster"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	"github.com/warder-gateway/warder/internal/tunnel"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// patience bounds each wait of a test.
const patience = 20 * time.Second

// eventually waits until something is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !so(); {
		if time.Now().After(deadline) {
			t.Fatalf("never came to be: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// authority signs the certificates of a test's nodes and agents.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	a.cert = a.sign(template, template, a.key)
	return a
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert
}

// certificate returns one of a peer, good until then.
func (a *authority) certificate(who identity.Peer, until time.Time) (*x509.Certificate, *ecdsa.PrivateKey) {
	key := newKey(a.t)
	return a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), URIs: []*url.URL{who.URI()}, NotBefore: until.Add(-time.Hour), NotAfter: until,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}, a.cert, key), key
}

func (a *authority) identity(kind identity.Kind, name string) *identity.Identity {
	a.t.Helper()
	cert, key := a.certificate(identity.Peer{Kind: kind, Name: name}, time.Now().Add(time.Hour))
	who, err := identity.New(identity.Config{Kind: kind, Log: slog.New(slog.DiscardHandler)}, key,
		&enrollv1.Credential{Certificate: cert.Raw, Authorities: [][]byte{a.cert.Raw}}, "")
	if err != nil {
		a.t.Fatal(err)
	}
	return who
}

// node is what of a node has to do with tunnels, and what calls through it.
type node struct {
	name, address string
	roster        *roster.Roster
	relay         *relay.Relay
	pool          *upstream.Pool
	changed       chan struct{} // capacity 1
	metrics       *prometheus.Registry
}

// metric returns the sum of one of the relay.
func (n *node) metric(name string, labels ...string) (sum float64) {
	families, err := n.metrics.Gather()
	if err != nil {
		panic(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			wanted := len(labels)
			for _, label := range m.GetLabel() {
				if slices.Contains(labels, label.GetValue()) {
					wanted--
				}
			}
			if wanted == 0 {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

type (
	attaching struct {
		tunnelv1.UnsafeTunnelServiceServer
		*roster.Roster
	}
	relaying struct {
		tunnelv1.UnsafeRelayServiceServer
		relay *relay.Relay
	}
)

func (r relaying) Relay(stream grpc.BidiStreamingServer[tunnelv1.Frames, tunnelv1.Frames]) error {
	return r.relay.Serve(stream)
}

// startNode starts one with mutual TLS on loopback.
func startNode(t testing.TB, ca *authority, name string, changes ...func(*relay.Config)) *node {
	t.Helper()
	who := ca.identity(identity.Node, name)
	n := &node{name: name, changed: make(chan struct{}, 1), metrics: prometheus.NewRegistry()}
	config := relay.Config{
		Registerer: n.metrics,
		Client:     func(node string) *tls.Config { return who.Client(identity.Node, node) },
		Local: func(ctx context.Context, r *tunnel.Request) (*tunnel.Response, error) {
			return n.roster.Local(ctx, r)
		},
		Errand: func(_ context.Context, _, kind string, _ []byte, w tunnel.Answer) {
			if kind == "hail" {
				w.Reply(200, nil, nil)
			}
		},
	}
	for _, change := range changes {
		change(&config)
	}
	n.relay = relay.New(config)
	n.roster = roster.New(roster.Config{Node: name, Relay: n.relay, Registerer: n.metrics, Changed: func() {
		select {
		case n.changed <- struct{}{}:
		default:
		}
	}})
	n.pool = upstream.New(upstream.Config{Agents: func(s *snapshotv1.Server) upstream.Carrier { return n.roster.Carrier(s) }})
	admission := &identity.Admission{Log: slog.New(slog.DiscardHandler), Methods: map[string][]identity.Kind{
		tunnelv1.TunnelService_Attach_FullMethodName: {identity.Agent},
		tunnelv1.RelayService_Relay_FullMethodName:   {identity.Node},
	}}
	server := grpc.NewServer(append(admission.Interceptors(), grpc.Creds(credentials.NewTLS(who.Server(identity.Agent, identity.Node))))...)
	tunnelv1.RegisterTunnelServiceServer(server, attaching{Roster: n.roster})
	tunnelv1.RegisterRelayServiceServer(server, relaying{relay: n.relay})
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.address = socket.Addr().String()
	ctx, stop := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	parts.Go(func() { server.Serve(socket) })
	parts.Go(func() { n.roster.Run(ctx) })
	t.Cleanup(func() {
		closing, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		n.pool.Close(closing)
		stop()
		n.relay.Close()
		server.Stop()
		parts.Wait()
	})
	return n
}

// locate tells nodes what the control plane would: where all are. What a test adds may be wrong.
func locate(nodes []*node, wrong ...*syncv1.AgentLocation) {
	locations := new(syncv1.Locations)
	at := make(map[string]*syncv1.AgentLocation)
	for _, n := range nodes {
		locations.Nodes = append(locations.Nodes, &syncv1.NodeLocation{Name: n.name, TunnelAddress: n.address})
		for _, agent := range n.roster.Attached().GetAgents() {
			if at[agent.GetName()] == nil {
				at[agent.GetName()] = &syncv1.AgentLocation{Name: agent.GetName()}
				locations.Agents = append(locations.Agents, at[agent.GetName()])
			}
			l := at[agent.GetName()]
			l.Nodes, l.Ready = append(l.Nodes, n.name), append(l.Ready, agent.GetReady()...)
		}
	}
	locations.Agents = append(locations.Agents, wrong...)
	for _, n := range nodes {
		n.relay.Locate(locations.GetNodes())
		n.roster.Locate(locations)
	}
}

// retain tells nodes which servers there are.
func retain(nodes []*node, servers ...*snapshotv1.Server) {
	for _, n := range nodes {
		n.roster.Retain(servers, nil, nil)
	}
}

func serverOf(agent, name, version string) *snapshotv1.Server {
	return &snapshotv1.Server{Name: name, Agent: agent, ProtocolVersion: version}
}

// attachment is an agent's tunnel to one node.
type attachment struct {
	*tunnel.Tunnel
	kill  func() // as if the process were killed
	ended chan error
}

// attach opens a tunnel as an agent does, whose servers are what serves.
func attach(t testing.TB, secure *tls.Config, n *node, serves tunnel.Handler, names ...string) *attachment {
	t.Helper()
	a := dial(t, secure, n, tunnel.Config{Handler: serves})
	states := make([]*tunnelv1.ServerState, 0, len(names))
	for _, name := range names {
		states = append(states, &tunnelv1.ServerState{Name: name, Ready: true})
	}
	if err := a.Announce(states); err != nil {
		t.Fatal(err)
	}
	select {
	case <-a.Ready():
	case err := <-a.ended:
		t.Fatalf("attach: %v", err)
	}
	return a
}

// dial opens a tunnel, whatever comes of it.
func dial(t testing.TB, secure *tls.Config, n *node, config tunnel.Config) *attachment {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+n.address, grpc.WithTransportCredentials(credentials.NewTLS(secure)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a := &attachment{kill: func() { cancel(); conn.Close() }, ended: make(chan error, 1)}
	t.Cleanup(a.kill)
	stream, err := tunnelv1.NewTunnelServiceClient(conn).Attach(ctx)
	if err != nil {
		a.ended <- err
		a.Tunnel = tunnel.New(nil, config)
		return a
	}
	config.Close = cancel
	a.Tunnel = tunnel.New(stream, config)
	go func() { a.ended <- a.Run(ctx) }()
	return a
}

// beside serves the streams of a tunnel by an HTTP server, as an agent does for one beside it.
type beside struct{ url string }

func (b beside) Serve(ctx context.Context, in *tunnel.Incoming, w tunnel.Answer) {
	body, err := in.ReadAll(1 << 20)
	if err != nil {
		return
	}
	request, err := http.NewRequestWithContext(ctx, in.Method, b.url, bytes.NewReader(body))
	if err != nil {
		return
	}
	for _, f := range in.Header {
		request.Header.Add(f.Name, f.Value)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return
	}
	defer response.Body.Close()
	var header []tunnel.Field
	for name, values := range response.Header {
		header = append(header, tunnel.Field{Name: name, Value: values[0]})
	}
	if w.Head(response.StatusCode, header) != nil {
		return
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := response.Body.Read(buffer)
		if n > 0 {
			if _, err := w.Write(buffer[:n]); err != nil {
				return
			}
		}
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			w.Reset(tunnelv1.ResetCode_RESET_CODE_FAILED, "")
			return
		}
	}
}

// tool answers a tools/call of the servers of a test; id is raw.
type tool func(w http.ResponseWriter, r *http.Request, id, arguments string)

// echo answers with the arguments.
func echo(w http.ResponseWriter, _ *http.Request, id, arguments string) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(appendEcho(nil, []byte(id), arguments))
}

// direct is a modern server that is a part of its agent: it echoes arguments.
type direct struct{ served func(arguments string) }

func (d direct) Serve(_ context.Context, in *tunnel.Incoming, w tunnel.Answer) {
	body, err := in.ReadAll(1 << 20)
	var request mcp.Request
	if err != nil || mcp.ScanRequest(body, mcp.Limits{}, &request) != nil {
		return
	}
	arguments := string(request.Arguments.Of(body))
	if d.served != nil {
		d.served(arguments)
	}
	// It fails where the tunnel is lost, or nobody waits.
	_ = w.Reply(http.StatusOK, []tunnel.Field{{Name: "content-type", Value: "application/json"}}, appendEcho(nil, request.ID.Of(body), arguments))
}

func appendEcho(b, id []byte, arguments string) []byte {
	return fmt.Appendf(b, `{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","content":[],"structuredContent":%s}}`, id, arguments)
}

// mcpServer speaks both eras, without sessions.
func mcpServer(t testing.TB, call tool) beside {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request mcp.Request
		if r.Method != http.MethodPost || mcp.ScanRequest(body, mcp.Limits{}, &request) != nil {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		id := string(request.ID.Of(body))
		switch request.Method {
		case mcp.MethodInitialize:
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}`, id)
		case mcp.MethodToolsCall:
			call(w, r, id, string(request.Arguments.Of(body)))
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	}))
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return beside{server.URL}
}

// call returns one of a client of an era, with raw arguments.
func call(t testing.TB, server *snapshotv1.Server, era mcp.Era, arguments string) *upstream.Call {
	t.Helper()
	meta, version := "", mcp.Version20251125
	if era == mcp.Modern {
		version = mcp.Version20260728
		meta = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":{"name":"c","version":"1"}}`
	}
	c := &upstream.Call{
		Server: server, Principal: &principal.Principal{User: "ana", KeyID: "key"}, Era: era, ClientVersion: version,
		Body:    fmt.Appendf(nil, `{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"read","arguments":%s%s}}`, arguments, meta),
		Request: new(mcp.Request), Target: "read", Header: http.Header{},
	}
	if err := mcp.ScanRequest(c.Body, mcp.Limits{}, c.Request); err != nil {
		t.Fatal(err)
	}
	return c
}

// ask makes a call that must come back with an answer, and returns that.
func ask(t testing.TB, n *node, c *upstream.Call) (body, failure string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := n.pool.Do(ctx, c, nil)
	if err != nil {
		t.Fatalf("call at %s: %v", n.name, err)
	}
	return string(answer.Body), answer.Error
}

// wantEcho fails the test unless a call through a node comes back with its arguments.
func wantEcho(t testing.TB, n *node, server *snapshotv1.Server, era mcp.Era) {
	t.Helper()
	nonce := rand.Text()
	body, failure := ask(t, n, call(t, server, era, `{"nonce":"`+nonce+`"}`))
	if failure != "" || !strings.Contains(body, nonce) {
		t.Errorf("at %s: answer %s, error %q; want the nonce %s", n.name, body, failure, nonce)
	}
}

// here waits until agents are attached at a node with servers ready, as "laptop[files]".
func here(t testing.TB, n *node, want string) {
	t.Helper()
	said := func() string {
		var all []string
		for _, a := range n.roster.Attached().GetAgents() {
			all = append(all, a.GetName()+fmt.Sprint(a.GetReady()))
		}
		return strings.Join(all, " ")
	}
	eventually(t, n.name+" has "+want, func() bool { return said() == want })
}
