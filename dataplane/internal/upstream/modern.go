package upstream

import (
	"context"
	"errors"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
	"github.com/warder-gateway/warder/dataplane/internal/transport"
	"github.com/warder-gateway/warder/internal/mcp"
)

const (
	// maxRounds bounds how often a modern server may ask for input within one call of a legacy client.
	maxRounds = 10

	// A server that wants nothing but to be asked again is asked after firstPause, and then after twice as long each time,
	// up to lastPause.
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// modern makes a call to a server of the modern era: everything that it needs to know is in the request. A client of that
// era gets what the server answers. A legacy one is asked for what the server wants, and the call is made again with it.
func (x *exchange) modern() (*Answer, error) {
	if !heardByModern(x.call.Request.Method) {
		return &Answer{Body: mcp.WriteResult(nil, x.clientID(), []byte("{}")), Outcome: outcomeOK}, nil
	}
	hop := x.modernHop()
	for round := 0; ; round++ {
		answer, err := x.sendModern(&hop)
		again, ok := errors.AsType[*retry](err)
		if !ok {
			return answer, err
		}
		if round == maxRounds {
			return nil, x.endpoint.fail(mcp.CodeBadServerAnswer, nil, "server %q asked for input more than %d times in one call", maxRounds)
		}
		if hop.InputResponses, err = x.gather(again, round); err != nil {
			return nil, err
		}
		hop.RequestState, hop.DropState = again.state, again.state == nil
		hop.DropInput = hop.InputResponses == nil
	}
}

// heardByModern reports whether a modern server has the method. What legacy clients say with the others reaches it by
// other ways: by what the node listens to, and in the _meta of each call.
func heardByModern(method string) bool {
	switch method {
	case mcp.MethodSetLevel, mcp.MethodResourcesSubscribe, mcp.MethodResourcesUnsubscribe:
		return false
	}
	return true
}

// modernHop returns what a request to a modern server says of our hop.
func (x *exchange) modernHop() mcp.Hop {
	hop := mcp.Hop{Meta: mcp.MetaRewrite{
		ProtocolVersion: mcp.Version20260728, ClientInfo: x.pool.clientInfo, LogLevel: x.call.LogLevel,
	}}
	if x.call.Capabilities != 0 {
		hop.Meta.ClientCapabilities = x.call.Capabilities.Append(nil, mcp.Version20260728)
	}
	switch {
	case x.call.Era == mcp.Legacy:
		hop.DropState, hop.DropInput = true, true
	case x.call.HasState:
		hop.RequestState, hop.DropState = x.call.State, x.call.State == nil
	}
	return hop
}

// sendModern sends the call. If the server finds the headers at odds with the body, it has not executed the call: it
// checks them before. Then the call is sent once more, if there is another way to write them.
func (x *exchange) sendModern(hop *mcp.Hop) (*Answer, error) {
	raw := x.endpoint.rawNames.Load()
	answer, err := x.converse(x.modernFields(raw, false), hop)
	if !errors.Is(err, errHeadersAtOdds) {
		return answer, err
	}
	x.endpoint.changed()
	named := x.namedRaw()
	if named || x.paramsDiffer() {
		answer, err = x.converse(x.modernFields(raw != named, true), hop)
		if named && !errors.Is(err, errHeadersAtOdds) {
			x.endpoint.rawNames.Store(!raw)
		}
	}
	if errors.Is(err, errHeadersAtOdds) {
		return nil, x.endpoint.headersAtOdds()
	}
	return answer, err
}

// modernFields returns the header fields that repeat what the body says. Raw sends a name as it is, where it would be
// encoded; fresh makes the parameters anew also for a client that sent them.
func (x *exchange) modernFields(raw, fresh bool) []transport.Field {
	fields := append(x.fieldsSpace[:0],
		transport.Field{Name: mcp.HeaderVersion, Value: mcp.Version20260728},
		transport.Field{Name: mcp.HeaderMethod, Value: x.call.Request.Method})
	if x.hasName() {
		name := mcp.EncodeHeaderValue(x.call.Target)
		if raw && sendableRaw(x.call.Target) {
			name = x.call.Target
		}
		fields = append(fields, transport.Field{Name: mcp.HeaderName, Value: name})
	}
	if x.call.Era == mcp.Modern && !fresh {
		return x.clientParams(fields)
	}
	return x.ownParams(fields)
}

// hasName reports whether the method has Mcp-Name.
func (x *exchange) hasName() bool {
	switch x.call.Request.Method {
	case mcp.MethodToolsCall, mcp.MethodPromptsGet, mcp.MethodResourcesRead:
		return true
	}
	return false
}

// namedRaw reports whether the name could be sent both encoded and raw. Servers made with the Go SDK up to 1.8.0 compare
// the encoded form as it stands with the body, and so refuse every name that needs it.
func (x *exchange) namedRaw() bool {
	return x.hasName() && sendableRaw(x.call.Target) && mcp.EncodeHeaderValue(x.call.Target) != x.call.Target
}

// sendableRaw reports whether HTTP carries a value as it is.
func sendableRaw(value string) bool {
	return httpguts.ValidHeaderFieldValue(value) && strings.Trim(value, " \t") == value
}

// clientParams passes the Mcp-Param-* headers of a modern client on, those that nobody knows too.
func (x *exchange) clientParams(fields []transport.Field) []transport.Field {
	for name, values := range x.call.Header {
		if strings.HasPrefix(name, mcp.HeaderParamPrefix) {
			for _, value := range values {
				fields = append(fields, transport.Field{Name: name, Value: value})
			}
		}
	}
	return fields
}

// ownParams makes the Mcp-Param-* headers that the definition of the tool wants. Those of a legacy client mean nothing:
// nobody has held them to the body (mcp.md E3).
func (x *exchange) ownParams(fields []transport.Field) []transport.Field {
	if len(x.call.Params) == 0 {
		return fields
	}
	arguments := x.call.Request.Arguments.Of(x.call.Body)
	for i := range x.call.Params {
		p := &x.call.Params[i]
		if value, present, err := p.Value(arguments); err == nil && present {
			fields = append(fields, transport.Field{Name: p.Header, Value: value})
		}
	}
	return fields
}

// paramsDiffer reports whether the parameters that we make are others than those that the client sent.
func (x *exchange) paramsDiffer() bool {
	if x.call.Era != mcp.Modern {
		return false
	}
	sent := x.clientParams(nil)
	made := x.ownParams(nil)
	if len(sent) != len(made) {
		return true
	}
	for _, f := range made {
		if value, err := mcp.Header(x.call.Header, f.Name); err != nil || value != f.Value {
			return true
		}
	}
	return false
}

// gather asks a legacy client for each input, one after the other, and returns a raw object with the answers; nil if
// nothing but patience was asked for.
func (x *exchange) gather(again *retry, round int) ([]byte, error) {
	if len(again.inputs) == 0 {
		return nil, x.pause(min(firstPause<<round, lastPause))
	}
	x.away()
	defer x.back()
	responses := []byte{'{'}
	for i, in := range again.inputs {
		result, err := x.askClient(&in)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			responses = append(responses, ',')
		}
		responses = append(mcp.AppendString(responses, in.Key), ':')
		responses = append(responses, result...)
	}
	return append(responses, '}'), nil
}

// askClient asks a legacy client on its stream.
func (x *exchange) askClient(in *mcp.Input) ([]byte, error) {
	in.NameAsker(x.call.Asker)
	result, refused, err := x.sink.Ask(&x.watch, in.Method, in.Params)
	switch {
	case x.watch.Err() != nil:
		return nil, x.endpoint.explain(&x.watch, err)
	case err != nil:
		x.watch.End(errClientGone)
		return nil, errSink
	case refused != nil:
		// A modern server cannot be told of an error, so the call is over.
		return nil, &clientError{code: refused.Code, text: "the client refused what the server asked of it: " + refused.Text, data: refused.Data}
	}
	return result, nil
}

// away gives the place among the server's calls to others, and stops the time, while a person is asked.
func (x *exchange) away() {
	x.watch.suspend()
	x.endpoint.leave()
}

func (x *exchange) back() {
	x.endpoint.reenter()
	x.watch.revive()
}

// pause waits, unless the call ends before.
func (x *exchange) pause(d time.Duration) error {
	x.watch.rest()
	if !lifetime.Sleep(&x.watch, d) {
		return x.endpoint.explain(&x.watch, context.Cause(&x.watch))
	}
	return nil
}
