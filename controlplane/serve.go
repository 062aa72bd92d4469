package controlplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	"github.com/warder-gateway/warder/controlplane/internal/signon"
	"github.com/warder-gateway/warder/dashboard"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/proto/gen/warder/admin/v1/adminv1connect"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	enrollv1 "github.com/warder-gateway/warder/proto/gen/warder/enroll/v1"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

const (
	// maxBatch bounds one message of a node, in bytes: a batch of audit.
	maxBatch = 16 << 20
	// nodeDrain bounds how long the end waits for streams of nodes.
	nodeDrain = 10 * time.Second
	// readyTimeout bounds the readiness check.
	readyTimeout = 2 * time.Second
	// apiPrefix is what the paths of all services begin with.
	apiPrefix = "/warder.admin."
)

// AdminHandler serves what people and orchestrators see: the Connect API, the
// dashboard, single sign-on, and health.
func (p *Plane) AdminHandler() http.Handler {
	api := p.ending(p.admin.Handler())
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", p.ready)
	mux.HandleFunc("GET /schemas/policy.json", policySchema)
	mux.Handle(signon.Prefix, p.admin.SignOnHandler())
	mux.Handle("/", astray(dashboard.Handler()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, apiPrefix) {
			api.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// Guarded serves what is for operators, metrics for example, under the names of the
// administration only: a web page that has its own name point here reads nothing
// (security.md T-37).
func (p *Plane) Guarded(next http.Handler) http.Handler { return p.admin.Guard.Handler(next) }

// strayPaths are where programs look for MCP, OAuth or an API that is not there, by
// how their paths begin. The dashboard would answer them with a page and 200, which
// a program takes for success.
var strayPaths = []struct{ prefix, advice string }{
	{"/mcp", "MCP is served by nodes at /mcp and /mcp/SERVER; 'warder up' has both at this address"},
	{"/sse", "there is no endpoint of HTTP+SSE here; clients speak streamable HTTP to /mcp"},
	{"/message", "there is no endpoint of HTTP+SSE here; clients speak streamable HTTP to /mcp"},
	{"/api", "the admin API lies at /warder.admin.v1.SERVICE/METHOD, for example /warder.admin.v1.ServerService/ListServers"},
	{"/warder.", "there is no such service; the admin API lies at /warder.admin.v1.SERVICE/METHOD"},
	{"/metrics", "metrics have an address of their own, that of --metrics-listen"},
	{"/.well-known", "there is no such document here; MCP clients send an API key as 'Authorization: Bearer wdr_…'"},
}

// astray answers programs that missed their path with 404 and advice, and lets
// people through to the dashboard.
func astray(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := strings.ToLower(r.URL.Path)
		for _, stray := range strayPaths {
			if strings.HasPrefix(path, stray.prefix) {
				http.Error(w, "nothing is served at this path: "+stray.advice, http.StatusNotFound)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// LocalHandler serves the same API on the Unix socket, to the local owner. The
// socket must be one of localsock, which lets nobody else in.
func (p *Plane) LocalHandler() http.Handler { return p.ending(p.admin.LocalHandler()) }

// alive says that the process lives.
func alive(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// policySchema serves the JSON Schema of policy documents, which editors fetch
// without signing in: it says nothing of this installation.
func policySchema(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/schema+json")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, _ = w.Write(policy.Schema)
}

// ready says whether the control plane can do its work: the database answers,
// and there is a snapshot to give to nodes.
func (p *Plane) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	if err := p.store.Ping(ctx); err != nil {
		http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		return
	}
	if p.publisher.Current() == nil {
		http.Error(w, "the configuration does not compile; the log has the cause", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

// ending ends endless calls when the plane drains.
func (p *Plane) ending(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != adminv1connect.AuditServiceTailCallsProcedure {
			next.ServeHTTP(w, r)
			return
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		go func() {
			select {
			case <-p.draining:
				cancel()
			case <-ctx.Done():
			}
		}()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// ServeNodes serves nodes on a listener until ctx ends, and closes it. At the
// end it tells nodes to connect elsewhere, and waits until what they sent is
// answered.
func (p *Plane) ServeNodes(ctx context.Context, listener net.Listener) error {
	server := p.nodeServer()
	stopped := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(stopped)
		<-ctx.Done()
		p.directory.Stop()
		p.publisher.Stop()
		p.ledger.Stop()
		cut := time.AfterFunc(nodeDrain, server.Stop)
		defer cut.Stop()
		server.GracefulStop()
	}()
	err := server.Serve(listener)
	cancel()
	<-stopped
	if err != nil && !errors.Is(err, grpc.ErrServerStopped) {
		return fault.Wrap(fault.Unavailable, "the listener for nodes failed: "+err.Error(), err)
	}
	return nil
}

// nodeServer returns the gRPC server, with everything that nodes may call.
func (p *Plane) nodeServer() *grpc.Server {
	options := append(p.admission.Options(),
		grpc.MaxRecvMsgSize(maxBatch),
		grpc.MaxConcurrentStreams(16),
		grpc.ConnectionTimeout(10*time.Second),
		// A node that vanished without a word is noticed, and may ask likewise.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 20 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	server := grpc.NewServer(options...)
	syncv1.RegisterSyncServiceServer(server, p.publisher)
	auditv1.RegisterAuditServiceServer(server, p.ledger)
	enrollv1.RegisterEnrollServiceServer(server, p.enroll)
	enrollv1.RegisterAgentServiceServer(server, p.directory)
	tunnelv1.RegisterTunnelServiceServer(server, p.directory)
	return server
}
