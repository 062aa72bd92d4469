package dataplane

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/gate/gatetest"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/porttest"
)

// writeServing writes a certificate for localhost and its key, and returns their
// paths.
func (a *authority) writeServing(dir string) (certFile, keyFile string) {
	a.t.Helper()
	certificate := a.issue("localhost")
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	if err != nil {
		a.t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "serving.pem"), filepath.Join(dir, "serving-key.pem")
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: certificate.Certificate[0]},
		keyFile:  {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	return certFile, keyFile
}

// secure returns a client that trusts the authority and speaks HTTP/2 or only
// HTTP/1.1, with one connection of its own.
func (a *authority) secure(http2 bool) *http.Client {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool()}, ForceAttemptHTTP2: http2}
	a.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// message returns a POST of a legacy client over TLS.
func (p *process) message(key apikey.Key, body io.Reader) *http.Request {
	p.t.Helper()
	_, port, _ := strings.Cut(strings.TrimPrefix(p.url, "http://"), ":")
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, "https://localhost:"+port+"/mcp", body)
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key.String())
	request.Header.Set("Content-Type", "application/json")
	return request
}

// enter opens a session over TLS and returns its id.
func (p *process) enter(client *http.Client, key apikey.Key) string {
	p.t.Helper()
	response, body := p.answer(client, p.message(key, strings.NewReader(initializeMessage)))
	if response.Header.Get("Mcp-Session-Id") == "" {
		p.t.Fatalf("initialize: %d %s", response.StatusCode, body)
	}
	return response.Header.Get("Mcp-Session-Id")
}

func (p *process) answer(client *http.Client, request *http.Request) (response *http.Response, body string) {
	p.t.Helper()
	response, err := client.Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return response, string(text)
}

func TestClientsAreServedOverTLSWithBothVersionsOfHTTP(t *testing.T) {
	started, release := make(chan struct{}, 2), make(chan struct{})
	server := mcpServer(t, func() { started <- struct{}{}; <-release })
	ca := newAuthority(t)
	w := gatetest.New(t)
	w.Server("git", "get")
	for _, item := range w.Items {
		if git := item.GetServer(); git != nil {
			git.Url, git.ProtocolVersion = server.URL, "2026-07-28"
		}
	}
	w.Role("dev", "git/get")
	w.User("ana", "dev")
	key := w.Key("ana", "ide", time.Time{})
	cp := startControlPlane(t, ca, identity.ServerName, w.Set(1))
	certFile, keyFile := ca.writeServing(t.TempDir())
	p := startProcess(t, Config{
		DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: cp.address,
		Identity: ca.node("node-1"), TLSCert: certFile, TLSKey: keyFile,
	})
	if reason := <-cp.acked; reason != "" {
		t.Fatalf("the snapshot was refused: %s", reason)
	}
	const running = `{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"git__get","arguments":{}}}`
	answers := make(chan string, 2)
	for major, client := range map[int]*http.Client{1: ca.secure(false), 2: ca.secure(true)} {
		session := p.enter(client, key)
		in := func(body string) *http.Request {
			request := p.message(key, strings.NewReader(body))
			request.Header.Set("Mcp-Session-Id", session)
			return request
		}
		response, body := p.answer(client, in(listMessage))
		if response.ProtoMajor != major || response.StatusCode != http.StatusOK || !strings.Contains(body, "git__get") {
			t.Errorf("list: %s %d %s; want HTTP/%d", response.Proto, response.StatusCode, body, major)
		}
		rebound := p.message(key, strings.NewReader(listMessage))
		rebound.Host = "evil.example"
		if response, _ := p.answer(client, rebound); response.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("%s: another host's name: %d", response.Proto, response.StatusCode)
		}
		silent, hold := io.Pipe() // a stranger who holds his body back
		defer hold.Close()
		stranger := p.message(apikey.Key{}, silent)
		stranger.Header.Del("Authorization")
		if major == 2 { // in HTTP/1.1, net/http's client waits for the body
			if response, _ := p.answer(client, stranger); response.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s: without a key: %d", response.Proto, response.StatusCode)
			}
		}
		go func() {
			_, body := p.answer(client, in(running))
			answers <- body
		}()
		<-started
	}
	ended := make(chan error, 1)
	go func() { ended <- p.stop() }()
	await(t, "no further connections", func() bool {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(release)
	for range 2 {
		if body := <-answers; !strings.Contains(body, `"x":1.10`) {
			t.Errorf("the answer to a call that ran at the end: %s", body)
		}
	}
	if err := <-ended; err != nil {
		t.Errorf("end: %v", err)
	}
}

func TestMetricsAreServedWhereTheyAreWantedAndNotToClients(t *testing.T) {
	ca := newAuthority(t)
	set, _ := world(t)
	cp := startControlPlane(t, ca, identity.ServerName, set)
	metrics := porttest.Free(t)
	p := startProcess(t, Config{
		DataDir: t.TempDir(), Listen: porttest.Free(t), ControlPlane: cp.address, MetricsListen: metrics,
		Identity: ca.node("node-1"),
	})
	inner := &process{t: t, url: "http://" + metrics}
	await(t, "ready", func() bool { status, _ := inner.get("/readyz"); return status == http.StatusOK })
	if status, body := inner.get("/metrics"); status != http.StatusOK || !strings.Contains(body, "warder_config_revision 3\n") {
		t.Errorf("metrics: %d %s", status, body)
	}
	for path, want := range map[string]int{"/metrics": http.StatusNotFound, "/livez": http.StatusOK, "/readyz": http.StatusOK} {
		if status, _ := p.get(path); status != want {
			t.Errorf("%s among the clients: %d, want %d", path, status, want)
		}
	}
	if status, _ := inner.get("/mcp"); status != http.StatusNotFound {
		t.Errorf("MCP among the metrics: %d", status)
	}
	if err := p.stop(); err != nil {
		t.Errorf("end: %v", err)
	}
	if status, _ := inner.get("/livez"); status != 0 {
		t.Errorf("after the end, metrics are still served: %d", status)
	}
}

func TestAPortInUseForMetricsNamesItsFlagAndFreesTheOther(t *testing.T) {
	ca := newAuthority(t)
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	config := Config{
		DataDir: t.TempDir(), Listen: porttest.Free(t), MetricsListen: socket.Addr().String(), ControlPlane: "127.0.0.1:1",
		Identity: ca.node("node-1"),
	}
	if err := Run(t.Context(), config); err == nil || !strings.Contains(err.Error(), "--metrics-listen") {
		t.Errorf("got %v; want an error that names --metrics-listen", err)
	}
	again, err := net.Listen("tcp", config.Listen)
	if err != nil {
		t.Fatalf("the clients' port is still taken: %v", err)
	}
	again.Close()
}
