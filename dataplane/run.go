package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/warder-gateway/warder/dataplane/internal/listener"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/httpserver"
)

// Run is the data plane as a process of its own: it serves until ctx ends, then
// stops taking requests, lets the running ones finish, and hands over the last
// audit events.
func Run(ctx context.Context, config Config) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	config.Registerer = registry
	plane, err := Open(ctx, config)
	if err != nil {
		return err
	}
	servers, err := plane.servers(registry)
	if err != nil {
		return errors.Join(err, plane.Close())
	}

	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go tuneCollector(running, config.Log)
	ended := make(chan error, 1)
	go func() { ended <- plane.Run(running) }()
	failed := make(chan error, len(servers))
	plane.tunnels.awaitLocated(ctx)
	for _, server := range servers {
		go func() { failed <- server.serve() }()
	}
	plane.log.Info("data plane is up", "listen", servers[0].socket.Addr().String(), "control_plane", plane.config.ControlPlane,
		"version", plane.config.Version)

	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	plane.Drain()
	plane.log.Info("data plane is going down")
	for _, server := range servers {
		server.drain(running, plane.config)
	}
	stop()
	return errors.Join(err, <-ended)
}

// server is an HTTP server and its socket.
type server struct {
	*http.Server
	socket  net.Listener
	backlog *httpserver.Backlog // of the socket, if clients are served there
}

// servers binds the sockets and says what is served where.
func (p *Plane) servers(gatherer prometheus.Gatherer) ([]*server, error) {
	mux := http.NewServeMux()
	mux.Handle(MetadataPath, p.Metadata())
	p.health(mux)
	metrics := promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{})
	socket, err := bind("--listen", p.config.Listen)
	if err != nil {
		return nil, err
	}
	clients := &server{Server: httpserver.New(front{p.listener, mux}, p.log), backlog: httpserver.NewBacklog(socket)}
	clients.socket = Socket(clients.Server, clients.backlog)
	if clients.TLSConfig, err = p.config.clientTLS(); err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	if p.config.MetricsListen == "" {
		mux.Handle("GET /metrics", p.listener.Named(metrics))
		return []*server{clients}, nil
	}
	socket, err = bind("--metrics-listen", p.config.MetricsListen)
	if err != nil {
		return nil, errors.Join(err, clients.socket.Close())
	}
	inner := http.NewServeMux()
	inner.Handle("GET /metrics", metrics)
	p.health(inner)
	if p.config.Pprof {
		profiles(inner)
	}
	return []*server{clients, {Server: httpserver.New(inner, p.log), socket: socket}}, nil
}

// front has the messages of clients before all else: most requests are that.
type front struct {
	*listener.Listener
	others *http.ServeMux
}

func (f front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if forClients(r) {
		f.Listener.ServeHTTP(w, r)
		return
	}
	f.others.ServeHTTP(w, r)
}

// BoundsBody makes it an httpserver.Bounder, as the Listener is one.
func (f front) BoundsBody(r *http.Request) bool { return forClients(r) && f.Listener.BoundsBody(r) }

func forClients(r *http.Request) bool {
	return r.URL.Path == "/mcp" || strings.HasPrefix(r.URL.Path, "/mcp/")
}

func bind(flag, address string) (*net.TCPListener, error) {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fault.Wrap(fault.Precondition, "cannot listen on "+address+"; is something else running there? Choose another address with "+flag, err)
	}
	return socket.(*net.TCPListener), nil
}

// health tells an orchestrator that the process lives, and whether it serves.
func (p *Plane) health(mux *http.ServeMux) {
	alive := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }
	mux.HandleFunc("GET /livez", alive)
	mux.HandleFunc("GET /healthz", alive)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := p.Ready(); err != nil {
			http.Error(w, fault.Text(err), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
}

// profiles serves what 'go tool pprof' reads.
func profiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /debug/pprof/", pprof.Index) // And each named profile below it.
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
}

// serve returns an error as soon as the server can serve no more, and nil when
// it was told to stop.
func (s *server) serve() error {
	if err := httpserver.Serve(s.Server, s.socket); err != nil {
		return fmt.Errorf("serve %s: %w", s.socket.Addr(), err)
	}
	return nil
}

// drain stops taking requests and lets the running ones finish; those that take
// too long are cut off.
func (s *server) drain(ctx context.Context, config Config) {
	if s.backlog != nil {
		s.backlog.Leave()
	}
	ctx, cancel := context.WithTimeout(ctx, config.DrainTime)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		config.Log.Warn("requests are cut off", "listen", s.socket.Addr().String(), "error", errors.Join(err, s.Close()))
	}
}
