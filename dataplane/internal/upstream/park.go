package upstream

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
)

// parked holds the calls of modern clients whose legacy server asks the client for something, while it is asked:
//
//	reading ──the server asks──▶ parked ──the client calls again, with the name──▶ reading, after the answer was posted
//	                               └──ParkTime, Close──▶ over: the server is told that nobody waits
//
// A parked call has no goroutine and takes no place among the server's calls. Its stream is not read: a server that says
// more than what fits into the buffers of TCP waits. The table is bounded, and each caller has a share of it; when it is
// full, the server gets an error in place of the client's answer.
type parked struct {
	pool *Pool

	mu       sync.Mutex
	byName   map[string]*place
	reserved int
	byCaller map[string]int // places in use or reserved, by callerOf
	closed   bool
}

// place is where a call is parked.
type place struct {
	exchange *exchange
	timer    *time.Timer
}

func (t *parked) init(pool *Pool) {
	t.pool = pool
	t.byName = make(map[string]*place)
	t.byCaller = make(map[string]int)
}

func (t *parked) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.byName)
}

// reserve promises a place, if there is one. It is to be put into use, or given back with unreserve.
func (t *parked) reserve(caller string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	bound := t.pool.config.Parked
	if t.closed || len(t.byName)+t.reserved >= bound || t.byCaller[caller] >= max(bound/parkedShare, 1) {
		return false
	}
	t.reserved++
	t.byCaller[caller]++
	return true
}

// parkedShare says what part of the table one caller may have: one in so many.
const parkedShare = 8

func (t *parked) unreserve(caller string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reserved--
	t.free(caller)
}

// free gives a place of a caller back. The caller of it holds the lock.
func (t *parked) free(caller string) {
	if t.byCaller[caller]--; t.byCaller[caller] <= 0 {
		delete(t.byCaller, caller)
	}
}

// put parks a call at a place that was reserved. From then on it belongs to the table.
func (t *parked) put(x *exchange, name string) {
	t.mu.Lock()
	t.reserved--
	closed := t.closed
	if closed {
		t.free(x.caller)
	} else {
		p := &place{exchange: x}
		p.timer = time.AfterFunc(t.pool.config.ParkTime, func() { t.expire(name, p) })
		t.byName[name] = p
	}
	t.mu.Unlock()
	if closed {
		x.forsake()
	}
}

// take removes a call to a server, so that one client at a time goes on with it; nil if it is not there, or is another's:
// then it goes on to wait for its own. Whoever met the client has opened the state for its owner, but that may be another
// node, which can have been taken over.
func (t *parked) take(name, server string, who *principal.Principal) *exchange {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.byName[name]
	if p == nil || p.exchange.endpoint.name != server || !sameOwner(p.exchange.owner, who) {
		return nil
	}
	p.timer.Stop()
	delete(t.byName, name)
	t.free(p.exchange.caller)
	return p.exchange
}

// sameOwner reports whether two callers are one user with one application, as the states of requests are bound to: a key may
// have followed another meanwhile. Nobody is nobody's owner.
func sameOwner(a, b *principal.Principal) bool {
	return a != nil && b != nil && a.User == b.User && a.Application == b.Application
}

// expire ends a call that waited too long.
func (t *parked) expire(name string, p *place) {
	t.mu.Lock()
	mine := t.byName[name] == p
	if mine {
		delete(t.byName, name)
		t.free(p.exchange.caller)
	}
	t.mu.Unlock()
	if mine {
		p.exchange.forsake()
	}
}

// close ends all parked calls.
func (t *parked) close() {
	t.mu.Lock()
	t.closed = true
	all := t.byName
	t.byName, t.byCaller = map[string]*place{}, map[string]int{}
	t.mu.Unlock()
	for _, p := range all {
		p.timer.Stop()
		p.exchange.forsake()
	}
}

// question is what a legacy server asks of a modern client.
type question struct {
	id     []byte // the server's, raw
	key    string // under which the client answers
	method string
	params []byte
}

// errPark ends the reading of a stream whose server asks a modern client.
var errPark = errors.New("the server asks the client")

// parks keeps what the server asks, and ends the reading.
func (x *exchange) parks(id []byte, method string, params []byte, at Mark) error {
	x.owner = x.call.Principal
	if x.caller = callerOf(x.owner); x.call.SealState == nil || !x.pool.parked.reserve(x.caller) {
		return x.answerServer(refusal(mcp.CodeInternal, "the client cannot be asked at the moment")(bytes.Clone(id)), at)
	}
	x.questions++
	x.wanted = &question{
		id: bytes.Clone(id), key: "request-" + strconv.Itoa(x.questions),
		method: method, params: bytes.Clone(params),
	}
	return errPark
}

// park answers that input is required, and takes the exchange away from its client. Once its goroutine is done with it,
// it goes to the place that was reserved: see settle.
func (x *exchange) park() (*Answer, error) {
	name := rand.Text()
	sealed, err := x.seal(nil, name)
	x.watch.suspend()
	if err == nil && !x.watch.detach() {
		err = x.endpoint.explain(&x.watch, errClientGone)
	}
	if err != nil {
		x.pool.parked.unreserve(x.caller)
		return nil, err
	}
	input := mcp.Input{Key: x.wanted.key, Method: x.wanted.method, Params: x.wanted.params}
	input.NameAsker(x.call.Asker)
	answer := &Answer{
		Body:    mcp.WriteInputRequired(nil, x.clientID(), []mcp.Input{input}, sealed, x.call.ServerInfo),
		Outcome: outcomeInputRequired, At: x.talk.at,
	}
	x.id = bytes.Clone(x.id)
	x.talk.id = x.id
	x.place = name
	return answer, nil
}

// seal makes the state that the client brings back.
func (x *exchange) seal(inner []byte, parked string) (string, error) {
	if x.call.SealState == nil {
		return "", x.endpoint.fail(mcp.CodeInternal, nil, "server %q asks for input, and the client has no way to bring it")
	}
	return x.call.SealState(inner, parked)
}

// forsake ends a parked call for which nobody came.
func (x *exchange) forsake() {
	x.cancelUpstream("timed out")
	x.talk.close()
	x.lease.release()
	x.watch.close()
}

// resume goes on with a parked call.
func (p *Pool) resume(ctx context.Context, call *Call, sink Sink) (*Answer, error) {
	started := time.Now()
	x := p.parked.take(call.Parked, call.Server.GetName(), call.Principal)
	if x == nil {
		stranger := &exchange{pool: p, call: call}
		return stranger.failed(&failure{code: mcp.CodeUnavailable, text: "what server " + strconv.Quote(call.Server.GetName()) +
			" asked is no longer open, because the answer came too late or the node was restarted; call again"}, 0), nil
	}
	answer, err := x.goOn(ctx, call, sink)
	return x.report(ctx, answer, err, time.Since(started))
}

// goOn takes the call of a client that came back, and reads on if it brought what was asked.
func (x *exchange) goOn(ctx context.Context, call *Call, sink Sink) (*Answer, error) {
	x.call, x.sink, x.place = call, sink, ""
	x.endpoint.reenter()
	x.watch.attach(ctx)
	x.watch.revive()
	answer, err := x.reply()
	x.settle(err)
	return answer, err
}

// reply posts what the client brought. If that is not what was asked, the client is asked again.
func (x *exchange) reply() (*Answer, error) {
	response := rawMember(x.call.Request.InputResponses.Of(x.call.Body), x.wanted.key)
	if len(response) == 0 || response[0] != '{' {
		if !x.pool.parked.reserve(x.caller) {
			return nil, x.endpoint.fail(mcp.CodeUnavailable, nil, "server %q waits for what it asked, and too many others do; call again")
		}
		return x.park()
	}
	message := mcp.WriteResult(nil, x.wanted.id, response)
	x.wanted = nil
	if err := x.endpoint.tell(&x.watch, x.lease.session, message); err != nil {
		return x.withdrawn(err)
	}
	x.watch.moved()
	return x.conclude(x.talk.read())
}

// withdrawalTime is how long a server that did not take an answer may take to say what became of its question.
const withdrawalTime = 2 * time.Second

// withdrawn reads on although the server did not take the client's answer: it may have withdrawn the question meanwhile
// (notifications/cancelled) and gone on without, which nobody could tell the client, for the stream of a parked call is not
// read. Then the call goes on with what the server says; if it says nothing, refused is why the call fails.
func (x *exchange) withdrawn(refused error) (*Answer, error) {
	x.watch.reset(withdrawalTime)
	message, err := x.talk.read()
	if _, failed := errors.AsType[*failure](err); failed {
		return nil, refused
	}
	return x.conclude(message, err)
}
