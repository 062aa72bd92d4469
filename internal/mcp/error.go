package mcp

import "strconv"

// Codes of JSON-RPC and MCP.
const (
	CodeParse          = -32700 // the body is not JSON
	CodeInvalidRequest = -32600 // JSON, but not a message we accept
	CodeMethodNotFound = -32601
	CodeInvalidParams  = -32602
	CodeInternal       = -32603

	CodeHeaderMismatch     = -32020 // modern only
	CodeMissingCapability  = -32021 // modern only; data.requiredCapabilities
	CodeUnsupportedVersion = -32022 // modern only; data.supported, data.requested

	CodeResourceNotFound       = -32002 // legacy only; modern says CodeInvalidParams
	CodeURLElicitationRequired = -32042 // legacy only (2025-11-25)
)

// Warder's own codes. They lie outside -32768..-32000, which JSON-RPC and MCP reserve, and borrow the last three digits
// of the HTTP status that says the same. All but the first travel with HTTP 200: clients read a 4xx as a broken transport.
//
//	1401  unauthenticated    there is no key that is good, or it ended while its stream was open
//	1403  denied             policy said no; data.rule and data.reason say which and why
//	1429  rate limited       come back after data.retryAfterMs
//	1502  bad server answer  the MCP server answered something that is not MCP
//	1503  unavailable        the MCP server, or the agent's tunnel to it, is down
//	1504  timed out          the MCP server did not answer in time
//	1507  audit unavailable  the call could not be recorded, so it was not made
const (
	CodeUnauthenticated  = 1401
	CodeDenied           = 1403
	CodeRateLimited      = 1429
	CodeBadServerAnswer  = 1502
	CodeUnavailable      = 1503
	CodeTimeout          = 1504
	CodeAuditUnavailable = 1507
)

const (
	statusOK         = 200
	statusBadRequest = 400
	statusNotFound   = 404
)

// StatusOf returns the HTTP status that carries a JSON-RPC error of this code to a client of this era (mcp.md E7).
// A legacy client reads 404 as a dead session, so it gets 200 for everything that could be parsed.
func StatusOf(code int, era Era) int {
	switch code {
	case CodeParse, CodeInvalidRequest:
		return statusBadRequest
	case CodeMethodNotFound:
		if era == Modern {
			return statusNotFound
		}
	case CodeInvalidParams, CodeHeaderMismatch, CodeMissingCapability, CodeUnsupportedVersion:
		if era == Modern {
			return statusBadRequest
		}
	}
	return statusOK
}

// Reason is a machine-readable name of what an Error found; it is fit for a metric's label.
type Reason string

// What a scan or a check can find.
const (
	ReasonSyntax    Reason = "syntax"           // breaks the grammar of RFC 8259
	ReasonEncoding  Reason = "encoding"         // invalid UTF-8 or a lone surrogate
	ReasonBOM       Reason = "byte-order-mark"  // starts with one
	ReasonTrailing  Reason = "trailing-bytes"   // more than one value
	ReasonDepth     Reason = "depth"            // nested too deep
	ReasonBatch     Reason = "batch"            // an array of messages
	ReasonDuplicate Reason = "duplicate-member" // one name twice in an object
	ReasonEscaped   Reason = "escaped-member"   // a name spelled with escapes where we read names
	ReasonLookalike Reason = "lookalike-member" // a name that another parser would fold onto one we read
	ReasonShape     Reason = "shape"            // a member is missing or of the wrong type
	ReasonHeader    Reason = "header"           // a header is missing, repeated, or differs from the body
	ReasonVersion   Reason = "version"          // a protocol version that is not served
	ReasonMethod    Reason = "method"           // a method that does not exist in this era
)

// Error is a refused message. Its text is safe to show to the client that sent the message.
type Error struct {
	Code   int    // JSON-RPC error code
	HTTP   int    // status for a modern client; Status knows both eras
	Text   string // what is wrong
	Reason Reason // the same for machines
	Offset int    // byte offset in the body; -1 when the fault is not in the body
	Member string // path of the member at fault, escaped; may be empty
	Data   []byte // raw JSON for error.data; may be nil
}

// Error says what is wrong and where.
func (e *Error) Error() string {
	text := e.Text
	if e.Member != "" {
		text += " (at " + e.Member + ")"
	}
	if e.Offset >= 0 {
		text += ", byte " + strconv.Itoa(e.Offset)
	}
	return text
}

// Status returns the HTTP status that carries the error to a client of the era.
func (e *Error) Status(era Era) int { return StatusOf(e.Code, era) }

// Append appends the JSON-RPC error response to dst; id is the client's raw id, or empty for null.
func (e *Error) Append(dst, id []byte) []byte {
	return WriteError(dst, id, e.Code, e.Error(), e.Data)
}

// newError returns an error that does not point into the body.
func newError(code int, reason Reason, text string) *Error {
	return &Error{Code: code, HTTP: StatusOf(code, Modern), Text: text, Reason: reason, Offset: -1}
}

// maxMemberPath bounds the path in an error: it is made of names that a stranger chose.
const maxMemberPath = 120

// in puts the name of an enclosing member before the path.
func (e *Error) in(name string) {
	if len(e.Member) > maxMemberPath {
		return
	}
	name = EscapeName(name, maxMemberPath/2)
	if e.Member == "" {
		e.Member = name
	} else {
		e.Member = name + "." + e.Member
	}
}
