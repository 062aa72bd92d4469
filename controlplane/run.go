package controlplane

import (
	"cmp"
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

	"github.com/warder-gateway/warder/internal/address"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/httpserver"
	"github.com/warder-gateway/warder/internal/localsock"
)

// drainTime bounds how long requests of people may take at the end.
const drainTime = 10 * time.Second

// Run is the control plane as a process of its own: it serves until ctx ends or
// a part fails, then stops in order. The sockets come first: a port in use, or
// another instance on the same directory, is found before anything is touched.
func Run(ctx context.Context, config Config) error {
	if err := config.Validate(); err != nil {
		return err
	}
	config = config.withDefaults()
	if err := config.validateListen(); err != nil {
		return err
	}
	if err := config.validateNodeAddress(); err != nil {
		return err
	}
	if err := config.makeDataDir(); err != nil {
		return err
	}
	sockets, err := listen(config)
	defer sockets.close()
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	config.Registerer = registry
	config.NodeAddress = cmp.Or(config.NodeAddress, address.Dial(config.NodeListen, sockets.nodes.Addr()))
	p, err := Open(ctx, config)
	if err != nil {
		return err
	}
	defer p.Close()
	process, err := p.process(sockets, registry)
	if err != nil {
		return err
	}
	p.log.Info("control plane is up", "listen", sockets.people.Addr().String(),
		"node_listen", sockets.nodes.Addr().String(), "version", p.config.Version)
	p.announceSetup(sockets.people.Addr())
	return process.run(ctx)
}

// sockets are what a stand-alone control plane listens on.
type sockets struct{ local, people, nodes net.Listener }

// listen opens the sockets. Those that it opened are returned with an error, too.
func listen(c Config) (s sockets, err error) {
	if s.local, err = localsock.Listen(c.DataDir, c.Log); err != nil {
		return s, err
	}
	if s.people, err = bind(c.Listen, "--listen"); err != nil {
		return s, err
	}
	s.nodes, err = bind(c.NodeListen, "--node-listen")
	return s, err
}

// close closes what is open still; servers close their own.
func (s sockets) close() {
	for _, l := range []net.Listener{s.local, s.people, s.nodes} {
		if l != nil {
			_ = l.Close() // Closed already, or nobody was served on it.
		}
	}
}

// process is a stand-alone control plane.
type process struct {
	plane  *Plane
	people *server
	local  *server
	nodes  net.Listener
}

// process puts the plane's handlers behind the sockets.
func (p *Plane) process(s sockets, gatherer prometheus.Gatherer) (*process, error) {
	secure, err := p.config.tls()
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", p.Guarded(promhttp.HandlerFor(gatherer, promhttp.HandlerOpts{})))
	mux.Handle("/", p.AdminHandler())
	people := &server{httpserver.New(mux, p.log), s.people}
	people.TLSConfig = secure
	local := &server{httpserver.New(p.LocalHandler(), p.log), s.local}
	return &process{plane: p, people: people, local: local, nodes: s.nodes}, nil
}

// bind opens a TCP listener.
func bind(listen, flag string) (net.Listener, error) {
	socket, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fault.Wrap(fault.Precondition, "cannot listen on "+listen+": "+err.Error()+
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

// serve returns an error when the server can serve no more, and nil when it was
// told to stop.
func (s *server) serve() error {
	if err := httpserver.Serve(s.Server, s.socket); err != nil {
		return fault.Wrap(fault.Unavailable, "the listener "+s.socket.Addr().String()+" failed: "+err.Error(), err)
	}
	return nil
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
