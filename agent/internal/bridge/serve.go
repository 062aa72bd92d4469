package bridge

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/budget"
	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/tunnel"
	tunnelv1 "github.com/warder-gateway/warder/proto/gen/warder/tunnel/v1"
)

// maxRequest bounds a message of a client, in bytes. Nodes hold clients to less.
const maxRequest = 16 << 20

// message is a posted message.
type message struct {
	body   []byte
	scan   mcp.Request
	header http.Header
	caller string // for whom it is; empty: for the gateway itself
}

// Serve implements tunnel.Handler. The header and the session it names were chosen by a node, which has decided about the
// message; what is at stake here is that the message gets to whom it is for.
func (s *Server) Serve(ctx context.Context, r *tunnel.Incoming, w tunnel.Answer) {
	header := make(http.Header, len(r.Header))
	for _, field := range r.Header {
		header.Add(field.Name, field.Value)
	}
	session, err := mcp.Header(header, mcp.HeaderSession)
	if err != nil {
		refuse(w, nil, mcp.Legacy, err)
		return
	}
	switch r.Method {
	case http.MethodPost:
		metered := &budget.Metered{Reader: io.LimitReader(r.Body, maxRequest+1), Budget: s.config.Budget}
		defer metered.Release()
		body, err := io.ReadAll(metered)
		if errors.Is(err, budget.ErrFull) {
			s.unavailable(w, err)
			return
		}
		if err != nil || ctx.Err() != nil {
			return
		}
		if len(body) > maxRequest {
			_ = w.Head(http.StatusRequestEntityTooLarge, nil)
			return
		}
		s.post(ctx, &message{body: body, header: header, caller: string(r.Caller)}, session, w)
	case http.MethodGet:
		s.listen(ctx, session, w)
	case http.MethodDelete:
		s.leave(session, w)
	default:
		_ = w.Head(http.StatusMethodNotAllowed, []tunnel.Field{{Name: "Allow", Value: "GET, POST, DELETE"}})
	}
}

// post serves a message.
func (s *Server) post(ctx context.Context, m *message, id string, w tunnel.Answer) {
	if err := mcp.ScanRequest(m.body, mcp.Limits{}, &m.scan); err != nil {
		refusal, _ := errors.AsType[*mcp.Error](err)
		refuse(w, m, mcp.Legacy, refusal)
		return
	}
	version, err := mcp.Header(m.header, mcp.HeaderVersion)
	if err != nil {
		refuse(w, m, mcp.Legacy, err)
		return
	}
	if version >= mcp.Version20260728 || m.scan.HasProtocolVersion {
		s.postModern(ctx, m, version, w)
		return
	}
	if m.scan.Method == mcp.MethodInitialize && !m.scan.IsNotification() {
		s.open(ctx, m, w)
		return
	}
	session := s.session(id)
	switch {
	case id == "":
		refuse(w, m, mcp.Legacy, &mcp.Error{Code: mcp.CodeInvalidRequest, Text: "Mcp-Session-Id is missing", Offset: -1})
	case session == nil:
		_ = w.Head(http.StatusNotFound, nil)
	case m.scan.IsResponse():
		session.respond(ctx, m)
		_ = w.Head(http.StatusAccepted, nil)
	case m.scan.IsNotification():
		session.notify(ctx, m)
		_ = w.Head(http.StatusAccepted, nil)
	default:
		session.call(ctx, m, w)
	}
}

// refuse answers a message that was not passed on.
func refuse(w tunnel.Answer, m *message, era mcp.Era, err *mcp.Error) {
	var id []byte
	if m != nil {
		id = m.scan.ID.Of(m.body)
	}
	_ = w.Reply(err.Status(era), jsonHeader, err.Append(nil, id))
}

var (
	jsonHeader   = []tunnel.Field{{Name: "content-type", Value: "application/json"}}
	streamHeader = []tunnel.Field{{Name: "content-type", Value: "text/event-stream"}, {Name: "cache-control", Value: "no-store"}, {Name: "x-accel-buffering", Value: "no"}}
)

// unavailable answers a message that reached nobody. Where the server does not start, it says why, for administrators: the
// text of clients is the node's.
func (s *Server) unavailable(w tunnel.Answer, err error) {
	s.config.Log.Debug("call was refused", "reason", err)
	wait := max(s.pace.Wait(time.Now()), time.Second)
	header := []tunnel.Field{{Name: "retry-after", Value: strconv.Itoa(int((wait + time.Second - 1) / time.Second))}}
	if why := s.whyNot(err); why != "" {
		header = append(header, tunnel.Field{Name: tunnel.HeaderFailure, Value: why})
	}
	_ = w.Head(http.StatusServiceUnavailable, header)
}

// maxWhy bounds what is said of a failure, in bytes: a line of a server's log and some words.
const maxWhy = 3 << 10

// whyNot returns why the server does not start; empty: that is not what is wrong.
func (s *Server) whyNot(err error) string {
	why := ""
	if failure, ok := errors.AsType[*startFailure](err); ok {
		why = failure.text
	} else if errors.Is(err, errAway) {
		s.mu.Lock()
		why = s.failure
		s.mu.Unlock()
	}
	if len(why) > maxWhy {
		why = why[:maxWhy]
	}
	return strings.ToValidUTF8(why, "")
}

// headTime is how long an answer is waited for before its head says that it will come as a stream: whoever waits for the
// head then knows that it was heard.
const headTime = 10 * time.Second

// exchange carries a call to its end: the answer alone as JSON, or as a stream if something comes before.
func (s *Server) exchange(ctx context.Context, call *wire.Call, era mcp.Era, w tunnel.Answer) {
	defer call.Release()
	out := stream{answer: w}
	timer := time.NewTimer(headTime)
	defer timer.Stop()
	for {
		var err error
		select {
		case <-call.Box.Ready():
			err = out.events(call.Box.Take()...)
		case <-timer.C:
			err = out.open()
		case <-call.Done():
			s.conclude(call, era, &out)
			return
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			call.Cancel("the client went away")
			return
		}
	}
}

// conclude passes the answer on, after what was said before it.
func (s *Server) conclude(call *wire.Call, era mcp.Era, out *stream) {
	if out.events(call.Box.Take()...) != nil {
		return
	}
	answer, err := call.Answer()
	switch {
	case err == nil && out.opened:
		_ = out.events(answer)
	case err == nil:
		_ = out.answer.Reply(mcp.StatusOf(call.ErrorCode(), era), jsonHeader, answer)
	case !out.opened && (errors.Is(err, wire.ErrGarbage) || errors.Is(err, wire.ErrTooLarge)):
		s.config.Log.Warn("server answered a call with what cannot be passed on", "error", err)
		_ = out.answer.Head(http.StatusBadGateway, nil)
	default:
		out.answer.Reset(tunnelv1.ResetCode_RESET_CODE_FAILED, err.Error())
	}
}

// stream writes events. It belongs to one goroutine.
type stream struct {
	answer tunnel.Answer
	opened bool
	buffer []byte
}

// open sends the head, if that was not done.
func (o *stream) open() error {
	if o.opened {
		return nil
	}
	o.opened = true
	return o.answer.Head(http.StatusOK, streamHeader)
}

// events sends messages, each as an event; none, nothing.
func (o *stream) events(messages ...[]byte) error {
	if len(messages) == 0 {
		return nil
	}
	if err := o.open(); err != nil {
		return err
	}
	o.buffer = o.buffer[:0]
	for _, message := range messages {
		o.buffer = mcp.AppendEvent(o.buffer, "", 0, message)
	}
	_, err := o.answer.Write(o.buffer)
	return err
}
