package upstream

import (
	"bytes"
	"errors"
	"net/http"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
)

// codeLegacyRefusal is what servers made with the older SDKs say, with HTTP 400, to a session or version that they do
// not know.
const codeLegacyRefusal = -32000

const (
	// usualRetry is how long to wait before a stream is resumed when the server does not say.
	usualRetry = time.Second
	// maxReopens bounds how often a stream is resumed without anything new in it.
	maxReopens = 5
)

// maxLost bounds in how many sessions a call is tried that its server does not know.
const maxLost = 3

// legacy makes a call within a session. If the server says that it does not know the session, the call was not executed,
// and is made again in a new one. After the second time it is a failure; but a session that there was already, here or at
// another node, may be as old as the first.
func (x *exchange) legacy() (*Answer, error) {
	c := claimOf(x.call.Session, x.call.SessionKey, x.call.Principal, dialectOf(x.call.Capabilities, x.call.ClientVersion))
	var since time.Time // when the first was lost
	for lost := 1; ; lost++ {
		var err error
		if x.lease, err = x.endpoint.acquire(&x.watch, c, &x.own); err != nil {
			return nil, x.endpoint.explain(&x.watch, err)
		}
		answer, err := x.within()
		if !errors.Is(err, errSessionLost) {
			return answer, err
		}
		c = x.lease.claim
		old := x.lease.olderThan(since)
		x.lease.release()
		if lost == 1 {
			since = time.Now()
		} else if !old || lost == maxLost {
			return nil, x.endpoint.fail(mcp.CodeBadServerAnswer, err, "server %q forgets each session at once")
		}
	}
}

// within makes the call in the session at hand.
func (x *exchange) within() (*Answer, error) {
	if err := x.setLevel(); err != nil {
		return nil, err
	}
	hop := mcp.Hop{DropState: true, DropInput: true}
	return x.converse(x.lease.fields(x.fieldsSpace[:0]), &hop)
}

// setLevel tells the server from which level on the client wants log messages, if it does not know, in a session of this
// node. In one of its own, a legacy client has set the level by itself.
func (x *exchange) setLevel() error {
	s := x.lease.session
	level := x.level()
	if level == "" || !s.logs || x.lease.held == nil {
		return nil
	}
	s.levelMu.Lock()
	defer s.levelMu.Unlock()
	if s.level == level {
		return nil
	}
	c := conversation{endpoint: x.endpoint, watch: &x.watch, session: s, caller: x.endpoint.caller(x.call.Principal)}
	defer c.close()
	params := append(mcp.AppendString([]byte(`{"level":`), level), '}')
	if _, err := c.request(s.fields(nil), mcp.MethodSetLevel, params); err != nil {
		if c.status == http.StatusNotFound {
			x.lease.lost()
			return errSessionLost
		}
		return err
	}
	s.level = level
	return nil
}

// checkSession looks whether a legacy server has lost the session, and whether that means that the call was not executed:
//
//	HTTP 404, and no id or another one   not executed: the protocol has it for a session that is not there, which a server
//	                                     looks for before it looks at the message; made again
//	HTTP 404, the request's id, and a    executed: this is the answer
//	  code of who has read the request
//	HTTP 404, the request's id           may have been executed: see doubtful
//	HTTP 400, -32000, and no id          not executed: so the older SDKs say it; made again
//	HTTP 400, -32000                     may have been executed: see doubtful
func (x *exchange) checkSession(err error) error {
	c, lease := &x.talk, &x.lease
	if c.resumed {
		return err // the call was executed
	}
	hasID := lease.id != "" && lease.line == nil
	switch {
	case c.status == http.StatusNotFound && hasID && !c.namesRequest():
		lease.lost()
		return errSessionLost
	case c.status == http.StatusNotFound && hasID && !c.executed(err):
		return x.doubtful()
	case c.status == http.StatusBadRequest && err == nil && c.scan.ErrorCode == codeLegacyRefusal:
		if hasID && !c.namesRequest() {
			lease.lost()
			return errSessionLost
		}
		return x.doubtful()
	}
	return err
}

// doubtful ends a call in a session that the server seems to have lost, while it names the request, as only who has read
// it can: it may have been executed. A tool is not called again then, whatever it says of itself (readOnlyHint,
// idempotentHint): hints are the server's claims. What does no harm twice by its method, such as a read, is made again. Either
// way the session is replaced, so that the next call finds one.
func (x *exchange) doubtful() error {
	if x.call.Request.Method != mcp.MethodToolsCall && x.lease.id != "" && x.lease.line == nil {
		x.lease.lost()
		return errSessionLost
	}
	x.lease.replace()
	return x.endpoint.fail(mcp.CodeUnavailable, nil,
		"server %q refused the session that Warder has with it, and may have executed the call; look before you call again, which opens a new one")
}

// namesRequest reports whether an answer with HTTP 400 or above has the id of our request, wherever, for it may be broken:
// ids are long enough to be nowhere by chance.
func (c *conversation) namesRequest() bool {
	return c.buffer != nil && bytes.Contains(c.buffer.bytes, c.id)
}

// executed reports whether an answer with HTTP 404 that names the request is about it and not about its session: an error
// of a kind that only who has read the request can have found.
func (c *conversation) executed(err error) bool {
	if err != nil {
		return false
	}
	switch c.scan.ErrorCode {
	case mcp.CodeMethodNotFound, mcp.CodeInvalidParams, mcp.CodeInternal, mcp.CodeResourceNotFound:
		return true
	}
	return false
}

// detached ends a call whose rest a legacy client asks for by itself.
func (x *exchange) detached() *Answer {
	at := Mark{EventID: x.talk.last, Retry: x.talk.retry, Session: x.talk.session.ref()}
	x.talk.finish()
	return &Answer{Detached: true, At: at, Until: x.watch.until()}
}

// readOn resumes the stream for a client that cannot do it by itself, and reads until the answer, or the stream's next
// end.
func (x *exchange) readOn() ([]byte, error) {
	last := x.talk.last
	x.reopens++
	if x.reopens > maxReopens {
		return nil, x.endpoint.fail(mcp.CodeUnavailable, nil, "server %q closes its stream again and again before the answer")
	}
	wait := x.talk.retry
	if wait == 0 {
		wait = usualRetry
	}
	if err := x.pause(wait); err != nil {
		return nil, err
	}
	if err := x.talk.reopen(); err != nil {
		return nil, err
	}
	message, err := x.talk.read()
	if x.talk.last != last {
		x.reopens = 0
	}
	return message, err
}
