package errand

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	"github.com/warder-gateway/warder/internal/tunnel"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// call is an upstream.Call that goes on with one that is parked.
type call struct {
	Server        string               `json:"server"`
	Principal     *principal.Principal `json:"principal"`
	Era           mcp.Era              `json:"era"`
	ClientVersion string               `json:"client_version"`
	Body          []byte               `json:"body"`
	Target        string               `json:"target"`
	Capabilities  mcp.Capabilities     `json:"capabilities"`
	LogLevel      string               `json:"log_level"`
	URIPrefix     string               `json:"uri_prefix"`
	ServerInfo    []byte               `json:"server_info"`
	Asker         string               `json:"asker"`
	Parked        string               `json:"parked"`
}

// event is what the node that goes on with a call says: what its server sends before the answer, what it asks back, and the
// answer, which is the last.
type event struct {
	Kind    string `json:"kind"`
	Message []byte `json:"message,omitempty"`
	// Of a question: under which token the reply is expected, and what is asked.
	Token  string `json:"token,omitempty"`
	Method string `json:"method,omitempty"`
	Inner  []byte `json:"inner,omitempty"`
	Parked string `json:"parked,omitempty"`
	// Of an answer, besides its message.
	Outcome auditv1.Outcome `json:"outcome,omitempty"`
	Error   string          `json:"error,omitempty"`
	Latency int64           `json:"latency,omitempty"` // nanoseconds
}

// maxEvent bounds an event, in bytes: a message of a server, and what is around it.
const maxEvent = 32 << 20

const (
	eventMessage = "message"
	eventPermit  = "permit"
	eventSeal    = "seal"
	eventAnswer  = "answer"
)

// Resume goes on with a call that is parked at a node, as upstream.Pool.Do does with one that is parked here. What the server
// wants of the client is asked of call.Permit and call.SealState, here. The error is a fault if the node does not have the
// call, or was not reached; else ctx has ended or the sink failed.
func (e *Errands) Resume(ctx context.Context, node string, c *upstream.Call, sink upstream.Sink) (*upstream.Answer, error) {
	response, err := e.open(ctx, node, kindResume, &message{To: node, Call: &call{
		Server: c.Server.GetName(), Principal: c.Principal, Era: c.Era, ClientVersion: c.ClientVersion, Body: c.Body, Target: c.Target,
		Capabilities: c.Capabilities, LogLevel: c.LogLevel, URIPrefix: c.URIPrefix, ServerInfo: c.ServerInfo, Asker: c.Asker, Parked: c.Parked,
	}})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body := &rationed{from: response.Body}
	events := jsontext.NewDecoder(bufio.NewReader(body))
	for {
		var said event
		body.left = maxEvent
		if err := json.UnmarshalDecode(events, &said); err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, errors.Join(errGone, err)
		}
		switch said.Kind {
		case eventMessage:
			err = sink.Notification(said.Message, upstream.Mark{})
		case eventPermit:
			m := &message{To: node, Pending: said.Token}
			m.Refused = c.Permit(said.Method, said.Message)
			err = e.ask(ctx, node, kindReply, m)
		case eventSeal:
			m := &message{To: node, Pending: said.Token}
			if m.Sealed, err = c.SealState(said.Inner, said.Parked); err == nil {
				err = e.ask(ctx, node, kindReply, m)
			}
		case eventAnswer:
			return &upstream.Answer{
				Body: said.Message, Outcome: said.Outcome, Error: said.Error, ServerLatency: time.Duration(said.Latency),
			}, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// rationed reads no more at a time than it is given: an event lies in memory as a whole before anybody can look at it, and
// the other node may have been taken over.
type rationed struct {
	from io.Reader
	left int // bytes
}

var errTooLong = errors.New("the other node says more than fits into an event")

// Read implements io.Reader.
func (r *rationed) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errTooLong
	}
	n, err := r.from.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// question is what the node that goes on with a call has asked back.
type question struct {
	node  string        // that may reply
	reply chan *message // takes one
}

// replied hands a reply to the question that waits for it; false: none does.
func (e *Errands) replied(node string, m *message) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	q := e.waiting[m.Pending]
	if q == nil || q.node != node {
		return false
	}
	delete(e.waiting, m.Pending)
	q.reply <- m
	return true
}

// resumed is a call that goes on here for a client of another node. It is used by one goroutine.
type resumed struct {
	upstream.Sink // for what a modern client is never given
	errands       *Errands
	ctx           context.Context
	node          string
	w             tunnel.Answer
}

// goOn goes on with a call that is parked here, and says what comes. What is no such call is refused, and so is one without
// its caller; that he is the one whose call is parked, upstream sees to.
func (e *Errands) goOn(ctx context.Context, node string, c *call, w tunnel.Answer) {
	server := e.config.Server(c.Server)
	request := new(mcp.Request)
	if server == nil || c.Principal == nil || c.Principal.User == "" || c.Parked == "" || c.Era != mcp.Modern ||
		mcp.ScanRequest(c.Body, mcp.Limits{}, request) != nil {
		_ = w.Reply(http.StatusNotFound, nil, nil) // It fails where nobody waits.
		return
	}
	r := &resumed{errands: e, ctx: ctx, node: node, w: w}
	if w.Head(http.StatusOK, nil) != nil {
		return
	}
	answer, err := e.upstream.Do(ctx, &upstream.Call{
		Server: server, Principal: c.Principal, Era: c.Era, ClientVersion: c.ClientVersion, Body: c.Body, Request: request, Target: c.Target,
		Header: http.Header{}, Capabilities: c.Capabilities, LogLevel: c.LogLevel, URIPrefix: c.URIPrefix, ServerInfo: c.ServerInfo,
		Asker: c.Asker, Parked: c.Parked, HasState: true, Permit: r.permit, SealState: r.seal,
	}, r)
	if answer == nil || err != nil {
		return // Nobody is there to read it.
	}
	defer answer.Release()
	_ = r.say(&event{ // As above.
		Kind: eventAnswer, Message: answer.Body, Outcome: answer.Outcome, Error: answer.Error, Latency: int64(answer.ServerLatency),
	})
}

func (r *resumed) say(said *event) error {
	encoded, err := json.Marshal(said)
	if err != nil {
		return err
	}
	_, err = r.w.Write(append(encoded, '\n'))
	return err
}

// Notification implements upstream.Sink.
func (r *resumed) Notification(message []byte, _ upstream.Mark) error {
	return r.say(&event{Kind: eventMessage, Message: message})
}

// Prime implements upstream.Sink. Modern clients have nothing to resume.
func (r *resumed) Prime(upstream.Mark) error { return nil }

// errNotModern is what the rest of a Sink is refused with.
var errNotModern = errors.New("this is not for a modern client")

// Relay implements upstream.Sink.
func (r *resumed) Relay(*upstream.ServerRequest, upstream.Mark) error { return errNotModern }

// Withdraw implements upstream.Sink.
func (r *resumed) Withdraw(*upstream.Withdrawal, upstream.Mark) error { return nil }

// Ask implements upstream.Sink.
func (r *resumed) Ask(context.Context, string, []byte) ([]byte, *mcp.Error, error) {
	return nil, nil, errNotModern
}

// permit asks the node that met the client, which decides and records. Without its reply nothing is permitted.
func (r *resumed) permit(method string, params []byte) *mcp.Error {
	reply, err := r.ask(&event{Kind: eventPermit, Method: method, Message: params})
	if err != nil {
		return &mcp.Error{Code: mcp.CodeUnavailable, Text: "the client's node did not say whether that is permitted", Offset: -1}
	}
	return reply.Refused
}

// seal has the node that met the client seal what that is to bring back.
func (r *resumed) seal(inner []byte, parked string) (string, error) {
	reply, err := r.ask(&event{Kind: eventSeal, Inner: inner, Parked: parked})
	if err != nil {
		return "", err
	}
	return reply.Sealed, nil
}

// ask asks back, and waits for the reply.
func (r *resumed) ask(q *event) (*message, error) {
	q.Token = rand.Text()
	waiting := &question{node: r.node, reply: make(chan *message, 1)}
	e := r.errands
	e.mu.Lock()
	e.waiting[q.Token] = waiting
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.waiting, q.Token)
		e.mu.Unlock()
	}()
	if err := r.say(q); err != nil {
		return nil, err
	}
	select {
	case reply := <-waiting.reply:
		return reply, nil
	case <-r.ctx.Done():
		return nil, context.Cause(r.ctx)
	}
}
