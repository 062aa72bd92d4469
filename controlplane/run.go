package controlplane

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/localsock"
)

// drainTime bounds how long requests of people may take at the end.
const drainTime = 10 * time.Second

// Run is the control plane as a process of its own: it serves until ctx ends or
// a part fails, then stops in order.
func Run(ctx context.Context, config Config) error {
	config = config.withDefaults()
	if err := config.validateListen(); err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	config.Registerer = registry
	p, err := Open(ctx, config)
	if err != nil {
		return err
	}
	defer p.Close()
	process, err := p.listen(registry)
	if err != nil {
		return err
	}
	p.log.Info("control plane is up", "listen", process.people.socket.Addr().String(),
		"node_listen", process.nodes.Addr().String(), "version", p.config.Version)
	return process.run(ctx)
}

// process is what a stand-alone control plane listens on.
type process struct {
	plane  *Plane
	people *server
	local  *server
	nodes  net.Listener
}

// listen opens all listeners, or none.
func (p *Plane) listen(gatherer prometheus.Gatherer) (_ *process, err error) {
	var opened []net.Listener
	defer func() {
		for _, l := range opened {
			if err != nil {
				err = errors.Join(err, l.Close())
			}
		}
	}()
	secure, err := p.config.tls()
	if err != nil {
		return nil, err
	}
	local, err := localsock.Listen(p.config.DataDir, p.log)
	if err != nil {
		return nil, err
	}
	opened = append(opened, local)
	people, err := bind(p.config.Listen, "--listen")
	if err != nil {
		return nil, err
	}
	opened = append(opened, people)
	nodes, err := bind(p.config.NodeListen, "--node-listen")
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{}))
	mux.Handle("/", p.AdminHandler())
	web := &server{newServer(mux, p.log), people}
	web.TLSConfig = secure
	return &process{plane: p, people: web, local: &server{newServer(p.LocalHandler(), p.log), local}, nodes: nodes}, nil
}

// bind opens a TCP listener.
func bind(address, flag string) (net.Listener, error) {
	socket, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fault.Wrap(fault.Precondition, "cannot listen on "+address+": "+err.Error()+
			"; is something else running there? Choose another address with "+flag, err)
	}
	return socket, nil
}

// run serves until ctx ends or a part fails. It stops in this order: people, the
// streams of nodes and the tasks; the caller closes the database.
func (p *process) run(ctx context.Context) error {
	group, failed := errgroup.WithContext(ctx)
	inner, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group.Go(func() error { return p.people.serve() })
	group.Go(func() error { return p.local.serve() })
	group.Go(func() error { return p.plane.ServeNodes(inner, p.nodes) })
	group.Go(func() error { return p.plane.Run(inner) })
	group.Go(func() error {
		<-failed.Done()
		p.plane.log.Info("control plane is going down")
		p.plane.Drain()
		p.people.drain(inner, p.plane.log)
		p.local.drain(inner, p.plane.log)
		stop()
		return nil
	})
	return group.Wait()
}

// server is an HTTP server and its socket.
type server struct {
	*http.Server
	socket net.Listener
}

// newServer returns a server with limits on what a client may make it hold.
func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// serve returns an error when the server can serve no more, and nil when it was
// told to stop.
func (s *server) serve() error {
	var err error
	if s.TLSConfig != nil {
		err = s.ServeTLS(s.socket, "", "")
	} else {
		err = s.Serve(s.socket)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fault.Wrap(fault.Unavailable, "the listener "+s.socket.Addr().String()+" failed: "+err.Error(), err)
}

// drain stops taking requests and lets the running ones end; those that take too
// long are cut off.
func (s *server) drain(ctx context.Context, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(ctx, drainTime)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		log.Warn("requests are cut off", "listen", s.socket.Addr().String(), "error", errors.Join(err, s.Close()))
	}
}
