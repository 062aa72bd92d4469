package dataplane

import (
	"bufio"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"crypto/rand"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/porttest"
	"github.com/warder-gateway/warder/internal/seal"
	"github.com/warder-gateway/warder/internal/snapshot"
	"github.com/warder-gateway/warder/internal/tunnel"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// directory is a control plane that tells all nodes where agents are.
type directory struct {
	*controlPlane
	stop   func()
	mu     sync.Mutex
	nodes  map[string]*located
	silent bool                         // It tells nobody, yet.
	others map[string]*syncv1.Update    // by node: what is sent there instead of what all get
	pushed map[string][]*auditv1.Record // by node
}

// peerOf returns who is at the other end.
func peerOf(ctx context.Context) (identity.Peer, error) {
	from, _ := peer.FromContext(ctx)
	return identity.Of(from.AuthInfo.(credentials.TLSInfo).State.PeerCertificates[0])
}

// located is a node that is connected.
type located struct {
	address  string
	draining bool
	attached *syncv1.Attached
	stream   grpc.BidiStreamingServer[syncv1.SyncRequest, syncv1.SyncResponse]
}

func (d *directory) Sync(stream grpc.BidiStreamingServer[syncv1.SyncRequest, syncv1.SyncResponse]) error {
	hello, err := stream.Recv()
	if err != nil {
		return err
	}
	who, err := peerOf(stream.Context())
	if err != nil {
		return err
	}
	if err := stream.Send(&syncv1.SyncResponse{Update: cmp.Or(d.others[who.Name], d.update)}); err != nil {
		return err
	}
	d.mu.Lock()
	d.nodes[who.Name] = &located{
		address: hello.GetHello().GetTunnelAddress(), draining: hello.GetHello().GetDraining(), stream: stream,
	}
	d.mu.Unlock()
	for {
		request, err := stream.Recv()
		if err != nil {
			return err
		}
		if attached := request.GetAttached(); attached != nil {
			d.tell(who.Name, attached)
		}
	}
}

// tell tells all nodes where agents are, since one said which are with it.
func (d *directory) tell(node string, attached *syncv1.Attached) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.nodes[node].attached = attached
	if d.silent {
		return
	}
	locations := new(syncv1.Locations)
	at := make(map[string]*syncv1.AgentLocation)
	for name, n := range d.nodes {
		locations.Nodes = append(locations.Nodes, &syncv1.NodeLocation{Name: name, TunnelAddress: n.address})
		for _, agent := range n.attached.GetAgents() {
			if at[agent.GetName()] == nil {
				at[agent.GetName()] = &syncv1.AgentLocation{Name: agent.GetName()}
				locations.Agents = append(locations.Agents, at[agent.GetName()])
			}
			l := at[agent.GetName()]
			l.Nodes, l.Ready = append(l.Nodes, name), append(l.Ready, agent.GetReady()...)
		}
	}
	for _, n := range d.nodes {
		_ = n.stream.Send(&syncv1.SyncResponse{Locations: locations}) // A node that is gone needs none.
	}
}

func startDirectory(t *testing.T, ca *authority, set *snapshot.Set) *directory {
	t.Helper()
	d := &directory{controlPlane: startControlPlane(t, ca, identity.ServerName, set), nodes: make(map[string]*located), pushed: make(map[string][]*auditv1.Record)}
	d.address = porttest.Free(t)
	socket, err := bind("", d.address)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{ca.issue(identity.ServerName)}, ClientCAs: ca.pool(),
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
	})))
	syncv1.RegisterSyncServiceServer(server, d)
	auditv1.RegisterAuditServiceServer(server, d)
	go server.Serve(socket)
	d.stop = server.Stop
	t.Cleanup(d.stop)
	return d
}

// agent returns how an agent dials.
func (a *authority) agent(name string) *tls.Config {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(a.key.Curve, rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: name}, URIs: []*url.URL{identity.Peer{Kind: identity.Agent, Name: name}.URI()},
		NotBefore: time.Now().Add(-identity.Backdate), NotAfter: time.Now().Add(identity.Life), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: a.pool(), InsecureSkipVerify: true, // The test knows whom it dials.
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}
}

// elicitor is a modern server at an agent: the tool get answers, and the tool put asks for input first. A call that has
// "hold" among its arguments is answered when let is closed.
type elicitor struct {
	t          *testing.T
	began, let chan struct{} // nil: no call is held
	level      func(string)  // unless nil, told from which level on log messages are wanted
}

func (e elicitor) Serve(ctx context.Context, in *tunnel.Incoming, w tunnel.Answer) {
	body, err := in.ReadAll(1 << 20)
	var request mcp.Request
	if err != nil || mcp.ScanRequest(body, mcp.Limits{}, &request) != nil {
		e.t.Errorf("the agent got %s: %v", body, err)
		return
	}
	if strings.Contains(string(request.Arguments.Of(body)), "hold") {
		e.began <- struct{}{}
		select {
		case <-e.let:
		case <-ctx.Done():
			return
		}
	}
	if e.level != nil {
		e.level(string(request.LogLevel.Of(body)))
	}
	id := request.ID.Of(body)
	answer := fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"complete","content":[{"type":"text","text":"got it"}]}}`, id)
	if strings.Contains(string(body), `"name":"put"`) && request.InputResponses.Empty() {
		answer = fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":{"resultType":"input_required","inputRequests":{"k":{"method":"elicitation/create",`+
			`"params":{"mode":"form","message":"name?","requestedSchema":{"type":"object","properties":{}}}}},"requestState":"s"}}`, id)
	}
	if err := w.Reply(http.StatusOK, []tunnel.Field{{Name: "content-type", Value: "application/json"}}, []byte(answer)); err != nil {
		e.t.Errorf("answer: %v", err)
	}
}

// attach has the agent laptop attach to a node, with the server files. The function returned is as if it were killed.
func (d *directory) attach(t *testing.T, secure *tls.Config, node string) (kill func()) {
	t.Helper()
	_, kill = d.attachWith(t, secure, node, elicitor{t: t})
	return kill
}

// attachWith is attach with a handler, and returns the agent's end of the tunnel, too.
func (d *directory) attachWith(t *testing.T, secure *tls.Config, node string, serves tunnel.Handler) (end *tunnel.Tunnel, kill func()) {
	t.Helper()
	d.mu.Lock()
	address := d.nodes[node].address
	d.mu.Unlock()
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(secure)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stream, err := tunnelv1.NewTunnelServiceClient(conn).Attach(ctx)
	if err != nil {
		t.Fatal(err)
	}
	end = tunnel.New(stream, tunnel.Config{Handler: serves, Close: cancel})
	if err := end.Announce([]*tunnelv1.ServerState{{Name: "files", Ready: true}}); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { end.Run(ctx) })
	kill = sync.OnceFunc(func() { cancel(); conn.Close(); running.Wait() })
	t.Cleanup(kill)
	return end, kill
}

// laptopWorld is one of a server of the agent laptop, and of ana, whose role dev is not in it yet, with a key.
func laptopWorld(t *testing.T) (*gatetest.World, apikey.Key) {
	t.Helper()
	w := gatetest.New(t)
	w.Server("files", "get", "put")
	for _, item := range w.Items {
		if files := item.GetServer(); files != nil {
			files.Url, files.Private, files.Agent, files.ProtocolVersion = "", false, "laptop", mcp.Version20260728
		}
	}
	w.User("ana", "dev")
	return w, w.Key("ana", "ide", time.Time{})
}

// startNode starts a node of the directory, and waits until it is ready and known.
func (d *directory) startNode(t *testing.T, ca *authority, name string) *process {
	t.Helper()
	p := startProcess(t, Config{
		DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: d.address, Identity: ca.node(name), TunnelListen: "127.0.0.1:0",
		FlushTime: time.Second, // A test may have taken the control plane away.
	})
	await(t, name+" is ready", func() bool { status, _ := p.get("/readyz"); return status == http.StatusOK })
	await(t, name+" is known", func() bool { d.mu.Lock(); defer d.mu.Unlock(); return d.nodes[name] != nil })
	return p
}

// twoNodes starts two nodes that know of a server of the agent laptop.
func twoNodes(t *testing.T) (d *directory, ca *authority, nodes []*process, key apikey.Key) {
	t.Helper()
	ca = newAuthority(t)
	w, key := laptopWorld(t)
	w.Role("dev", "files/*")
	d = startDirectory(t, ca, w.Set(1))
	for _, name := range []string{"node-1", "node-2"} {
		nodes = append(nodes, d.startNode(t, ca, name))
	}
	return d, ca, nodes, key
}

const getMessage = `{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"files__get","arguments":{}}}`

// Whoever calls a node that starts waits until that knows where agents are, or else he would
// hear of servers that all others serve that they are not there. He does not wait for a
// control plane that is away.
func TestANodeTakesCallsOnceItKnowsWhereAgentsAre(t *testing.T) {
	ca := newAuthority(t)
	set, _ := world(t)
	start := func(d *directory) *process {
		return startProcess(t, Config{
			DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: d.address, Identity: ca.node("node-1"), TunnelListen: "127.0.0.1:0",
		})
	}
	d := startDirectory(t, ca, set)
	d.silent = true
	began := time.Now()
	p := start(d)
	await(t, "it is connected", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.nodes) == 1 && d.nodes["node-1"].attached != nil
	})
	hasty := http.Client{Timeout: 100 * time.Millisecond}
	if response, err := hasty.Get(p.url + "/livez"); err == nil && time.Since(began) < bearings {
		t.Errorf("it answered %s before it knew", response.Status)
	}
	d.mu.Lock()
	d.silent = false
	d.mu.Unlock()
	d.tell("node-1", &syncv1.Attached{})
	await(t, "it serves", func() bool { status, _ := p.get("/readyz"); return status == http.StatusOK })
	if took := time.Since(began); took >= bearings {
		t.Logf("it served after %v: the machine was too slow to tell why", took)
	}
	if err := p.stop(); err != nil {
		t.Fatal(err)
	}

	d = startDirectory(t, ca, set)
	d.silent = true
	p = start(d)
	await(t, "it serves although nobody tells it", func() bool { status, _ := p.get("/readyz"); return status == http.StatusOK })
}

// Strangers who say nothing take no more than their places of a node's port, and agents come when they have gone.
func TestStrangersDoNotTakeUpThePortOfTunnels(t *testing.T) {
	d, ca, nodes, _ := twoNodes(t)
	d.mu.Lock()
	address := d.nodes["node-1"].address
	d.mu.Unlock()
	var strangers []net.Conn
	dial := func() {
		t.Helper()
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		strangers = append(strangers, conn)
	}
	turned := func() bool {
		_, metrics := nodes[0].get("/metrics")
		return strings.Contains(metrics, `warder_node_turned_away_total{full="address",state="handshake"} `)
	}
	await(t, "a stranger loses its place to one more", func() bool {
		if len(strangers) > 1000 {
			t.Fatal("a thousand strangers are in")
		}
		dial()
		return turned()
	})
	oldest := strangers[0]
	_ = oldest.SetReadDeadline(time.Now().Add(5 * time.Second)) // before its ten seconds are over
	if _, err := oldest.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the oldest one hears %v", err)
	}
	config := ca.agent("laptop")
	config.NextProtos = []string{"h2"}
	agent, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatalf("an agent beside strangers: %v", err)
	}
	defer func() { _ = agent.Close() }()
	_ = agent.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := agent.Read(make([]byte, 1)); err != nil { // The node speaks first, to who is in.
		t.Errorf("an agent beside strangers hears %v", err)
	}
}

// A node has heard of an agent when clients see what that serves, and not before.
func TestAnAgentIsHeardWhenItsServersAreListed(t *testing.T) {
	ca := newAuthority(t)
	w := gatetest.New(t)
	w.Server("files", "get")
	for _, item := range w.Items {
		if files := item.GetServer(); files != nil {
			files.Url, files.Private, files.Agent, files.ProtocolVersion = "", false, "laptop", mcp.Version20260728
		}
	}
	d := startDirectory(t, ca, w.Set(1))
	p, err := Open(t.Context(), Config{
		DataDir: t.TempDir(), Listen: "127.0.0.1:0", ControlPlane: d.address, Identity: ca.node("node-1"), TunnelListen: "127.0.0.1:0",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	await(t, "it is connected and serves", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return len(d.nodes) == 1 && p.Ready() == nil
	})
	if p.Heard("laptop") {
		t.Error("an agent is heard that is not there")
	}
	end, _ := d.attachWith(t, ca.agent("laptop"), "node-1", elicitor{t: t})
	await(t, "the agent is heard", func() bool { return p.Heard("laptop") })
	if away := p.current().Away(); len(away) != 0 {
		t.Errorf("it is heard, and still away: %v", away)
	}
	if err := end.Announce([]*tunnelv1.ServerState{{Name: "files"}}); err != nil {
		t.Fatal(err)
	}
	await(t, "that its server crashed is heard, too", func() bool { return len(p.current().Away()) == 1 && p.Heard("laptop") })
	if err := end.Announce(nil); err != nil {
		t.Fatal(err)
	}
	await(t, "of a server nothing is said", func() bool { return !p.Heard("laptop") })
	if p.Heard("stranger") {
		t.Error("an agent is heard that nobody knows")
	}
}

func TestServersOfAgentsAreListedAndServedByEachNodeForAsLongAsTheyAreThere(t *testing.T) {
	d, ca, nodes, key := twoNodes(t)
	listed := func(p *process) bool {
		_, body := p.post(key, listMessage)
		return strings.Contains(body, "files__get")
	}
	for _, p := range nodes {
		if listed(p) {
			t.Error("tools are listed of a server that is away")
		}
	}
	kill := d.attach(t, ca.agent("laptop"), "node-1")
	for _, p := range nodes {
		await(t, "tools are listed", func() bool { return listed(p) })
		if _, body := p.post(key, getMessage); !strings.Contains(body, "got it") {
			t.Errorf("call: %s", body)
		}
	}
	kill()
	gone := time.Now()
	for _, p := range nodes {
		await(t, "tools are withdrawn", func() bool { return !listed(p) })
		if _, body := p.post(key, getMessage); !strings.Contains(body, `agent \"laptop\" is not connected`) {
			t.Errorf("call of a server that is away: %s", body)
		}
	}
	if took := time.Since(gone); took > time.Second {
		t.Errorf("withdrawn after %v", took)
	}
	for _, p := range nodes {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	}
	outcomes := make(map[auditv1.Outcome]int)
	for _, event := range d.taken() {
		outcomes[event.GetOutcome()]++
	}
	if outcomes[auditv1.Outcome_OUTCOME_OK] < 2 || outcomes[auditv1.Outcome_OUTCOME_SERVER_FAILED] != 2 {
		t.Errorf("recorded %v; want each call once, where the client came", outcomes)
	}
}

func TestTheAnswerToAServersQuestionMayComeToAnotherNode(t *testing.T) {
	d, ca, nodes, key := twoNodes(t)
	d.attach(t, ca.agent("laptop"), "node-1")
	for _, asked := range []int{0, 1} { // Also where the server is one hop away.
		p, other := nodes[asked], nodes[1-asked]
		await(t, "tools are listed", func() bool { _, body := p.post(key, listMessage); return strings.Contains(body, "files__put") })
		open := p.send(key, "", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"elicitation":{}}}}`)
		open.Body.Close()
		session := open.Header.Get("Mcp-Session-Id")
		request, err := http.NewRequest(http.MethodPost, p.url+"/mcp", strings.NewReader(
			`{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"files__put","arguments":{}}}`))
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{
			"Authorization": "Bearer " + key.String(), "Content-Type": "application/json", "Accept": "application/json, text/event-stream",
			"Mcp-Session-Id": session, "Mcp-Protocol-Version": mcp.Version20251125,
		} {
			request.Header.Set(name, value)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(response.Body)
		var answered bool
		for lines.Scan() {
			line := lines.Text()
			if _, rest, ok := strings.Cut(line, `"id":"w1.`); ok && strings.Contains(line, "elicitation/create") {
				id, _, _ := strings.Cut(rest, `"`)
				reply := other.send(key, session, `{"jsonrpc":"2.0","id":"w1.`+id+`","result":{"action":"accept","content":{}}}`)
				text, _ := io.ReadAll(reply.Body)
				reply.Body.Close()
				if reply.StatusCode != http.StatusAccepted {
					t.Fatalf("the answer at the other node: %d %s", reply.StatusCode, text)
				}
			}
			answered = answered || strings.Contains(line, "got it")
		}
		response.Body.Close()
		if !answered {
			t.Error("the call did not go on")
		}
	}
}

func TestTheLevelThatAClientSetsHoldsAtEachNode(t *testing.T) {
	d, ca, nodes, key := twoNodes(t)
	var seen atomic.Value
	d.attachWith(t, ca.agent("laptop"), "node-1", elicitor{t: t, level: func(level string) { seen.Store(level) }})
	open := nodes[0].send(key, "", initializeMessage)
	open.Body.Close()
	session := open.Header.Get("Mcp-Session-Id")
	for i, p := range nodes {
		await(t, "tools are listed", func() bool { _, body := p.post(key, listMessage); return strings.Contains(body, "files__get") })
		level := []string{"error", "debug"}[i]
		set := p.send(key, session, `{"jsonrpc":"2.0","id":3,"method":"logging/setLevel","params":{"level":"`+level+`"}}`)
		if text, _ := io.ReadAll(set.Body); set.StatusCode != http.StatusOK {
			t.Fatalf("set level: %d %s", set.StatusCode, text)
		}
		set.Body.Close()
		for _, other := range nodes {
			called := other.send(key, session, getMessage)
			called.Body.Close()
			if got := seen.Load(); got != `"`+level+`"` {
				t.Errorf("the server was asked for messages from %v on, want %s", got, level)
			}
		}
	}
}

// A node that is started while the control plane is away goes by where agents were when it was last told, as those do
// that were not restarted, and is not held up by that.
func TestANodeThatIsRestartedWithoutControlPlaneReachesAgentsAtOthers(t *testing.T) {
	d, ca, nodes, key := twoNodes(t)
	d.attach(t, ca.agent("laptop"), "node-1")
	for _, p := range nodes {
		await(t, "tools are listed", func() bool { _, body := p.post(key, listMessage); return strings.Contains(body, "files__get") })
	}
	d.stop()
	config := nodes[1].config
	keyring, err := seal.LoadOrCreate(filepath.Join(config.DataDir, "node.key"))
	if err != nil {
		t.Fatal(err)
	}
	await(t, "where the agent is, is on disk", func() bool {
		sealed, err := os.ReadFile(filepath.Join(config.DataDir, "locations.sealed"))
		if err != nil {
			return false
		}
		plain, err := keyring.Open(sealed, "warder/replica/locations/v1")
		return err == nil && strings.Contains(string(plain), "laptop")
	})
	// What a node leaves behind that is killed.
	config.DataDir, config.Listen = t.TempDir(), porttest.Free(t)
	if err := os.CopyFS(config.DataDir, os.DirFS(nodes[1].config.DataDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(config.DataDir, "node.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	again := startProcess(t, config)
	await(t, "it serves", func() bool { status, _ := again.get("/readyz"); return status == http.StatusOK })
	if took := time.Since(began); took >= bearings {
		t.Errorf("it served after %v, as if it knew nothing", took)
	}
	if _, body := again.post(key, listMessage); !strings.Contains(body, "files__get") {
		t.Errorf("listed: %s", body)
	}
	if _, body := again.post(key, getMessage); !strings.Contains(body, "got it") {
		t.Errorf("call: %s", body)
	}
}
