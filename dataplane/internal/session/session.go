package session

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/mcp"
)

// Upstream makes calls, as upstream.Pool does.
type Upstream interface {
	// Do makes one call. Messages that the server sends before its answer go to
	// the sink. Every failure of a server is an answer; an error means that ctx
	// has ended. It keeps neither the call nor its body.
	Do(ctx context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error)
}

// Config is what a Session needs. All fields but the last two are required.
type Config struct {
	Upstream Upstream
	Audit    Recorder
	// Version is shown to clients.
	Version    string
	Log        *slog.Logger
	Registerer prometheus.Registerer
	// Depth is the deepest nesting of a message; 0 means mcp.DefaultDepth.
	Depth int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Session answers messages. It is safe for concurrent use.
type Session struct {
	upstream Upstream
	audit    Recorder
	refusals *Refusals
	metrics  *metrics
	log      *slog.Logger
	now      func() time.Time
	limits   mcp.Limits
	words    words
}

// New returns a session.
func New(config Config) *Session {
	if config.Now == nil {
		config.Now = time.Now
	}
	metrics := newMetrics(config.Registerer)
	return &Session{
		upstream: config.Upstream,
		audit:    config.Audit,
		refusals: newRefusals(&config, metrics),
		metrics:  metrics,
		log:      config.Log,
		now:      config.Now,
		limits:   mcp.Limits{Depth: config.Depth},
		words:    newWords(config.Version),
	}
}

// Refusals returns what records refusals; its Run must run beside the session.
func (s *Session) Refusals() *Refusals { return s.refusals }

// Request is one message that the listener has let in. Nothing in it is changed,
// and nothing is kept of it after Serve has returned.
type Request struct {
	// Index is what the node knows, and Key is of its table of credentials.
	Index *gate.Index
	Key   *credential.Key
	// Server is the slug in the path /mcp/{server}; empty on the aggregate.
	Server   string
	Header   http.Header
	Body     []byte
	Remote   string
	Received time.Time
}

// Answer is what goes back.
type Answer struct {
	// Status is the HTTP status.
	Status int
	// Parts, one after the other, are one JSON-RPC message; all are empty where
	// there is nothing to say. Nobody changes them.
	Parts [3][]byte
}

// Size returns the number of bytes of the message.
func (a *Answer) Size() int {
	return len(a.Parts[0]) + len(a.Parts[1]) + len(a.Parts[2])
}

func reply(status int, message []byte) Answer {
	return Answer{Status: status, Parts: [3][]byte{message}}
}

// Serve answers one message. Messages that come before the answer of a call go
// to the sink, which is not used after Serve has returned.
func (s *Session) Serve(ctx context.Context, in *Request, sink upstream.Sink) Answer {
	x := &exchange{Session: s, in: in}
	answer := x.serve(ctx, sink)
	elapsed := s.now().Sub(in.Received)
	s.metrics.duration.WithLabelValues(methodLabel(x.req.Method), x.failure).Observe(elapsed.Seconds())
	return answer
}

// exchange is one message on its way. It is one allocation for all that a call
// needs.
type exchange struct {
	*Session
	in      *Request
	req     mcp.Request
	era     mcp.Era
	server  *gate.Server // of the path; nil on the aggregate
	failure string       // what went wrong, for metrics; empty if nothing did
	record  record
	call    upstream.Call
}

func (x *exchange) serve(ctx context.Context, sink upstream.Sink) Answer {
	if refusal := x.read(); refusal != nil {
		return x.refuse(kindMessage, refusal)
	}
	if x.req.IsNotification() {
		return x.notification()
	}
	if x.in.Server != "" && !x.findServer() {
		return x.refuseStatus(http.StatusNotFound, kindServer, invalidParams("Unknown server: "+shown(x.in.Server)))
	}
	switch x.req.Method {
	case mcp.MethodToolsCall:
		return x.toolsCall(ctx, sink)
	case mcp.MethodToolsList:
		return x.toolsList()
	case mcp.MethodInitialize:
		return x.initialize()
	case mcp.MethodDiscover:
		return x.result(x.words.discover)
	case mcp.MethodPing:
		return x.result([]byte("{}"))
	}
	return x.refuse(kindMethod, x.methodError())
}

// read scans the message and tells its era.
func (x *exchange) read() *mcp.Error {
	version, headerErr := mcp.Header(x.in.Header, mcp.HeaderVersion)
	x.era = mcp.Legacy
	if headerErr != nil || version >= mcp.Version20260728 {
		x.era = mcp.Modern
	}
	if err := mcp.ScanRequest(x.in.Body, x.limits, &x.req); err != nil {
		return asRefusal(err)
	}
	if headerErr != nil {
		return headerErr
	}
	var refusal *mcp.Error
	if x.era, refusal = mcp.Classify(version, &x.req); refusal != nil {
		return refusal
	}
	if x.req.IsResponse() {
		return &mcp.Error{Code: mcp.CodeInvalidRequest, Text: "no request is waiting for this response", Offset: -1}
	}
	if x.era == mcp.Modern {
		return mcp.CheckHeaders(x.in.Header, &x.req)
	}
	return nil
}

// asRefusal returns the error of a scan as what it is. Another one would be a
// fault of ours, and is refused all the same.
func asRefusal(err error) *mcp.Error {
	if refusal, ok := errors.AsType[*mcp.Error](err); ok {
		return refusal
	}
	return &mcp.Error{Code: mcp.CodeInvalidRequest, Text: "message cannot be read", Offset: -1}
}

// notification accepts what wants no answer. None of those that clients send
// has an effect yet; a method that is none is not run without an answer.
func (x *exchange) notification() Answer {
	const prefix = "notifications/"
	if len(x.req.Method) > len(prefix) && x.req.Method[:len(prefix)] == prefix {
		return Answer{Status: http.StatusAccepted}
	}
	return x.refuse(kindMessage, &mcp.Error{
		Code:   mcp.CodeInvalidRequest,
		Text:   "method " + shown(x.req.Method) + " is a request and needs an id",
		Offset: -1,
	})
}

// findServer resolves the server of the path. One whose tools are all hidden
// from the caller is as good as none.
func (x *exchange) findServer() bool {
	server, ok := x.in.Index.Server(x.in.Server)
	if !ok || !x.profile().Sees(server) {
		return false
	}
	x.server = server
	return true
}

func (x *exchange) profile() *gate.Profile { return x.in.Index.Profile(x.in.Key) }

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

// id returns the client's id as it was sent; empty if there is none to be sure
// of.
func (x *exchange) id() []byte { return x.req.ID.Of(x.in.Body) }

// result answers with a result.
func (x *exchange) result(result []byte) Answer {
	return reply(http.StatusOK, mcp.WriteResult(nil, x.id(), result))
}

// maxShown bounds a stranger's text, in bytes.
const maxShown = 128

// shown makes a stranger's text fit for an answer or an event. Most need no
// making. An API key in the wrong place is not kept (security.md T-24).
func shown(text string) string {
	text = apikey.Redact(text)
	if len(text) > maxShown {
		return mcp.EscapeName(text, maxShown)
	}
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '\\' {
			return mcp.EscapeName(text, maxShown)
		}
	}
	return text
}

// methodLabel bounds the label: methods that clients make up share one.
func methodLabel(method string) string {
	switch method {
	case mcp.MethodToolsCall, mcp.MethodToolsList, mcp.MethodInitialize, mcp.MethodDiscover, mcp.MethodPing,
		mcp.MethodInitialized, mcp.MethodCancelled:
		return method
	}
	return "other"
}
