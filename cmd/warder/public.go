package main

import (
	"context"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/warder-gateway/warder/dataplane"
	"github.com/warder-gateway/warder/internal/httpserver"
)

// publicServer makes the server of the one port, and the socket that it serves
// from. Clients of MCP are most of who comes, so it is as on a node.
func publicServer(handler http.Handler, plain net.Listener, log *slog.Logger) (*http.Server, net.Listener) {
	server := httpserver.New(handler, log)
	return server, dataplane.Socket(server, plain)
}

// handler shares the one port: MCP to the node, the rest to the control plane.
func (u *allInOne) handler() http.Handler {
	mcp, admin := u.node.Handler(), u.control.AdminHandler()
	mux := http.NewServeMux()
	mux.Handle("/mcp", mcp)
	mux.Handle("/mcp/", mcp)
	mux.Handle(dataplane.MetadataPath, u.node.Metadata())
	if u.metrics == nil {
		mux.Handle("GET /metrics", u.control.Guarded(promhttp.Handler()))
	}
	mux.Handle("GET /readyz", u.ready(admin))
	mux.Handle("/", admin)
	return mux
}

// serveMetrics serves the metrics at an address of their own, if they have one,
// until ctx ends.
func (u *allInOne) serveMetrics(ctx context.Context) error {
	if u.metrics == nil {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.Handler())
	server := httpserver.New(mux, u.log)
	defer context.AfterFunc(ctx, func() { _ = server.Close() })() // Nobody waits for a scrape.
	return httpserver.Serve(server, u.metrics)
}

// ready is the control plane's readiness, once the node can serve as well.
func (u *allInOne) ready(admin http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := u.node.Ready(); err != nil {
			http.Error(w, "node: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		admin.ServeHTTP(w, r)
	}
}

// shutdown lets calls in flight end until ctx does, then cuts the rest.
func shutdown(ctx context.Context, s *http.Server) {
	if s.Shutdown(ctx) != nil {
		_ = s.Close()
	}
}
