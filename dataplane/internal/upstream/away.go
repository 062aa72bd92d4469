package upstream

import (
	"errors"

	"github.com/warder-gateway/warder/internal/mcp"
)

// maxAway bounds the addresses that one answer may send a client to.
const maxAway = 8

// sendsAway makes the answer of an error by which a server of 2025-11-25 wants the client to visit addresses first, and
// then to call again (-32042). That is elicitation by another way: policy decides on each of them, and it is recorded.
// Clients of other versions have no such error. They get one of ours, without the addresses.
func (x *exchange) sendsAway(message []byte) (*Answer, error) {
	defer x.talk.finish()
	data := x.talk.scan.ErrorData.Of(message)
	list := rawMember(data, "elicitations")
	var inputs []mcp.Input
	err := mcp.Elements(list, func(element mcp.Span) error {
		in := mcp.Input{Method: mcp.MethodElicit, Params: element.Of(list)}
		if len(inputs) == maxAway || !mcp.URLMode(in.Params) {
			return errors.New("an error that asks for something else than a few visits to URLs")
		}
		inputs = append(inputs, in)
		return nil
	})
	if err != nil || len(inputs) == 0 {
		return nil, x.endpoint.garbage(err)
	}
	if x.call.Era == mcp.Modern || x.call.ClientVersion != mcp.Version20251125 {
		return nil, &clientError{code: mcp.CodeInternal, text: x.endpoint.fail(0, nil,
			"server %q wants its user to visit an address first, in a way that this client's protocol version does not have").text}
	}
	for i := range inputs {
		if err := x.permits(&inputs[i]); err != nil {
			return nil, err
		}
	}
	if x.call.Asker == "" {
		return x.translate(message)
	}
	return nil, &clientError{code: mcp.CodeURLElicitationRequired, text: x.needs(&inputs[0]), data: away(inputs, x.call.Asker)}
}

// away is error.data of -32042, with who asks in each message.
func away(inputs []mcp.Input, asker string) []byte {
	data := []byte(`{"elicitations":[`)
	for i := range inputs {
		if i > 0 {
			data = append(data, ',')
		}
		inputs[i].NameAsker(asker)
		data = append(data, inputs[i].Params...)
	}
	return append(data, "]}"...)
}
