package mcp

// Input is one thing that a server asks of the client in the middle of a request: a member of result.inputRequests
// (mcp.md 2.7), or the request of a legacy server in that form.
type Input struct {
	Key    string // under which the answer is expected
	Method string
	Params []byte // raw, may be nil
}

var (
	inputNames = [...]string{"method", "params"}
	askedNames = [...]string{"mode", "message"}
)

// EachInput calls yield with each member of result.inputRequests, in order; object is Response.InputRequests of this
// body. Params are of the body. A member of another shape ends the walk with an *Error, which may come after some
// calls of yield; an error of yield ends it too and is returned as it is.
func EachInput(body []byte, object Span, yield func(in Input) error) error {
	if object.Empty() {
		return nil
	}
	s := within(body, object)
	o := s.open()
	for s.next(&o) {
		in := Input{Key: o.name(body)}
		if err := in.read(body, s.value()); err != nil {
			err.in(in.Key)
			err.in("result.inputRequests")
			return err
		}
		if err := yield(in); err != nil {
			return err
		}
	}
	return s.finish()
}

// read takes one request out of a body that has been accepted.
func (in *Input) read(body []byte, request Span) *Error {
	if request.Empty() || body[request.Start] != '{' {
		return invalid("request for input must be an object")
	}
	var found [len(inputNames)]Span
	if err := pick(body, request, inputNames[:], found[:]); err != nil {
		return err
	}
	method, params := found[0].Of(body), found[1].Of(body)
	if len(method) < len(`"x"`) || method[0] != '"' {
		return invalid("method must be a string that is not empty")
	}
	if len(params) > 0 && params[0] != '{' {
		return invalid("params must be an object")
	}
	in.Method = internMethod(method)
	if len(params) > 0 {
		in.Params = params
		return in.guard(body, found[1])
	}
	return nil
}

// guard holds the names of params to what is decided on, the mode, and to what a person is shown, the message: nobody may
// read another one.
func (in *Input) guard(body []byte, params Span) *Error {
	var found [len(askedNames)]Span
	err := pick(body, params, askedNames[:], found[:])
	if err != nil {
		err.in("params")
	}
	return err
}

// AnsweredMethods returns what a member of params.inputResponses, raw, may be taken for an answer to: by the members that the
// result of each method must have. More than one is returned for what looks like more than one, none for what is no answer.
func AnsweredMethods(response []byte) []string {
	var action, sampled, content, roots bool
	err := Members(response, func(name string, _ Span) error {
		switch name {
		case "action":
			action = true
		case "role", "model":
			sampled = true
		case "content":
			content = true
		case "roots":
			roots = true
		}
		return nil
	})
	if err != nil {
		return nil
	}
	var methods []string
	if action {
		methods = append(methods, MethodElicit)
	}
	if sampled || content && !action {
		methods = append(methods, MethodCreateMessage)
	}
	if roots {
		methods = append(methods, MethodRootsList)
	}
	return methods
}

// URLMode reports whether the params of elicitation/create, raw, ask for a visit to a URL and not for a form.
func URLMode(params []byte) bool {
	url := false
	err := Members(params, func(name string, value Span) error {
		if name == "mode" {
			mode, err := String(value.Of(params))
			url = err == nil && mode == "url"
		}
		return nil
	})
	return err == nil && url
}

// WriteInputRequired appends the response that asks a modern client for input. Without inputs, the client is to come
// back with the state alone; without state, with the answers alone. Each input has params, empty ones if need be. Empty serverInfo (a raw object) is left out.
func WriteInputRequired(dst, id []byte, inputs []Input, requestState string, serverInfo []byte) []byte {
	dst = append(appendHead(dst, id), `,"result":{"resultType":"input_required"`...)
	if len(inputs) > 0 {
		dst = append(dst, `,"inputRequests":{`...)
		for i := range inputs {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = inputs[i].appendTo(dst)
		}
		dst = append(dst, '}')
	}
	if requestState != "" {
		dst = AppendString(append(dst, `,"requestState":`...), requestState)
	}
	if len(serverInfo) > 0 {
		dst = append(dst, `,"_meta":{"`+metaServerInfo+`":`...)
		dst = append(append(dst, serverInfo...), '}')
	}
	return append(dst, "}}"...)
}

func (in *Input) appendTo(dst []byte) []byte {
	dst = append(AppendString(dst, in.Key), `:{"method":`...)
	dst = AppendString(dst, in.Method)
	dst = append(dst, `,"params":`...)
	if len(in.Params) == 0 { // roots/list needs none, but clients of the Go SDK do.
		return append(dst, `{}}`...)
	}
	return append(append(dst, in.Params...), '}')
}
