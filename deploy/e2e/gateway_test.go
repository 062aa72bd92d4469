package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/warder-gateway/warder/internal/localpg"
	"github.com/warder-gateway/warder/internal/porttest"
)

// gateway is a running Warder, in whichever shape.
type gateway struct {
	mcp     string // the URL of /mcp
	dataDir string // of the instance that the command line speaks to
}

// scratch is a temporary directory that PostgreSQL, which does not run as root,
// may pass through when the tests do.
func scratch(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// startUp runs 'warder up' on a port of its own.
func startUp(t *testing.T, args ...string) (gateway, *process) {
	t.Helper()
	dir := scratch(t)
	p := start(t, dir, nil, binary, append([]string{"up", "--data-dir", dir, "--listen", "127.0.0.1:0"}, args...)...)
	return gateway{strings.Fields(p.waitFor(t, "  MCP "))[0], dir}, p
}

// apart is a gateway whose planes and database are processes of their own, so
// that each can be taken away.
type apart struct {
	gateway
	root        string
	adminListen string
	nodeListen  string
	listen      string   // of the node
	nodeFlags   []string // further ones
	flags       []string // further ones of the control plane
	durable     bool     // PostgreSQL loses nothing that it has committed
	database    *localpg.Server
	control     *process
	node        *process
	second      *process // another node, if there is one
}

func startApart(t *testing.T, nodeFlags ...string) *apart {
	t.Helper()
	return startApartWith(t, nil, nodeFlags)
}

// startApartWith is startApart with flags for the control plane, too.
func startApartWith(t *testing.T, flags, nodeFlags []string) *apart {
	t.Helper()
	a := &apart{flags: flags, nodeFlags: nodeFlags}
	a.begin(t)
	return a
}

// begin starts all of it.
func (a *apart) begin(t *testing.T) {
	t.Helper()
	a.root = scratch(t)
	a.adminListen, a.nodeListen, a.listen = porttest.Free(t), porttest.Free(t), porttest.Free(t)
	a.dataDir = filepath.Join(a.root, "control")
	a.startDatabase(t)
	t.Cleanup(func() { _ = a.database.Stop(context.Background()) })
	a.startControlPlane(t)

	a.mcp = "http://" + a.listen + "/mcp"
	a.startNode(t)
}

// startNode starts the node, anew or again.
func (a *apart) startNode(t *testing.T) {
	t.Helper()
	a.node = start(t, a.root, nil, binary, append([]string{"dataplane", "--data-dir", filepath.Join(a.root, "node"),
		"--join-token-file", a.joinToken(t, "edge-1"), "--control-plane", a.nodeListen, "--listen", a.listen}, a.nodeFlags...)...)
	eventually(t, "the node is ready", func() bool {
		if a.node.ended() {
			t.Fatalf("the node ended:\n%s", a.node.output.String())
		}
		return answers("http://" + a.listen + "/readyz")
	})
}

// takeAwayControlPlane kills the control plane, and stops its database.
func (a *apart) takeAwayControlPlane(t *testing.T) {
	t.Helper()
	a.control.kill()
	if err := a.database.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func (a *apart) bringBackControlPlane(t *testing.T) {
	t.Helper()
	a.startDatabase(t)
	a.startControlPlane(t)
}

func (a *apart) startDatabase(t *testing.T) {
	t.Helper()
	config := localpg.Config{Root: filepath.Join(a.root, "database"), Tree: filepath.Join(repo, "tools/postgres"), Fast: !a.durable}.WithEnv(os.Getenv)
	database, err := localpg.Start(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	a.database = database
}

func (a *apart) startControlPlane(t *testing.T) {
	t.Helper()
	a.control = start(t, a.root, []string{"WARDER_MIGRATE_URL=" + a.database.OwnerDSN, "WARDER_DATABASE_URL=" + a.database.AppDSN},
		binary, append([]string{"controlplane", "--data-dir", a.dataDir, "--listen", a.adminListen, "--node-listen", a.nodeListen}, a.flags...)...)
	eventually(t, "the control plane is ready", func() bool {
		if a.control.ended() {
			t.Fatalf("the control plane ended:\n%s", a.control.output.String())
		}
		return answers("http://" + a.adminListen + "/readyz")
	})
}

// answers reports whether a GET of url gives 200.
func answers(url string) bool {
	response, err := http.Get(url)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func port(address string) string {
	_, p, err := net.SplitHostPort(address)
	if err != nil {
		panic(fmt.Sprintf("%q is no address", address))
	}
	return p
}
