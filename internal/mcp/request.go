package mcp

// Request is one scanned message of a client: a request, a notification, or the response to a request of ours.
//
// Spans point into the body given to ScanRequest and are empty when the member is not there. Nothing is decoded that
// the gateway does not read, and no span is meaningful together with another body.
type Request struct {
	ID     Span   // raw token, string or integer; empty for a notification
	Method string // empty for a response
	Params Span
	Result Span // of a posted response
	Error  Span // the error object of a posted response

	Name     string // params.name of tools/call and prompts/get, decoded
	NameSpan Span   // its raw token; set whatever the method is
	URI      string // params.uri of resources/read, subscribe and unsubscribe, decoded
	URISpan  Span
	TaskID   string // params.taskId of tasks/*, decoded
	TaskSpan Span

	// What completion/complete is about, decoded: params.ref, whose type is RefPrompt or RefResource.
	RefType     string
	RefName     string // of a prompt
	RefURI      string // of a resource, or the template of one
	RefNameSpan Span   // raw tokens
	RefURISpan  Span

	Level     string // params.level of logging/setLevel: one of Levels
	RequestID Span   // params.requestId of notifications/cancelled: raw, a string or an integer

	Arguments Span // params.arguments; an object for tools/call and prompts/get
	Cursor    Span // params.cursor
	Meta      Span // params._meta

	// Of a request that continues another one (mcp.md 2.7): an object and a string for those methods that may.
	InputResponses Span
	RequestState   Span

	// From params._meta. Each is the raw value.
	ProtocolVersion    string // decoded
	HasProtocolVersion bool   // the claim of the modern era, even if the version is ""
	ClientCapabilities Span   // an object
	ClientInfo         Span   // an object
	LogLevel           Span   // a string
	ProgressToken      Span   // a string or a number
	TraceParent        Span   // a string

	whole         Span
	ref           Span // params.ref, params.level and params.notifications are read for their methods only
	level         Span
	notifications Span
	paramCount    int
	metaCount     int
	// From the quote of the name to the end of the value.
	inputMember Span
	stateMember Span
	metaMembers [numMeta]Span // from the quote of the name to the end of the value
}

// IsResponse reports whether the message answers a request of ours.
func (r *Request) IsResponse() bool { return r.Method == "" }

// IsNotification reports whether the message wants no answer.
func (r *Request) IsNotification() bool { return r.Method != "" && r.ID.Empty() }

// ScanRequest scans one message of a client into req, which it overwrites. Whatever it accepts, every conforming
// parser reads the same (mcp.md E4, security.md T-34); what it refuses comes back as *Error. A batch has ReasonBatch.
// After an error req is good for its ID only, which is there if it was found before the fault and is beyond doubt.
//
// It keeps no reference to body. A tools/call costs one allocation: its name.
func ScanRequest(body []byte, limits Limits, req *Request) error {
	*req = Request{}
	s := newScanner(body, limits)
	s.req = req
	var e envelope
	s.message(&e)
	if s.err == nil {
		s.err = e.checkRequest()
	}
	if !e.nullID && (s.err == nil || s.err.Code != CodeParse && s.err.Member != "id") {
		req.ID = e.id
	}
	if s.err == nil {
		req.Method, req.Params, req.Result, req.Error, req.whole = e.method, e.params, e.result, e.err, e.whole
		s.err = req.resolve(body)
	}
	if s.err != nil {
		return s.err
	}
	return nil
}

// maxToken bounds the id of a client's request and its progress token, raw and in bytes. Both are kept for as long as
// it runs, and repeated in what answers it. (The id of a posted response is ours, and longer.)
const maxToken = 1 << 10

// checkRequest holds the shape of what a client may send.
func (e *envelope) checkRequest() *Error {
	answers := !e.result.Empty() || !e.err.Empty()
	switch {
	case !e.version:
		return invalid(`jsonrpc must be "2.0"`)
	case e.nullID:
		return invalid("id must be a string or an integer, not null")
	case e.method != "" && answers:
		return invalid("message has a method and also a result or an error")
	case e.method != "" && e.id.End-e.id.Start > maxToken:
		return invalid("id of a request must not be longer than 1 KiB")
	case e.method == "" && !answers:
		return invalid("method is missing")
	case e.method == "" && e.id.Empty():
		return invalid("response has no id")
	case !e.result.Empty() && !e.err.Empty():
		return invalid("response has both a result and an error")
	}
	return nil
}

// params scans the params object at hand.
func (s *scanner) params() {
	req := s.req
	o := s.open()
	for s.next(&o) {
		if s.guardName(&o, paramsNames[:]); s.err != nil {
			return
		}
		key := o.key.Of(s.b)
		if string(key) == "_meta" {
			req.Meta = s.object("_meta", partMeta)
			continue
		}
		value := s.value()
		if s.err != nil {
			s.err.in(string(key))
			return
		}
		req.param(key, value, o.member(value.End))
	}
	req.paramCount = o.count
}

// param files one member of params. Nothing is decoded before the method is known.
func (r *Request) param(key []byte, value, member Span) {
	switch string(key) {
	case "name":
		r.NameSpan = value
	case "uri":
		r.URISpan = value
	case "taskId":
		r.TaskSpan = value
	case "cursor":
		r.Cursor = value
	case "arguments":
		r.Arguments = value
	case "ref":
		r.ref = value
	case "level":
		r.level = value
	case "requestId":
		r.RequestID = value
	case "notifications":
		r.notifications = value
	case "inputResponses":
		r.InputResponses, r.inputMember = value, member
	case "requestState":
		r.RequestState, r.stateMember = value, member
	}
}

// meta scans the _meta object at hand.
func (s *scanner) meta() {
	o := s.open()
	for s.next(&o) {
		if s.guardName(&o, metaNames[:]); s.err != nil {
			return
		}
		value := s.value()
		if s.err == nil {
			s.metaMember(&o, value)
		}
		if s.err != nil {
			s.err.in(string(o.key.Of(s.b)))
		}
	}
	s.req.metaCount = o.count
}

// metaMember files one member of _meta and checks its type. A reserved name with a value of the wrong type is refused
// in either era: someone may read it otherwise.
func (s *scanner) metaMember(o *object, value Span) {
	index := metaIndex(o.key.Of(s.b))
	if index < 0 {
		return
	}
	s.req.metaMembers[index] = o.member(value.End)
	kind := s.b[value.Start]
	number := index == metaProgressToken && (kind == '-' || isDigit(kind))
	switch {
	case kind != metaKinds[index] && !number:
		s.fail(CodeInvalidParams, ReasonShape, value.Start, "value has the wrong type")
		return
	case index == metaProgressToken && value.End-value.Start > maxToken:
		s.fail(CodeInvalidParams, ReasonShape, value.Start, "value is longer than 1 KiB")
		return
	}
	s.req.setMeta(index, s.b, value)
}

// metaIndex finds a name among metaNames; -1 when it is not ours.
func metaIndex(key []byte) int {
	for i, name := range metaNames {
		if string(key) == name {
			return i
		}
	}
	return -1
}

func (r *Request) setMeta(index int, body []byte, value Span) {
	switch index {
	case metaProtocolVersion:
		r.HasProtocolVersion = true
		r.ProtocolVersion = internVersion(value.Of(body))
	case metaClientCapabilities:
		r.ClientCapabilities = value
	case metaClientInfo:
		r.ClientInfo = value
	case metaLogLevel:
		r.LogLevel = value
	case metaProgressToken:
		r.ProgressToken = value
	case metaTraceParent:
		r.TraceParent = value
	}
}

// resolve decodes what the method at hand names its object by, and holds the types it needs.
func (r *Request) resolve(body []byte) (err *Error) {
	switch r.Method {
	case MethodToolsCall, MethodPromptsGet:
		if !r.Arguments.Empty() && body[r.Arguments.Start] != '{' {
			return r.wrongParam("arguments", r.Arguments, "an object")
		}
		if r.Name, err = r.stringParam(body, "name", r.NameSpan); err == nil {
			err = r.checkContinued(body)
		}
	case MethodResourcesRead:
		if r.URI, err = r.stringParam(body, "uri", r.URISpan); err == nil {
			err = r.checkContinued(body)
		}
	case MethodTasksGet, MethodTasksUpdate, MethodTasksCancel:
		r.TaskID, err = r.stringParam(body, "taskId", r.TaskSpan)
	case MethodComplete:
		err = r.resolveRef(body)
	case MethodCancelled:
		err = r.checkRequestID(body)
	default:
		if !r.HasProtocolVersion {
			err = r.resolveLegacy(body)
		}
	}
	return err
}

// resolveLegacy does it for methods of the legacy era alone. In a message that claims the modern era they are left as
// they are: Classify answers that there is no such method, whatever the params.
func (r *Request) resolveLegacy(body []byte) (err *Error) {
	switch r.Method {
	case MethodResourcesSubscribe, MethodResourcesUnsubscribe:
		r.URI, err = r.stringParam(body, "uri", r.URISpan)
	case MethodTasksResult:
		r.TaskID, err = r.stringParam(body, "taskId", r.TaskSpan)
	case MethodSetLevel:
		err = r.resolveLevel(body)
	}
	return err
}

func (r *Request) stringParam(body []byte, name string, token Span) (string, *Error) {
	if token.Empty() || body[token.Start] != '"' {
		return "", r.wrongParam(name, token, "a string")
	}
	return unquote(token.Of(body)), nil
}

func (r *Request) wrongParam(name string, token Span, want string) *Error {
	e := newError(CodeInvalidParams, ReasonShape, r.Method+" needs params."+name+" to be "+want)
	e.Member = "params." + name
	e.Offset = max(token.Start, r.Params.Start)
	return e
}

// Param returns the raw value of a member of params that has no field of its own, or an empty span. The body must be
// the one that was scanned; a name of which it has none costs a walk over params.
func (r *Request) Param(body []byte, name string) Span {
	if r.Params.Empty() {
		return Span{}
	}
	return lookUp(body, r.Params, name)
}
