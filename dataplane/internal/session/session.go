package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"hash/maphash"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
	"github.com/warder-gateway/warder/dataplane/internal/memfile"
	"github.com/warder-gateway/warder/dataplane/internal/notice"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
	"github.com/warder-gateway/warder/internal/principal"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Headers of legacy sessions, in the form that http.Header keeps.
const (
	HeaderSession     = "Mcp-Session-Id"
	headerLastEventID = "Last-Event-Id"
)

// Upstream speaks to servers, as upstream.Pool does.
type Upstream interface {
	// Do makes one call. What the server sends before its answer goes to the sink.
	// Every failure of a server is an answer; an error means that ctx has ended.
	Do(ctx context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error)
	// Resume reads a call's stream on, from an event that has been seen.
	Resume(ctx context.Context, resume *upstream.Resume, sink upstream.Sink) (*upstream.Answer, error)
	// Open initialises a legacy server for a client, End ends what Open opened, and
	// EndKey all that this node opened by itself for whoever has a key.
	Open(
		ctx context.Context, server *snapshotv1.Server, who *principal.Principal, capabilities mcp.Capabilities, clientVersion string,
	) (upstream.SessionRef, error)
	End(server *snapshotv1.Server, session upstream.SessionRef)
	EndKey(key string)
	// Respond posts a client's answer to a server's request, Notify a notification,
	// and Cancel the cancellation of a request.
	Respond(ctx context.Context, server *snapshotv1.Server, session upstream.SessionRef, message []byte) error
	Notify(ctx context.Context, server *snapshotv1.Server, session upstream.SessionRef, message []byte) error
	Cancel(ctx context.Context, server *snapshotv1.Server, session upstream.SessionRef, id []byte, reason string) error
}

// Board holds notification streams and what this node knows of sessions, as
// notice.Board does.
type Board interface {
	Open(ctx context.Context, sub *notice.Subscription, out notice.Stream) error
	Grant(session [16]byte, wish notice.Wish) error
	Level(session [16]byte) string
	End(session [16]byte, expires time.Time)
	Ended(session [16]byte) bool
}

// Client is the way back to whoever sent a message, as long as it is served. It is
// safe for concurrent use.
type Client interface {
	// Streams reports whether the client takes messages before its answer.
	Streams() bool
	// Send sends one message before the answer; nil is an event without data. Id and
	// retry are those of the event; empty and 0: none. It keeps nothing of the
	// message. An error means that the client is gone.
	Send(message []byte, id string, retry time.Duration) error
	// Begin sends the headers of an event stream, unless that has been done. It is
	// called for clients that take one.
	Begin() error
	// Outlive returns a context for a call that goes on for a while after its client
	// has gone. It has a cause that is fit for the audit then. Whoever asks for it
	// ends it.
	Outlive() *lifetime.Lifetime
	// Attend returns a context that ends when the client goes away. It is asked for
	// once, and not where Outlive is. Whoever asks for it ends it.
	Attend() *lifetime.Lifetime
	// Stay makes of the request a notification stream, which waits and does not work.
	// The message of the request is no longer there afterwards.
	Stay() error
}

// Peers ask other nodes for what only they can do, as errand.Errands does.
type Peers interface {
	// Self names this process in handles.
	Self() string
	// Answer gives a client's answer to the call that waits for it at a node. The
	// error is a fault: NotFound if no call does any more.
	Answer(ctx context.Context, node, pending string, session [16]byte, result []byte, refused *mcp.Error) error
	// Cancel ends a legacy client's call at whichever other node it runs.
	Cancel(ctx context.Context, session [16]byte, id []byte)
	// Wish has all other nodes know what a legacy client said of its session.
	Wish(ctx context.Context, session [16]byte, wish notice.Wish)
	// Resume is Upstream.Do for a call that is parked at a node. The error is a fault
	// if the node does not have it, or was not reached.
	Resume(ctx context.Context, node string, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error)
}

// Config is what a Session needs. All fields up to Registerer are required.
type Config struct {
	Upstream Upstream
	Board    Board
	Audit    Recorder
	// Limits has what calls may still take; nil: there are no limits.
	Limits Limits
	// Drift knows which servers may have changed what they offer; nil: none is
	// watched.
	Drift Drift
	// Current returns what the node knows.
	Current func() *gate.Index
	// Version is shown to clients.
	Version    string
	Log        *slog.Logger
	Registerer prometheus.Registerer

	// Peers reach other nodes; nil: there is no way to them.
	Peers Peers
	// Ended, if not nil, is told of each session that its client ended.
	Ended func(id [16]byte, expires time.Time)
	// Depth is the deepest nesting of a message; 0 means mcp.DefaultDepth.
	Depth int
	// OpenTime is how long servers may take to be initialised for a client, all of
	// them together. Default 2 s.
	OpenTime time.Duration
	// AskTime is how long a client may take to answer a server. Default 5 min.
	AskTime time.Duration
	// ResumeTime is how long a client may take to resume a call whose server closed
	// the stream. Default 2 min.
	ResumeTime time.Duration
	// Pending bounds the questions that wait for an answer on this node, and also the
	// calls that wait to be resumed. Default 10,000.
	Pending int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	c.OpenTime = cmp.Or(c.OpenTime, 2*time.Second)
	c.AskTime = cmp.Or(c.AskTime, 5*time.Minute)
	c.ResumeTime = cmp.Or(c.ResumeTime, 2*time.Minute)
	c.Pending = cmp.Or(c.Pending, 10_000)
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Session answers messages. It is safe for concurrent use.
type Session struct {
	config   Config
	upstream Upstream
	board    Board
	audit    Recorder
	buckets  Limits
	refusals *Refusals
	metrics  *metrics
	log      *slog.Logger
	now      func() time.Time
	limits   mcp.Limits
	words    words
	node     string // of this process: names it in what only it can answer
	asks     paces  // of servers, by server and key
	openings paces  // of sessions, by key
	endings  paces  // of sessions before their time, by key
	tellings paces  // of what all servers of a session are told, by key
	flights  flights
	waits    waits
	detached detached
	recent   opened

	exchanges sync.Pool // of *exchange, zero
}

// New returns a session.
func New(config Config) *Session {
	config = config.withDefaults()
	metrics := newMetrics(config.Registerer)
	node := randomName()
	if config.Peers != nil {
		node = config.Peers.Self()
	}
	return &Session{
		config:   config,
		upstream: config.Upstream,
		board:    config.Board,
		audit:    config.Audit,
		buckets:  config.Limits,
		refusals: newRefusals(&config, metrics),
		metrics:  metrics,
		log:      config.Log,
		now:      config.Now,
		limits:   mcp.Limits{Depth: config.Depth},
		words:    newWords(config.Version),
		node:     node,
		flights:  flights{seed: maphash.MakeSeed()},
		waits:    waits{limit: config.Pending},
		detached: detached{limit: config.Pending},
		asks:     paces{rate: askRate, burst: askBurst},
		openings: paces{rate: openRate, burst: openBurst},
		endings:  paces{rate: endRate, burst: endBurst},
		tellings: paces{rate: tellRate, burst: tellBurst},
	}
}

// randomName returns a name that nobody else has.
func randomName() string {
	var raw [12]byte
	rand.Read(raw[:]) // never fails
	return hex.EncodeToString(raw[:])
}

// Refusals returns what records refusals; its Run must run beside the session.
func (s *Session) Refusals() *Refusals { return s.refusals }

// Abandon ends the calls of legacy clients that still run, and those that begin
// later, as cancelled. It is called when nobody waits for them any more: the time of
// a node that goes down is over. The calls of modern clients end with their
// connections.
func (s *Session) Abandon() { s.flights.abandon() }

// Answered gives a client's answer, which another node took, to the call that waits for
// it here; false: none does.
func (s *Session) Answered(pending string, session [16]byte, result []byte, refused *mcp.Error) bool {
	waiting := s.waits.take(pending, session)
	if waiting == nil {
		return false
	}
	waiting.answer <- given{result: result, refused: refused} // has room for one
	return true
}

// Cancelled ends a legacy client's call that runs here, which the client cancelled at
// another node; false: none does.
func (s *Session) Cancelled(session [16]byte, id []byte) bool {
	return len(id) > 0 && s.flights.cancel(session, id)
}

// Wished takes what a legacy client said of its session at another node, which has
// decided and recorded it; false: it is not taken.
func (s *Session) Wished(session [16]byte, wish notice.Wish) bool {
	if wish.Level != "" && !slices.Contains(mcp.Levels(), wish.Level) || s.board.Ended(session) {
		return false
	}
	return s.board.Grant(session, wish) == nil
}

// Close records the calls that still wait to be resumed as given up. It is called
// when no request is served any more, before Refusals stops.
func (s *Session) Close() { s.detached.close() }

// Request is one message that the listener has let in. Nothing in it is changed,
// and nothing is kept of it after Serve has returned, but the Request itself where
// Answer.Free does not say otherwise.
type Request struct {
	// Index is what the node knows, and Caller is of its table of credentials.
	Index  *gate.Index
	Caller *credential.Caller
	// Server is the slug in the path /mcp/{server}; empty on the aggregate.
	Server string
	Header http.Header
	// Body is the message; empty where there is none (GET, DELETE).
	Body     []byte
	Remote   string
	Received time.Time
	// Room is memory for the answer, which may be in it; nil: the answer has memory
	// of its own.
	Room *upstream.Room
}

// Answer is what goes back. It is to be released when it has been written.
type Answer struct {
	// Status is the HTTP status.
	Status int
	// Parts, one after the other, are one JSON-RPC message; all are empty where
	// there is nothing to say. Nobody changes them.
	Parts [3][]byte
	// Source has one of the parts, where it is sent again and again; else nil.
	Source *memfile.Source
	// SessionID is the id of the session that this answer opens; mostly empty.
	SessionID string
	// EventID and Retry go with the answer where it is an event of a stream.
	EventID string
	Retry   time.Duration
	// ComeBack is when a client that was refused may come back; 0: nobody knows, or it
	// was not refused.
	ComeBack time.Duration
	// Free says that nobody knows of the Request, or of its Room, any more, once the
	// answer is released. Otherwise somebody may, for as long as a person takes.
	Free bool

	of   *upstream.Answer   // nil: it is our own
	also []*upstream.Answer // of the other messages of a batch
}

// Release says that the answer has been written, or that nobody wants it: what it
// holds of its server's budget is free again.
func (a *Answer) Release() {
	if a.of != nil {
		a.of.Release()
	}
	for _, other := range a.also {
		other.Release()
	}
}

// Size returns the number of bytes of the message.
func (a *Answer) Size() int {
	return len(a.Parts[0]) + len(a.Parts[1]) + len(a.Parts[2])
}

// Message returns the message in one piece.
func (a *Answer) Message() []byte {
	if len(a.Parts[1])+len(a.Parts[2]) == 0 {
		return a.Parts[0]
	}
	whole := make([]byte, 0, a.Size())
	for _, part := range a.Parts {
		whole = append(whole, part...)
	}
	return whole
}

func reply(status int, message []byte) Answer {
	return Answer{Status: status, Parts: [3][]byte{message}}
}

// Serve answers one message. The client is not used after it has returned.
func (s *Session) Serve(ctx context.Context, in *Request, client Client) Answer {
	answer, sub := s.serve(ctx, in, client)
	if sub == nil {
		return answer
	}
	// Nothing of the message is held any more while the stream waits.
	return s.hear(ctx, sub, client)
}

func (s *Session) serve(ctx context.Context, in *Request, client Client) (Answer, *subscription) {
	x := s.borrow(in, client)
	answer := x.serve(ctx)
	x.observe()
	sub := x.sub
	answer.Free = x.plain
	s.giveBack(x)
	return answer, sub
}

// borrow returns an exchange in its initial state, with what was made of its methods.
func (s *Session) borrow(in *Request, client Client) *exchange {
	x, ok := s.exchanges.Get().(*exchange)
	if !ok {
		x = new(exchange)
		x.made = made{x.permit, x.sealState}
	}
	x.Session, x.in, x.client = s, in, client
	return x
}

// giveBack takes the exchange of a call that went its usual way. All others are
// left to the collector: a call that is parked keeps whom to ask for permission,
// so has one whose server asked, a refusal may wait for its place in the audit,
// and a subscription lasts.
func (s *Session) giveBack(x *exchange) {
	if x.plain {
		*x = exchange{made: x.made}
		s.exchanges.Put(x)
	}
}

func (x *exchange) observe() {
	x.metrics.observe(methodLabel(x.req.Method), x.failure, x.now().Sub(x.in.Received))
}

// exchange is one message on its way. It is one allocation for all that a call
// needs.
type exchange struct {
	*Session
	in      *Request
	client  Client
	req     mcp.Request
	era     mcp.Era
	version string       // of the header; empty if it is not there
	server  *gate.Server // of the path; nil on the aggregate
	owner   handle.Owner
	// legacy is the session of a legacy client, if attached, and sessionKey its
	// notice.SessionKey. What it refers to is shared by all its requests.
	legacy     handle.Session
	sessionKey string
	attached   bool
	batched    bool // one of several messages, which share a stream
	unsure     bool // it was denied since it cannot be found out whether the server changed
	tooLate    bool // one that a batch has no room for any more

	entry *gate.Entry   // what the message is about, once resolved
	facts policy.Facts  // what conditions read of the message, once one asked
	own   string        // its name or URI as the server knows it
	sub   *subscription // a notification stream that the message asks for

	parkedAt string // the node where the call is parked; empty: here, or it is not

	failure string // what went wrong, for metrics; empty if nothing did
	plain   bool   // the call was made and answered, and nobody kept a part of it
	record  record
	call    upstream.Call
	ref     upstream.SessionRef
	sink    sink
	flight  flight
	permits permits
	made    made
	text    [64]byte // room for the request's id and the session's key
}

// made are methods of one exchange as values, which cost an allocation each: so
// they are made once for all messages that it serves.
type made struct {
	permit    upstream.Permit
	sealState func(inner []byte, parked string) (string, error)
}

func (x *exchange) serve(ctx context.Context) Answer {
	refusal := x.read()
	if refusal != nil && refusal.Reason != mcp.ReasonBatch {
		return x.refuse(kindMessage, refusal)
	}
	if answer, ok := x.enter(); !ok {
		return answer
	}
	switch {
	case refusal != nil:
		return x.batch(ctx, refusal)
	case x.req.IsResponse():
		return x.response(ctx)
	case x.req.IsNotification():
		return x.notification(ctx)
	}
	return x.request(ctx)
}

// enter finds the server of the path and the session of the header.
func (x *exchange) enter() (Answer, bool) {
	if x.in.Server != "" && !x.findServer() {
		return x.refuseStatus(http.StatusNotFound, kindServer, invalidParams("Unknown server: "+shown(x.in.Server))), false
	}
	if x.era == mcp.Legacy {
		return x.attach()
	}
	return Answer{}, true
}

// request answers a message that wants an answer.
func (x *exchange) request(ctx context.Context) Answer {
	switch x.req.Method {
	case mcp.MethodToolsCall, mcp.MethodPromptsGet, mcp.MethodResourcesRead, mcp.MethodComplete,
		mcp.MethodResourcesSubscribe, mcp.MethodResourcesUnsubscribe:
		return x.govern(ctx)
	case mcp.MethodToolsList:
		return x.list(gate.Tools)
	case mcp.MethodPromptsList:
		return x.list(gate.Prompts)
	case mcp.MethodResourcesList:
		return x.list(gate.Resources)
	case mcp.MethodResourceTemplates:
		return x.list(gate.Templates)
	case mcp.MethodInitialize:
		return x.initialize(ctx)
	case mcp.MethodDiscover:
		return x.discover()
	case mcp.MethodPing:
		return x.result([]byte("{}"))
	case mcp.MethodSetLevel:
		return x.setLevel(ctx)
	case mcp.MethodListen:
		return x.listen()
	}
	return x.refuse(kindMethod, x.methodError())
}

// findServer resolves the server of the path. One of which everything is hidden
// from the caller is as good as none.
func (x *exchange) findServer() bool {
	server, ok := x.in.Index.Server(x.in.Server)
	if !ok || !x.profile().Sees(server) {
		return false
	}
	x.server = server
	return true
}

func (x *exchange) profile() *gate.Profile { return x.in.Index.Profile(x.in.Caller) }

// methodError says that a method does not exist, or that nothing behind this
// endpoint offers it.
func (x *exchange) methodError() *mcp.Error {
	return cmp.Or(mcp.CheckMethod(x.era, x.req.Method), &mcp.Error{
		Code:   mcp.CodeMethodNotFound,
		Text:   "method " + shown(x.req.Method) + " is not offered here",
		Offset: -1,
	})
}

func invalidParams(text string) *mcp.Error {
	return &mcp.Error{Code: mcp.CodeInvalidParams, Text: text, Offset: -1}
}

func invalidRequest(text string) *mcp.Error {
	return &mcp.Error{Code: mcp.CodeInvalidRequest, Text: text, Offset: -1}
}

// id returns the client's id as it was sent; empty if there is none to be sure
// of.
func (x *exchange) id() []byte { return x.req.ID.Of(x.in.Body) }

// result answers with a result.
func (x *exchange) result(result []byte) Answer {
	return reply(http.StatusOK, mcp.WriteResult(nil, x.id(), result))
}
