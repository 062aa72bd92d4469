package mcp

import "unicode/utf8"

// envelope is the outermost object of a message.
type envelope struct {
	whole   Span
	version bool // jsonrpc is there and right
	id      Span
	nullID  bool
	method  string
	params  Span
	result  Span
	err     Span
}

// Names that are read, by level. A name that folds onto one of them is refused there.
var (
	envelopeNames = [...]string{"jsonrpc", "id", "method", "params", "result", "error"}
	paramsNames   = [...]string{
		"name", "uri", "arguments", "_meta", "taskId", "cursor", "protocolVersion", "capabilities", "clientInfo",
		"requestId", "progressToken", "level", "ref", "argument", "context", "notifications", "inputResponses",
		"requestState",
	}
	resultNames = [...]string{
		"content", "structuredContent", "isError", "_meta", "resultType", "ttlMs", "cacheScope", "contents", "messages",
		"nextCursor", "inputRequests", "requestState",
	}
	errorNames  = [...]string{"code", "message", "data"}
	noticeNames = [...]string{"progressToken", "requestId", "uri", "_meta", "mode", "level", "message"}
)

// Members of params._meta that are read or rewritten. The first four belong to one hop of a modern request.
const (
	metaProtocolVersion = iota
	metaClientCapabilities
	metaClientInfo
	metaLogLevel
	metaProgressToken
	metaTraceParent
	metaTraceState
	metaBaggage
	numMeta
)

// Members of the _meta of what a server sends that are read or rewritten.
const (
	metaServerInfo     = "io.modelcontextprotocol/serverInfo"
	metaSubscriptionID = "io.modelcontextprotocol/subscriptionId"
)

var answerMetaNames = [...]string{metaServerInfo, metaSubscriptionID}

// metaKeys are the names as they stand before an inserted value.
var metaKeys = [numMeta]string{
	metaProtocolVersion:    `"io.modelcontextprotocol/protocolVersion":`,
	metaClientCapabilities: `"io.modelcontextprotocol/clientCapabilities":`,
	metaClientInfo:         `"io.modelcontextprotocol/clientInfo":`,
	metaLogLevel:           `"io.modelcontextprotocol/logLevel":`,
	metaProgressToken:      `"progressToken":`,
	metaTraceParent:        `"traceparent":`,
	metaTraceState:         `"tracestate":`,
	metaBaggage:            `"baggage":`,
}

var metaNames = [numMeta]string{
	metaProtocolVersion:    "io.modelcontextprotocol/protocolVersion",
	metaClientCapabilities: "io.modelcontextprotocol/clientCapabilities",
	metaClientInfo:         "io.modelcontextprotocol/clientInfo",
	metaLogLevel:           "io.modelcontextprotocol/logLevel",
	metaProgressToken:      "progressToken",
	metaTraceParent:        "traceparent",
	metaTraceState:         "tracestate",
	metaBaggage:            "baggage",
}

// metaKinds holds the first byte of each one's value; a progress token may be a number too.
var metaKinds = [numMeta]byte{'"', '{', '{', '"', '"', '"', '"', '"'}

// message scans one whole message.
func (s *scanner) message(e *envelope) {
	if s.begin(); s.err != nil {
		return
	}
	switch s.peek() {
	case '{':
		s.envelope(e)
	case '[':
		s.fail(CodeInvalidRequest, ReasonBatch, s.pos, "batches of messages are not accepted")
	default:
		if s.value(); s.err == nil {
			s.fail(CodeInvalidRequest, ReasonShape, 0, "message must be a JSON object")
		}
	}
	s.end()
}

func (s *scanner) envelope(e *envelope) {
	o := s.open()
	for s.next(&o) {
		if s.guardName(&o, envelopeNames[:]); s.err != nil {
			return
		}
		switch string(o.key.Of(s.b)) {
		case "jsonrpc":
			e.version = string(s.value().Of(s.b)) == `"2.0"`
		case "id":
			e.id, e.nullID = s.id()
		case "method":
			e.method = s.method()
		case "params":
			e.params = s.object("params", partParams)
		case "result":
			e.result = s.object("result", partResult)
		case "error":
			e.err = s.object("error", partAny)
		default:
			s.unknown(&o)
		}
	}
	e.whole = Span{o.start, s.pos}
}

// unknown scans the value of a member that means nothing to us.
func (s *scanner) unknown(o *object) {
	if s.value(); s.err != nil {
		s.err.in(string(o.key.Of(s.b)))
	}
}

// guardName refuses a name that another parser could read as one of known: one spelled with escapes, or one that
// differs only in case (security.md T-34).
func (s *scanner) guardName(o *object, known []string) {
	key := o.key.Of(s.b)
	if o.escaped {
		s.fail(CodeInvalidRequest, ReasonEscaped, o.key.Start, "member name is spelled with escapes")
		s.err.in(string(key))
		return
	}
	for _, name := range known {
		if string(key) == name {
			return
		}
	}
	for _, name := range known {
		if foldsOnto(key, name) {
			s.fail(CodeInvalidRequest, ReasonLookalike, o.key.Start, "member name differs only in case from "+name)
			s.err.in(string(key))
			return
		}
	}
}

// foldsOnto reports whether key equals the ASCII name under Unicode simple case folding, which is what lenient parsers
// apply. Two characters outside ASCII fold into it: the long s and the Kelvin sign.
func foldsOnto(key []byte, name string) bool {
	for i := range len(name) {
		r, n := utf8.DecodeRune(key)
		switch key = key[n:]; r {
		case '\u017f': // long s
			r = 's'
		case '\u212a': // Kelvin sign
			r = 'k'
		}
		if r >= utf8.RuneSelf || lower(byte(r)) != lower(name[i]) {
			return false
		}
	}
	return len(key) == 0
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// id scans a request id: a string or an integer. Null passes here, because a server that could not read an id answers
// with it; whoever does not want it looks at isNull.
func (s *scanner) id() (token Span, isNull bool) {
	token = s.value()
	if s.err != nil {
		s.err.in("id")
		return token, false
	}
	switch raw := token.Of(s.b); {
	case raw[0] == '"' || isInteger(raw):
		return token, false
	case raw[0] == 'n':
		return token, true
	}
	s.fail(CodeInvalidRequest, ReasonShape, token.Start, "id must be a string or an integer")
	return Span{}, false
}

// isInteger reports whether an accepted token is a number without fraction and exponent.
func isInteger(token []byte) bool {
	for i, c := range token {
		if !isDigit(c) && (c != '-' || i > 0) {
			return false
		}
	}
	return len(token) > 0
}

func (s *scanner) method() string {
	token := s.value()
	if s.err != nil {
		s.err.in("method")
		return ""
	}
	if raw := token.Of(s.b); raw[0] == '"' && len(raw) > 2 {
		return internMethod(raw)
	}
	s.fail(CodeInvalidRequest, ReasonShape, token.Start, "method must be a string that is not empty")
	return ""
}

// part is an object within a message, by what we read of it. A function value in its place would move the scanner to
// the heap.
type part uint8

const (
	partAny part = iota
	partParams
	partMeta
	partResult
)

// object scans a member that must be an object.
func (s *scanner) object(name string, part part) Span {
	s.space()
	start := s.pos
	if s.peek() == '{' {
		s.part(part)
	} else if s.value(); s.err == nil {
		s.fail(CodeInvalidRequest, ReasonShape, start, name+" must be an object")
	}
	if s.err != nil {
		s.err.in(name)
		return Span{}
	}
	return Span{start, s.pos}
}

func (s *scanner) part(part part) {
	switch {
	case part == partParams && s.req != nil:
		s.params()
	case part == partMeta && s.req != nil:
		s.meta()
	case part == partParams && s.resp != nil:
		s.notice()
	case part == partMeta && s.resp != nil:
		s.answerMeta()
	case part == partResult && s.resp != nil:
		s.result()
	default:
		s.anyObject()
	}
}

// invalid is a message of the wrong shape as a whole.
func invalid(text string) *Error {
	e := newError(CodeInvalidRequest, ReasonShape, text)
	e.Offset = 0
	return e
}
