package upstream

import (
	"bytes"
	"crypto/rand"
	"errors"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
)

// clientError ends a call because of the client, or of what may be asked of it; the server did nothing wrong.
type clientError struct {
	code   int
	text   string
	data   []byte // raw JSON of error.data, or nil
	result []byte // raw JSON of a result that says it, where there is no error for it; or nil
}

func (e *clientError) Error() string { return e.text }

// refused makes the answer for a call that cannot go on without its client.
func (x *exchange) refused(e *clientError, latency time.Duration) *Answer {
	if e.result == nil {
		return x.answerError(e.code, e.text, e.data, outcomeProtocolError, latency)
	}
	body := mcp.WriteResult(nil, x.clientID(), e.result)
	return &Answer{Body: body, Outcome: outcomeToolError, Error: e.text, ServerLatency: latency}
}

// retry is what a modern server wants before it goes on with the call of a legacy client.
type retry struct {
	inputs []mcp.Input // copies
	state  []byte      // raw; nil: none
}

func (*retry) Error() string { return "the server asks for input" }

// inputRequired makes an answer of a result that asks for input: the same result for a modern client, the way to go on for
// a legacy one. Nothing goes to a client that it did not declare, or that is not permitted.
func (x *exchange) inputRequired(message []byte) (*Answer, error) {
	defer func() {
		x.inputs.release()
		x.inputs = x.talk.hold.move() // for what is kept of the message while the client is asked
		x.talk.finish()
	}()
	again := &retry{}
	if state := x.talk.scan.RequestState; !state.Empty() {
		again.state = append(again.state, state.Of(message)...)
	}
	object := x.talk.scan.InputRequests
	err := mcp.EachInput(message, object, func(in mcp.Input) error { return x.lacks(&in) })
	if err == nil {
		err = mcp.EachInput(message, object, func(in mcp.Input) error {
			if x.call.Era == mcp.Legacy {
				in.Params = bytes.Clone(in.Params)
				again.inputs = append(again.inputs, in)
			}
			return x.permits(&in)
		})
	}
	if _, malformed := errors.AsType[*mcp.Error](err); malformed || object.Empty() && again.state == nil {
		return nil, x.endpoint.garbage(err)
	}
	switch {
	case err != nil:
		return nil, err
	case x.call.Era == mcp.Legacy && x.sink == nil && len(again.inputs) > 0:
		return nil, &clientError{code: mcp.CodeInternal, text: x.needs(&again.inputs[0])}
	case x.call.Era == mcp.Legacy:
		return nil, again
	}
	return x.passInput(message, again.state)
}

// passInput gives a modern client the result, with a state that is ours.
func (x *exchange) passInput(message, state []byte) (*Answer, error) {
	sealed, err := x.seal(state, "")
	if err != nil {
		return nil, err
	}
	answer := &Answer{Outcome: outcomeInputRequired, At: x.talk.at}
	return answer, x.rewrite(answer, message, mcp.AppendString(nil, sealed))
}

// lacks makes the error for what a modern server asks of a client that cannot do it (mcp.md 2.7, 2.8); nil if it can.
func (x *exchange) lacks(in *mcp.Input) error {
	url := in.Method == mcp.MethodElicit && mcp.URLMode(in.Params)
	if x.call.Capabilities.Allows(in.Method, url) {
		return nil
	}
	needed := mcp.Required(in.Method, url)
	switch {
	case string(needed) == "{}":
		return x.endpoint.garbage(errors.New("an input request with a method that does not exist"))
	case x.call.Era == mcp.Modern:
		data := append(append([]byte(`{"requiredCapabilities":`), needed...), '}')
		return &clientError{code: mcp.CodeMissingCapability, text: x.needs(in), data: data}
	case url:
		if err := x.permits(in); err != nil {
			return err
		}
		return x.sendsToURL(in)
	}
	return &clientError{code: mcp.CodeInternal, text: x.needs(in)}
}

func (x *exchange) needs(in *mcp.Input) string {
	return x.endpoint.fail(0, nil, "server %q needs a client that can be asked for %s", in.Method).text
}

// sendsToURL tells a legacy client that cannot be asked to visit a URL, in its own way: 2025-11-25 has an error for it,
// older ones are told in words.
func (x *exchange) sendsToURL(in *mcp.Input) error {
	in.NameAsker(x.call.Asker)
	url, _ := stringMember(in.Params, "url")
	text, _ := stringMember(in.Params, "message")
	switch {
	case x.call.ClientVersion == mcp.Version20251125:
		data := mcp.AppendString([]byte(`{"elicitations":[{"mode":"url","elicitationId":`), rand.Text())
		data = mcp.AppendString(append(data, `,"url":`...), url)
		data = mcp.AppendString(append(data, `,"message":`...), text)
		return &clientError{code: mcp.CodeURLElicitationRequired, text: x.needs(in), data: append(data, "}]}"...)}
	case x.call.Request.Method != mcp.MethodToolsCall:
		return &clientError{code: mcp.CodeInternal, text: x.needs(in)}
	}
	result := mcp.AppendString([]byte(`{"content":[{"type":"text","text":`), text+"\n"+url+"\nVisit this address, then call again.")
	return &clientError{text: x.needs(in), result: append(result, `}],"isError":true}`...)}
}

// permits asks whether the client may be asked.
func (x *exchange) permits(in *mcp.Input) error {
	if x.call.Permit == nil {
		return &clientError{code: mcp.CodeDenied, text: "not permitted: " + in.Method}
	}
	if denied := x.call.Permit(in.Method, in.Params); denied != nil {
		return &clientError{code: denied.Code, text: denied.Error(), data: denied.Data}
	}
	return nil
}
