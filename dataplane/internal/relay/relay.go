package relay

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/internal/budget"
	"github.com/warder-gateway/warder/internal/identity"
	"github.com/warder-gateway/warder/internal/tunnel"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// Config is what a Relay is made of.
type Config struct {
	// Client returns how the node with this name is dialled; nobody else may pass for it.
	Client func(node string) *tls.Config
	// Local makes a request of another node by a tunnel that is here.
	Local func(ctx context.Context, request *tunnel.Request) (*tunnel.Response, error)
	// Errand serves what is asked of this node itself, as tunnel.Handler.Serve does. The body is good until it returns. Nil:
	// it is refused.
	Errand func(ctx context.Context, node, kind string, body []byte, w tunnel.Answer)
	// Bodies bounds the bytes that requests of other nodes hold here together, errands among them; those of one node may
	// hold half of that. Default 256 MiB.
	Bodies int
	// Version is told to other nodes, for people to read.
	Version string
	// Idle is after how long without a request a line ends. Default 5 min.
	Idle time.Duration
	// Log is told of lines. Default: nowhere.
	Log *slog.Logger
	// Registerer gets the metrics. Nil: nobody does.
	Registerer prometheus.Registerer
}

// Relay holds the lines of a node. It is safe for concurrent use.
type Relay struct {
	config  Config
	metrics metrics
	bodies  *budget.Budget // of requests of all other nodes

	mu        sync.Mutex
	addresses map[string]string  // of nodes
	barred    identity.Denials   // nodes
	lines     map[string]*line   // by node: those that take requests
	held      map[*line]struct{} // all that are not over
	failed    map[string]failure
	serving   map[*served]struct{}
	leaving   bool          // this node takes no calls of others
	draining  bool          // nor anything else
	deserted  chan struct{} // closed when it drains, and nobody is served any more
	over      bool
	running   sync.WaitGroup // of lines
}

// failure is why a node could not be reached, and until when that is taken to be so.
type failure struct {
	err   error
	until time.Time
}

const (
	// dialTime is how long it may take to open a line.
	dialTime = 3 * time.Second
	// failedTime is for how long a node is not dialled again that could not be reached.
	failedTime = 500 * time.Millisecond
)

// New returns a relay without lines.
func New(config Config) *Relay {
	config.Idle = cmp.Or(config.Idle, 5*time.Minute)
	config.Bodies = cmp.Or(config.Bodies, allBodies)
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	r := &Relay{
		config: config, bodies: budget.New(config.Bodies), lines: make(map[string]*line), held: make(map[*line]struct{}), failed: make(map[string]failure),
		serving: make(map[*served]struct{}), deserted: make(chan struct{}),
	}
	r.metrics.register(config.Registerer, r)
	return r
}

// Locate takes over where nodes are. Lines to nodes that are gone, or elsewhere now, end when what was asked over them has:
// a node that is out of touch with the control plane may be well.
func (r *Relay) Locate(nodes []*syncv1.NodeLocation) {
	addresses := make(map[string]string, len(nodes))
	for _, node := range nodes {
		if node.GetTunnelAddress() != "" {
			addresses[node.GetName()] = node.GetTunnelAddress()
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addresses = addresses
	clear(r.failed)
	for node, l := range r.lines {
		if addresses[node] != l.address {
			r.retire(l)
		}
	}
}

// Retain takes over which nodes are denied: they are neither asked nor served. Lines to them end; to one that joined anew
// since another is made.
func (r *Relay) Retain(barred identity.Denials) {
	r.mu.Lock()
	defer r.mu.Unlock()
	newer := barred.Newer(r.barred)
	r.barred = barred
	for l := range r.held {
		if slices.Contains(newer, l.node) {
			r.end(l, errBarred)
		}
	}
	for s := range r.serving {
		if _, void := barred.Cover(s.node, s.issued); void {
			s.end(errBarred)
		}
	}
}

// secure is how a node is dialled: its certificate must not be void.
func (r *Relay) secure(node string) *tls.Config {
	config := r.config.Client(node)
	verify := config.VerifyConnection
	config.VerifyConnection = func(state tls.ConnectionState) error {
		if verify != nil {
			if err := verify(state); err != nil {
				return err
			}
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if _, void := r.barred.Cover(node, identity.IssuedAt(state.PeerCertificates[0])); void {
			return errBarred
		}
		return nil
	}
	return config
}

// Why lines end, or are not opened.
var (
	errMoved   = errors.New("the node is gone, or elsewhere")
	errBarred  = errors.New("the node is revoked")
	errIdle    = errors.New("nothing was asked for a while")
	errUnknown = errors.New("no node of this name has a tunnel listener")
	errOver    = errors.New("this node is going down")
)

// Nodes returns the names of the other nodes that can be reached, in no particular order.
func (r *Relay) Nodes(own string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := make([]string, 0, len(r.addresses))
	for node := range r.addresses {
		if node != own {
			names = append(names, node)
		}
	}
	return names
}

// Do makes a request at the node with this name. All errors are of type *tunnel.Error.
func (r *Relay) Do(ctx context.Context, node string, request *tunnel.Request) (*tunnel.Response, error) {
	response, err := r.do(ctx, node, request)
	r.metrics.observe(request, err)
	return response, err
}

func (r *Relay) do(ctx context.Context, node string, request *tunnel.Request) (*tunnel.Response, error) {
	for again := false; ; again = true {
		l, fresh, err := r.line(node)
		if err != nil {
			return nil, &tunnel.Error{Err: fmt.Errorf("reach node %q: %w", node, err)}
		}
		response, err := l.do(ctx, request)
		if err == nil {
			return response, nil
		}
		failed, ok := errors.AsType[*tunnel.Error](err)
		// A line that ended just now, for being idle or with its node, is no reason to fail.
		if !ok || failed.Sent || fresh || again || ctx.Err() != nil || !errors.Is(err, tunnel.ErrLost) {
			return nil, err
		}
		r.forget(l, nil)
	}
}

// Busy is how many requests are open at a node.
func (r *Relay) Busy(node string) int {
	r.mu.Lock()
	l := r.lines[node]
	r.mu.Unlock()
	if l == nil {
		return 0
	}
	return l.busy()
}

// line returns the line to a node, and whether it is new.
func (r *Relay) line(node string) (l *line, fresh bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l := r.lines[node]; l != nil {
		return l, false, nil
	}
	address := r.addresses[node]
	switch failed := r.failed[node]; {
	case r.over:
		return nil, false, errOver
	case address == "":
		return nil, false, errUnknown
	case time.Now().Before(failed.until):
		return nil, false, failed.err
	}
	l = newLine(r, node, address)
	r.lines[node] = l
	r.held[l] = struct{}{}
	r.running.Go(l.run)
	return l, true, nil
}

// retire has a line take no more requests, and end when the last of them has. The caller holds the lock.
func (r *Relay) retire(l *line) {
	if r.lines[l.node] == l {
		delete(r.lines, l.node)
		close(l.retired)
	}
}

// end ends a line at once. The caller holds the lock.
func (r *Relay) end(l *line, why error) {
	l.end(why)
	r.retire(l)
}

func (r *Relay) stop(l *line, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(l, why)
}

// forget takes out a line that is over, and no other. If it never came to be, its node is left alone for a moment.
func (r *Relay) forget(l *line, failed error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end(l, failed)
	delete(r.held, l)
	if failed != nil && r.addresses[l.node] == l.address {
		r.failed[l.node] = failure{failed, time.Now().Add(failedTime)}
	}
}

// Leave has calls refused that other nodes bring from now on, so that they look elsewhere. Those that run go on, and errands
// are served, since a call may wait for one.
func (r *Relay) Leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leaving = true
}

func (r *Relay) leaves() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leaving
}

// Serving is how many requests of other nodes are being served.
func (r *Relay) Serving() (requests int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.serving {
		requests += s.tunnel.Busy()
	}
	return requests
}

// Drain tells other nodes to ask nothing more at all of this one, and waits until they have let go of it, or ctx ends. What is
// open goes on.
func (r *Relay) Drain(ctx context.Context) {
	r.mu.Lock()
	r.leaving = true
	if !r.draining {
		r.draining = true
		r.desert()
	}
	for s := range r.serving {
		s.tunnel.Drain()
	}
	r.mu.Unlock()
	select {
	case <-r.deserted:
	case <-ctx.Done():
	}
}

// desert notes that nobody is served any more, if so. The caller holds the lock.
func (r *Relay) desert() {
	if r.draining && len(r.serving) == 0 {
		close(r.deserted)
	}
}

// Close ends all lines, and those of other nodes to this one, and waits for its own to end.
func (r *Relay) Close() {
	r.mu.Lock()
	r.over = true
	for l := range r.held {
		r.end(l, errOver)
	}
	for s := range r.serving {
		s.end(errOver)
	}
	r.mu.Unlock()
	r.running.Wait()
}
