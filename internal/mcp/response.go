package mcp

import "strconv"

// Response is one scanned message of a server: a response, a notification, or a request to the client (legacy only).
//
// Spans point into the body given to ScanResponse and are empty when the member is not there.
type Response struct {
	ID     Span   // raw token; `null` only in an error response of a server that could not read our id
	Method string // set for a notification or a server's request
	Params Span

	Result     Span   // an object
	ResultType string // result.resultType decoded; empty when it is not there
	IsError    bool   // result.isError is true
	Meta       Span   // result._meta, an object

	Error     Span // an object
	ErrorCode int  // error.code
	ErrorText string

	whole       Span
	resultCount int
	// Members that one era has and the other has not, from the quote of the name to the end of the value.
	resultType, ttl, cacheScope Span
	unstructured                Span // result.structuredContent, if it is no object
	codeSpan                    Span
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
	resp := s.resp
	raw := value.Of(s.b)
	switch string(o.key.Of(s.b)) {
	case "resultType":
		if raw[0] != '"' {
			s.fail(CodeInvalidRequest, ReasonShape, value.Start, "resultType must be a string")
			return
		}
		resp.ResultType = internResultType(raw)
		resp.resultType = o.member(value.End)
	case "isError":
		resp.IsError = string(raw) == "true"
	case "_meta":
		if raw[0] != '{' {
			s.fail(CodeInvalidRequest, ReasonShape, value.Start, "_meta must be an object")
			return
		}
		resp.Meta = value
	case "ttlMs":
		resp.ttl = o.member(value.End)
	case "cacheScope":
		resp.cacheScope = o.member(value.End)
	case "structuredContent":
		if raw[0] != '{' {
			resp.unstructured = o.member(value.End)
		}
	}
}

// readError reads code and message of an error response. Errors are rare, so this is a second pass.
func (r *Response) readError(body []byte) *Error {
	if r.Error.Empty() {
		return nil
	}
	if err := guardNames(body, r.Error, errorNames[:]); err != nil {
		return err
	}
	r.codeSpan = lookUp(body, r.Error, "code")
	code, err := strconv.Atoi(string(r.codeSpan.Of(body)))
	if err != nil {
		return invalid("error.code must be an integer")
	}
	text := lookUp(body, r.Error, "message").Of(body)
	if len(text) == 0 || text[0] != '"' {
		return invalid("error.message must be a string")
	}
	r.ErrorCode, r.ErrorText = code, unquote(text)
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
