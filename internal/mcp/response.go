package mcp

import "strconv"

// Response is one scanned message of a server: a response, a notification, or a request to the client (legacy only).
//
// Spans point into the body given to ScanResponse and are empty when the member is not there.
type Response struct {
	ID     Span   // raw token; `null` only in an error response of a server that could not read our id
	Method string // set for a notification or a server's request
	Params Span

	Result            Span   // an object
	ResultType        string // result.resultType decoded; empty when it is not there
	IsError           bool   // result.isError is true
	StructuredContent Span   // result.structuredContent
	InputRequests     Span   // result.inputRequests, an object: see EachInput
	RequestState      Span   // result.requestState, a string
	NextCursor        Span   // result.nextCursor

	// Of a notification or a request: members of params. A value of the wrong type counts as not there.
	ProgressToken  Span   // a string or an integer
	RequestID      Span   // a string or an integer
	URI            string // decoded, of notifications/resources/updated only
	URISpan        Span   // its raw token
	Mode           Span   // a string: what elicitation/create asks for; see URLMode
	Level          Span   // a string: the level of notifications/message
	SubscriptionID Span   // of params._meta: a string or a number

	Meta Span // _meta of result or params, an object

	Error     Span // an object
	ErrorCode int  // error.code
	ErrorText string
	ErrorData Span // error.data

	whole       Span
	resultCount int
	paramCount  int
	metaCount   int
	// From the quote of the name to the end of the value: members that one era has and the other has not, and what is
	// replaced.
	resultType, ttl, cacheScope Span
	unstructured                Span // result.structuredContent, if it is no object
	serverInfo, subscription    Span // of _meta
	codeSpan                    Span // value only
	content, contents, messages Span // values only: what may hold URIs
	message                     Span // of params, a string: what elicitation/create says to a person
}

// IsResponse reports whether the message answers a request of ours.
func (r *Response) IsResponse() bool { return r.Method == "" }

// IsNotification reports whether the message wants no answer.
func (r *Response) IsNotification() bool { return r.Method != "" && r.ID.Empty() }

// ScanResponse scans one message of a server into resp, which it overwrites. It is as strict as ScanRequest, because
// what the guard looked at must be what the client reads; what it refuses comes back as *Error, whose text is about the
// server's bytes. It keeps no reference to body.
func ScanResponse(body []byte, limits Limits, resp *Response) error {
	*resp = Response{}
	s := newScanner(body, limits)
	s.resp = resp
	var e envelope
	s.message(&e)
	if s.err == nil {
		s.err = e.checkResponse()
	}
	if s.err == nil {
		resp.ID, resp.Method, resp.Params, resp.Result, resp.Error = e.id, e.method, e.params, e.result, e.err
		resp.whole = e.whole
		if e.method == MethodResourceUpdated && !resp.URISpan.Empty() {
			resp.URI = unquote(resp.URISpan.Of(body))
		}
		s.err = resp.readError(body)
	}
	if s.err != nil {
		return s.err
	}
	return nil
}

// checkResponse holds the shape of what a server may send.
func (e *envelope) checkResponse() *Error {
	answers := !e.result.Empty() || !e.err.Empty()
	switch {
	case !e.version:
		return invalid(`jsonrpc must be "2.0"`)
	case e.method != "" && answers:
		return invalid("message has a method and also a result or an error")
	case e.method != "" && e.nullID:
		return invalid("id must be a string or an integer, not null")
	case e.method != "":
		return nil
	case !answers:
		return invalid("message has neither a method nor a result nor an error")
	case !e.result.Empty() && !e.err.Empty():
		return invalid("response has both a result and an error")
	case !e.result.Empty() && (e.id.Empty() || e.nullID):
		return invalid("response has no id")
	}
	return nil
}

// result scans the result object at hand.
func (s *scanner) result() {
	o := s.open()
	for s.next(&o) {
		if s.guardName(&o, resultNames[:]); s.err != nil {
			return
		}
		key := o.key.Of(s.b)
		if string(key) == "_meta" {
			s.resp.Meta = s.object("_meta", partMeta)
			continue
		}
		value := s.value()
		if s.err == nil {
			s.resultMember(&o, value)
		}
		if s.err != nil {
			s.err.in(string(key))
		}
	}
	s.resp.resultCount = o.count
}

func (s *scanner) resultMember(o *object, value Span) {
	resp, member := s.resp, o.member(value.End)
	kind := s.b[value.Start]
	switch string(o.key.Of(s.b)) {
	case "content":
		resp.content = value
	case "contents":
		resp.contents = value
	case "messages":
		resp.messages = value
	case "structuredContent":
		resp.StructuredContent = value
		if kind != '{' {
			resp.unstructured = member
		}
	case "isError":
		resp.IsError = kind == 't'
	case "resultType":
		if s.want(value, '"', "resultType must be a string") {
			resp.ResultType, resp.resultType = internResultType(value.Of(s.b)), member
		}
	case "inputRequests":
		if s.want(value, '{', "inputRequests must be an object") {
			resp.InputRequests = value
		}
	case "requestState":
		if s.want(value, '"', "requestState must be a string") {
			resp.RequestState = value
		}
	case "nextCursor":
		resp.NextCursor = value
	case "ttlMs":
		resp.ttl = member
	case "cacheScope":
		resp.cacheScope = member
	}
}

// want holds the first byte of a value, and with it its type.
func (s *scanner) want(value Span, kind byte, text string) bool {
	if s.b[value.Start] != kind {
		s.fail(CodeInvalidRequest, ReasonShape, value.Start, text)
		return false
	}
	return true
}

// notice scans the params of a server's notification or request.
func (s *scanner) notice() {
	o := s.open()
	for s.next(&o) {
		if s.guardName(&o, noticeNames[:]); s.err != nil {
			return
		}
		key := o.key.Of(s.b)
		if string(key) == "_meta" {
			s.resp.Meta = s.object("_meta", partMeta)
			continue
		}
		value := s.value()
		if s.err != nil {
			s.err.in(string(key))
			return
		}
		s.resp.notice(string(key), s.b, value)
	}
	s.resp.paramCount = o.count
}

// notice files one member of params.
func (r *Response) notice(key string, body []byte, value Span) {
	raw := value.Of(body)
	isString := raw[0] == '"'
	switch {
	case key == "progressToken" && (isString || isInteger(raw)):
		r.ProgressToken = value
	case key == "requestId" && (isString || isInteger(raw)):
		r.RequestID = value
	case key == "uri" && isString:
		r.URISpan = value
	case key == "mode" && isString:
		r.Mode = value
	case key == "level" && isString:
		r.Level = value
	case key == "message" && isString:
		r.message = value
	}
}

// answerMeta scans the _meta of a result, a notification or a server's request.
func (s *scanner) answerMeta() {
	o := s.open()
	for s.next(&o) {
		if s.guardName(&o, answerMetaNames[:]); s.err != nil {
			return
		}
		key, value := o.key.Of(s.b), s.value()
		if s.err != nil {
			s.err.in(string(key))
			return
		}
		switch string(key) {
		case metaServerInfo:
			s.resp.serverInfo = o.member(value.End)
		case metaSubscriptionID:
			s.resp.subscription = o.member(value.End)
			if kind := s.b[value.Start]; kind == '"' || kind == '-' || isDigit(kind) {
				s.resp.SubscriptionID = value
			}
		}
	}
	s.resp.metaCount = o.count
}

// readError reads code, message and data of an error response. Errors are rare, so this is a second pass.
func (r *Response) readError(body []byte) *Error {
	if r.Error.Empty() {
		return nil
	}
	var found [len(errorNames)]Span
	if err := pick(body, r.Error, errorNames[:], found[:]); err != nil {
		return err
	}
	code, err := strconv.Atoi(string(found[0].Of(body)))
	if err != nil {
		return invalid("error.code must be an integer")
	}
	text := found[1].Of(body)
	if len(text) == 0 || text[0] != '"' {
		return invalid("error.message must be a string")
	}
	r.ErrorCode, r.ErrorText = code, unquote(text)
	r.codeSpan, r.ErrorData = found[0], found[2]
	return nil
}

// Result types of the modern era.
const (
	ResultComplete      = "complete"
	ResultInputRequired = "input_required"
	ResultTask          = "task"
)

func internResultType(token []byte) string {
	switch string(token) {
	case `"complete"`:
		return ResultComplete
	case `"input_required"`:
		return ResultInputRequired
	case `"task"`:
		return ResultTask
	}
	return unquote(token)
}
