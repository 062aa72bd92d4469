package upstream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/proto"

	"github.com/warder-gateway/warder/internal/mcp"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// maxPointers bounds the look-up from snapshot items to endpoints, should Retain not be called.
const maxPointers = 65_536

// Pool calls servers. It makes an endpoint for a server at the first call and keeps it until Retain says that the server
// is gone or has changed. All methods may be used from many goroutines at once.
type Pool struct {
	config     Config
	clientInfo []byte // what servers are told of us: a JSON object
	ids        atomic.Uint64
	sessions   sessions
	background background
	closing    atomic.Bool
	parked     parked
	readers    sync.Pool // of *mcp.SSEReader
	exchanges  sync.Pool // of *exchange

	// known finds the endpoint of an item of a snapshot by the item's address: items are immutable.
	known      sync.Map // *snapshotv1.Server → *endpoint
	knownCount atomic.Int64

	mu        sync.Mutex
	endpoints map[string]*endpoint // by content of the item
}

// New returns a pool without connections.
func New(config Config) *Pool {
	p := &Pool{
		config:    config.withDefaults(),
		endpoints: make(map[string]*endpoint),
	}
	p.readers.New = func() any { return mcp.NewSSEReader(nil, p.config.MessageBytes) }
	p.clientInfo = append(p.clientInfo, `{"name":"warder","version":`...)
	p.clientInfo = append(mcp.AppendString(p.clientInfo, p.config.Version), '}')
	p.ids.Store(rand.Uint64N(1 << 52))
	p.background.slots = make(chan struct{}, maxBackground)
	p.sessions.init(p)
	p.parked.init(p)
	if p.config.Registerer != nil {
		p.config.Registerer.MustRegister(poolCollector{p})
	}
	return p
}

// Do makes one call and waits for its answer. What the server says before goes to the sink, which may be nil: then
// nobody can be asked anything. It returns an Answer with a JSON-RPC error for every failure of a server, and an error
// only if ctx ended or the sink failed: then the answer says how far it came, and nobody is there to read it.
//
// It takes every method that goes to a server. A request that a modern server needs not to hear, because it has another
// way to learn of it (resources/subscribe, resources/unsubscribe, logging/setLevel), is answered here.
func (p *Pool) Do(ctx context.Context, call *Call, sink Sink) (*Answer, error) {
	if !carried(call.Request.Method) {
		return nil, fmt.Errorf("call server: method %q is not carried", call.Request.Method)
	}
	if call.Parked != "" {
		return p.resume(ctx, call, sink)
	}
	x := p.borrow()
	x.pool, x.call, x.sink = p, call, sink
	answer, err := x.run(ctx)
	p.giveBack(x)
	return answer, err
}

// borrow returns an exchange in its initial state, but for the timer and the hook of its watch.
func (p *Pool) borrow() *exchange {
	if x, ok := p.exchanges.Get().(*exchange); ok {
		return x
	}
	return new(exchange)
}

// giveBack takes the exchange of a call that went its usual way: nothing runs that knows of it. All others, of which
// something may be under way in the background, are left to the collector.
func (p *Pool) giveBack(x *exchange) {
	if !x.over {
		return
	}
	timer, onGone := x.watch.timer, x.watch.onGone
	*x = exchange{}
	x.watch.timer, x.watch.onGone = timer, onGone
	p.exchanges.Put(x)
}

// carried reports whether a method goes to a server.
func carried(method string) bool {
	switch method {
	case mcp.MethodToolsCall, mcp.MethodPromptsGet, mcp.MethodResourcesRead, mcp.MethodComplete,
		mcp.MethodResourcesSubscribe, mcp.MethodResourcesUnsubscribe, mcp.MethodSetLevel,
		// Clients get lists from the snapshot; these are the node's own, to see whether it still holds (package drift).
		mcp.MethodToolsList, mcp.MethodPromptsList, mcp.MethodResourcesList, mcp.MethodResourceTemplates:
		return true
	}
	return false
}

// endpoint returns that of a server.
func (p *Pool) endpoint(server *snapshotv1.Server) (*endpoint, error) {
	if e, ok := p.known.Load(server); ok {
		return e.(*endpoint), nil
	}
	key, err := identity(server)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.endpoints[key]
	if e == nil {
		e = newEndpoint(p, server)
		p.endpoints[key] = e
	}
	p.remember(server, e)
	return e, nil
}

// remember makes the next look-up by address a hit. The caller holds mu.
func (p *Pool) remember(server *snapshotv1.Server, e *endpoint) {
	if p.knownCount.Add(1) > maxPointers {
		p.known.Clear()
		p.knownCount.Store(1)
	}
	p.known.Store(server, e)
}

// identity returns what distinguishes endpoints: all that is known of a server, so that one with another address,
// credential or version starts afresh.
func identity(server *snapshotv1.Server) (string, error) {
	encoded, err := proto.MarshalOptions{Deterministic: true}.Marshal(server)
	if err != nil {
		return "", fmt.Errorf("identify server: %w", err)
	}
	return string(encoded), nil
}

// Retain forgets the endpoints of all other servers: their idle connections are closed, their sessions ended, and calls
// that still run are left to finish. It is called after each snapshot, with all servers in it.
func (p *Pool) Retain(servers []*snapshotv1.Server) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known.Clear()
	p.knownCount.Store(0)
	kept := make(map[string]*endpoint, len(p.endpoints))
	for _, server := range servers {
		key, err := identity(server)
		if err != nil {
			continue // such a server never got an endpoint
		}
		if e := p.endpoints[key]; e != nil {
			kept[key] = e
			p.remember(server, e)
		}
	}
	for key, e := range p.endpoints {
		if kept[key] == nil {
			p.retire(e)
		}
	}
	p.endpoints = kept
}

// retire closes what an endpoint keeps for later calls.
func (p *Pool) retire(e *endpoint) {
	p.sessions.endAll(e)
	if e.carrier != nil {
		e.carrier.CloseIdle()
	}
}

// Close ends all sessions but those that other nodes use, and parked calls, closes idle connections and waits for what runs in the background, at most until ctx ends.
// There must be no calls any more.
func (p *Pool) Close(ctx context.Context) {
	p.closing.Store(true)
	p.parked.close()
	p.Retain(nil)
	p.sessions.close()
	p.background.wait(ctx)
}

// nextID appends a request id that no other request of this pool has, as a JSON number. Nodes speak in the same sessions,
// so each counts from a number of its own; none is larger than what JavaScript tells from the next.
func (p *Pool) nextID(dst []byte) []byte {
	return appendUint(dst, p.ids.Add(1))
}

// outcomes of answers that servers gave.
const (
	outcomeOK            = auditv1.Outcome_OUTCOME_OK
	outcomeToolError     = auditv1.Outcome_OUTCOME_TOOL_ERROR
	outcomeProtocolError = auditv1.Outcome_OUTCOME_PROTOCOL_ERROR
	outcomeServerFailed  = auditv1.Outcome_OUTCOME_SERVER_FAILED
	outcomeCancelled     = auditv1.Outcome_OUTCOME_CANCELLED
	outcomeInputRequired = auditv1.Outcome_OUTCOME_INPUT_REQUIRED
)
