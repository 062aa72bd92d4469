package upstream

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/mcp"
)

const (
	// A server that cannot be heard, or ends its stream, is tried again after firstRest, and then after about twice as long
	// each time, up to lastRest.
	firstRest = time.Second
	lastRest  = 30 * time.Second

	// firstConflict stands for firstRest where the server says that the session has a stream already: that of another node,
	// or of the same client a moment ago, which is just being closed.
	firstConflict = 100 * time.Millisecond

	// nothingTime is after how long a server that had nothing to hear is asked again: it may have been replaced by another.
	nothingTime = 15 * time.Minute

	// steadyTime is after how long a stream counts as one that was worth having.
	steadyTime = 10 * time.Second
)

// Why an attempt to hear a server ended.
var (
	// errNothing means that the server says nothing unasked.
	errNothing = errors.New("the server has no notifications")
	// errConflict means that the session has another stream.
	errConflict = errors.New("the session has a stream already")
	// errGraceful means that the server ended the stream in good order.
	errGraceful = errors.New("the server ended its stream")
)

// ear is one Listen, over all the streams that it takes.
type ear struct {
	pool     *Pool
	endpoint *endpoint
	listen   *Listen
	sink     Sink
	call     Call // for the legacy era: what stands for the call in which a server asks

	claim   claim         // the session with a legacy server
	own     session       // room for one that the client carries
	last    string        // id of the last event, of the session that had it
	retry   time.Duration // that the server last asked for
	ready   func()        // nil once it was called
	rest    rest
	heard   bool // the attempt at hand led to a stream
	relapse bool // the last attempt lost its session
}

// Listen passes on what one server says unasked, as it says it: with its own URIs, and without the name of our
// subscription. A modern server is asked by subscriptions/listen for what the filter says. A legacy one is heard by the
// stream of the session, and subscribed to the filter's URIs in it; everything that it says passes.
//
// Listen returns when ctx ends, with its cause, or when the sink fails. It goes on through everything that a server does:
// a stream that ends is opened again, after a while that grows, and from where it stood if the server marks its events. A
// server that has nothing to hear is left alone. Only one that is not usable at all is an error before.
func (p *Pool) Listen(ctx context.Context, listen *Listen, sink Sink) error {
	l := &ear{pool: p, listen: listen, sink: sink, ready: listen.Ready, rest: rest{first: firstRest, conflict: firstConflict, last: lastRest}}
	defer l.isReady()
	if err := l.aim(); err != nil {
		return err
	}
	return l.run(ctx)
}

// aim finds out where the server is and who listens.
func (l *ear) aim() (err error) {
	listen := l.listen
	if l.endpoint, err = l.pool.endpoint(listen.Server); err != nil {
		return err
	}
	if l.endpoint.broken != "" {
		return &failure{code: mcp.CodeUnavailable, text: l.endpoint.broken}
	}
	l.claim = claimOf(listen.Session, listen.SessionKey, listen.Principal, dialectOf(listen.Capabilities, ""))
	l.call = Call{
		Server: listen.Server, Principal: listen.Principal, Era: mcp.Legacy, Request: new(mcp.Request),
		Capabilities: listen.Capabilities, Permit: listen.Permit,
	}
	return nil
}

func (l *ear) isReady() {
	if l.ready != nil {
		l.ready()
		l.ready = nil
	}
}

// run makes attempts until ctx ends.
func (l *ear) run(ctx context.Context) error {
	for {
		l.heard = false
		began := time.Now()
		err := l.attempt(ctx)
		if ctx.Err() == nil && l.again(err) {
			continue
		}
		l.isReady()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errSink):
			return err
		case errors.Is(err, errNothing):
			l.rest.reset()
		}
		l.pool.config.Log.Debug("server is heard again after a while", "server", l.endpoint.name, "reason", err)
		if l.heard && time.Since(began) >= steadyTime {
			l.rest.reset()
		}
		if !l.rest.take(ctx, err, l.retry) {
			return context.Cause(ctx)
		}
		l.retry = 0
	}
}

// again reports whether the next attempt need not wait, because it is another one: in a new session, or in the other era.
// It is so once, until a stream was heard.
func (l *ear) again(err error) bool {
	lost := errors.Is(err, errSessionLost) || errors.Is(err, errOtherEra)
	again := lost && !l.relapse
	l.relapse = lost && !l.heard
	return again
}

// rest is how long is waited between attempts.
type rest struct {
	first, conflict, last time.Duration
	delay                 time.Duration // the last one; 0: none since reset
}

func (r *rest) reset() { r.delay = 0 }

// next returns the next delay, without chance in it.
func (r *rest) next(err error, hint time.Duration) time.Duration {
	if errors.Is(err, errNothing) {
		return nothingTime
	}
	first := r.first
	if errors.Is(err, errConflict) {
		first = r.conflict
	}
	if r.delay == 0 {
		r.delay = first
	} else {
		r.delay = min(max(2*r.delay, first), r.last)
	}
	return max(r.delay, min(hint, r.last))
}

// take waits, with some chance in it so that many do not come back at one moment. It reports whether ctx still runs.
func (r *rest) take(ctx context.Context, err error, hint time.Duration) bool {
	delay := r.next(err, hint)
	return lifetime.Sleep(ctx, delay+time.Duration(rand.Float64()*0.25*float64(delay)))
}

// attempt hears the server for as long as one stream lasts.
func (l *ear) attempt(ctx context.Context) error {
	x := &exchange{pool: l.pool, endpoint: l.endpoint, call: &l.call, sink: l.sink}
	x.watch.start(ctx, limits{header: l.endpoint.limits.header})
	defer x.watch.close()
	var err error
	if x.era, err = l.endpoint.era(&x.watch); err != nil {
		return err
	}
	defer func() {
		x.talk.reader = nil // it is not one of the pool's
		x.talk.close()
	}()
	if x.era == mcp.Modern {
		err = l.modern(x)
	} else {
		err = l.legacy(x)
	}
	if errors.Is(err, errOtherEra) {
		l.endpoint.turns(x.era)
	}
	return err
}

// streaming prepares a stream that may be silent for as long as it likes, and say as much as it likes.
func (l *ear) streaming(x *exchange) {
	x.watch.limits = limits{}
	x.talk.reader = mcp.NewQuietSSEReader(nil, l.pool.config.MessageBytes)
	x.talk.begin()
	x.talk.budget.left = math.MaxInt64
	x.watch.moved()
}

// modern hears a modern server.
func (l *ear) modern(x *exchange) error {
	x.talk = conversation{endpoint: l.endpoint, watch: &x.watch, caller: l.endpoint.caller(l.listen.Principal), quiet: true}
	c := &x.talk
	c.id = l.pool.nextID(nil)
	err := c.send(http.MethodPost, []transport.Field{
		{Name: mcp.HeaderVersion, Value: mcp.Version20260728},
		{Name: mcp.HeaderMethod, Value: mcp.MethodListen},
	}, mcp.WriteRequest(nil, c.id, mcp.MethodListen, l.modernParams()))
	if err != nil {
		return err
	}
	media := c.media()
	switch {
	case c.status == http.StatusOK && strings.EqualFold(media, "text/event-stream"):
		l.streaming(x)
		return l.readModern(x)
	case c.status == http.StatusOK && strings.EqualFold(media, "application/json"):
		_, err = c.readJSON()
	case c.status == http.StatusNotFound || c.status == http.StatusMethodNotAllowed:
		return errNothing
	default:
		_, err = c.refused(media)
	}
	if err != nil {
		return err
	}
	return l.answered(x)
}

// modernParams are those of subscriptions/listen.
func (l *ear) modernParams() []byte {
	params := append([]byte(`{"_meta":{"io.modelcontextprotocol/protocolVersion":"`+mcp.Version20260728+
		`","io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/clientInfo":`), l.pool.clientInfo...)
	params = append(params, `},"notifications":{`...)
	start := len(params)
	filter := &l.listen.Filter
	for _, member := range []struct {
		wanted bool
		text   string
	}{
		{filter.Tools, `"toolsListChanged":true,`},
		{filter.Prompts, `"promptsListChanged":true,`},
		{filter.Resources, `"resourcesListChanged":true,`},
	} {
		if member.wanted {
			params = append(params, member.text...)
		}
	}
	if len(filter.URIs) > 0 {
		params = append(params, `"resourceSubscriptions":[`...)
		for _, uri := range filter.URIs {
			params = append(mcp.AppendString(params, uri), ',')
		}
		params = append(params[:len(params)-1], "],"...)
	}
	if len(params) > start {
		params = params[:len(params)-1]
	}
	return append(params, "}}"...)
}

// answered says what an answer to subscriptions/listen means, which ends the stream.
func (l *ear) answered(x *exchange) error {
	scan := &x.talk.scan
	switch {
	case scan.Error.Empty() && l.heard:
		return errGraceful
	case scan.Error.Empty(), scan.ErrorCode == mcp.CodeMethodNotFound:
		return errNothing
	case scan.ErrorCode == mcp.CodeUnsupportedVersion:
		return errOtherEra
	}
	return l.endpoint.fail(mcp.CodeUnavailable, nil, "server %q refused to be listened to (JSON-RPC error %d)", scan.ErrorCode)
}

// methodAcknowledged is the first message of a modern server's stream: what it honours of the filter.
const methodAcknowledged = "notifications/subscriptions/acknowledged"

// readModern reads a modern server's stream to its end.
func (l *ear) readModern(x *exchange) error {
	c := &x.talk
	for {
		message, err := c.next()
		switch {
		case err != nil:
			return err
		case message == nil:
		case c.scan.IsResponse():
			if _, err := c.ours(message); err != nil {
				return err
			}
			return l.answered(x)
		case c.scan.Method == methodAcknowledged:
			if l.heard = honours(message, &c.scan); !l.heard {
				return errNothing
			}
			l.isReady()
		case c.scan.IsNotification() && l.heard:
			if err := l.pass(x, message, Mark{}); err != nil {
				return err
			}
		}
	}
}

// honours reports whether an acknowledgement has anything in it.
func honours(message []byte, scan *mcp.Response) bool {
	some := false
	granted := rawMember(scan.Params.Of(message), "notifications")
	if len(granted) == 0 {
		return false
	}
	mcp.Members(granted, func(_ string, value mcp.Span) error {
		raw := string(value.Of(granted))
		some = some || raw != "false" && raw != "[]" && raw != "null"
		return nil
	})
	return some
}

// legacy hears a legacy server in a session.
func (l *ear) legacy(x *exchange) (err error) {
	if x.lease, err = l.endpoint.acquire(&x.watch, l.claim, &l.own); err != nil {
		return l.endpoint.explain(&x.watch, err)
	}
	defer x.lease.release()
	if err := l.subscribe(x); err != nil {
		return l.within(x, err)
	}
	x.talk = conversation{endpoint: l.endpoint, watch: &x.watch, session: x.lease.session, quiet: true}
	if x.lease.line != nil {
		x.talk.inbox = x.lease.line.hear()
		x.watch.limits = limits{}
		x.watch.moved()
		return l.readLegacy(x)
	}
	if err := l.open(x); err != nil {
		return l.within(x, err)
	}
	l.streaming(x)
	err = l.readLegacy(x)
	l.last, l.retry = x.talk.last, x.talk.retry
	return err
}

// within notes that a session was lost, so that the next attempt takes another.
func (l *ear) within(x *exchange, err error) error {
	if errors.Is(err, errSessionLost) {
		x.lease.lost()
		l.claim, l.last = x.lease.claim, ""
	}
	return err
}

// subscribe tells a legacy server of which resources the session wants to hear. One that it refuses is not heard of.
func (l *ear) subscribe(x *exchange) error {
	for _, uri := range l.listen.Filter.URIs {
		x.talk = conversation{endpoint: l.endpoint, watch: &x.watch, session: x.lease.session}
		c := &x.talk
		params := append(mcp.AppendString([]byte(`{"uri":`), uri), '}')
		_, err := c.request(x.lease.fields(x.fieldsSpace[:0]), mcp.MethodResourcesSubscribe, params)
		status, refused, code := c.status, !c.scan.Error.Empty(), c.scan.ErrorCode
		c.close()
		switch {
		case status == http.StatusNotFound && x.hasSession():
			return errSessionLost
		case err != nil:
			return err
		case refused:
			l.pool.config.Log.Debug("server refused a subscription", "server", l.endpoint.name, "code", code)
		}
	}
	return nil
}

// hasSession reports whether the session at hand is one that the server can say it does not know.
func (x *exchange) hasSession() bool { return x.lease.id != "" && x.lease.line == nil }

// open asks for the stream of the session. Some servers begin to answer only when they have something to say, so there is
// no bound on how long that takes.
func (l *ear) open(x *exchange) error {
	fields := x.lease.fields(x.fieldsSpace[:0])
	if l.last != "" {
		fields = append(fields, transport.Field{Name: headerLastEvent, Value: l.last})
	}
	x.watch.limits = limits{}
	if err := x.talk.send(http.MethodGet, fields, nil); err != nil {
		return err
	}
	status, from := x.talk.status, l.last
	l.last = ""
	switch {
	case status == http.StatusOK && strings.EqualFold(x.talk.media(), "text/event-stream"):
		return nil
	case status == http.StatusNotFound && x.hasSession():
		return errSessionLost
	case status == http.StatusConflict:
		l.last = from
		return errConflict
	case status >= 400 && status < 500 && from != "":
		return l.endpoint.fail(mcp.CodeUnavailable, nil, "server %q does not let its stream be resumed (HTTP %d)", status)
	case status == http.StatusOK, status == http.StatusAccepted, status == http.StatusNoContent, isLegacyRefusal(status):
		return errNothing
	}
	return l.endpoint.refusal(status, x.talk.response.Header("Retry-After"))
}

// readLegacy reads the stream of a session to its end.
func (l *ear) readLegacy(x *exchange) error {
	l.heard = true
	l.isReady()
	c := &x.talk
	for {
		message, err := c.next()
		switch {
		case errors.Is(err, errDetached):
			return errGraceful
		case err != nil:
			return err
		case message == nil:
			err = c.primeTo(l.sink)
		case c.scan.IsResponse(): // to nothing that we asked here
		case c.scan.IsNotification():
			err = l.pass(x, message, c.at)
		default:
			err = x.asks(message, &c.scan, c.at)
		}
		if err != nil {
			return err
		}
	}
}

// primeTo passes on an event without a message.
func (c *conversation) primeTo(sink Sink) error {
	if c.at.EventID == "" {
		return nil
	}
	if sink.Prime(c.at) != nil {
		return errSink
	}
	return nil
}

// pass hands a notification on.
func (l *ear) pass(x *exchange, message []byte, at Mark) error {
	scan := &x.talk.scan
	if listChanged(scan.Method) {
		l.endpoint.changed()
	}
	if !scan.SubscriptionID.Empty() {
		neutral := newBuffer()
		defer neutral.release()
		neutral.bytes = mcp.RewriteNotification(neutral.bytes, message, scan, &mcp.Note{})
		message = neutral.bytes
	}
	if scan.Method == mcp.MethodCancelled {
		if l.sink.Withdraw(&Withdrawal{Message: message, Scan: scan}, at) != nil {
			return errSink
		}
		return nil
	}
	if l.sink.Notification(message, at) != nil {
		return errSink
	}
	return nil
}
