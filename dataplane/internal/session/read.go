package session

import (
	"errors"
	"net/http"

	"github.com/warder-gateway/warder/dataplane/internal/handle"
	"github.com/warder-gateway/warder/internal/apikey"
	"github.com/warder-gateway/warder/internal/mcp"
)

// read scans the message and tells its era.
func (x *exchange) read() *mcp.Error {
	headerErr := x.readVersion()
	x.era = mcp.Legacy
	if headerErr != nil || x.version >= mcp.Version20260728 {
		x.era = mcp.Modern
	}
	if err := mcp.ScanRequest(x.in.Body, x.limits, &x.req); err != nil {
		return x.unread(asRefusal(err))
	}
	if headerErr != nil {
		return headerErr
	}
	var refusal *mcp.Error
	if x.era, refusal = mcp.Classify(x.version, &x.req); refusal != nil {
		return refusal
	}
	if x.era == mcp.Modern {
		return mcp.CheckHeaders(x.in.Header, &x.req)
	}
	return nil
}

// readVersion reads the header that names a protocol version.
func (x *exchange) readVersion() (err *mcp.Error) {
	x.version, err = mcp.Header(x.in.Header, mcp.HeaderVersion)
	return err
}

// unread returns why a body was not scanned. A batch is looked at again when its
// session is known; a modern client has none.
func (x *exchange) unread(refusal *mcp.Error) *mcp.Error {
	if refusal.Reason == mcp.ReasonBatch && x.era == mcp.Modern {
		modern := *refusal
		modern.Reason = mcp.ReasonShape
		return &modern
	}
	return refusal
}

// asRefusal returns the error of a scan as what it is. Another one would be a
// fault of ours, and is refused all the same.
func asRefusal(err error) *mcp.Error {
	if refusal, ok := errors.AsType[*mcp.Error](err); ok {
		return refusal
	}
	return invalidRequest("message cannot be read")
}

// attach opens the session that a legacy message is sent in. Only initialize,
// which opens one, and ping may be sent without.
func (x *exchange) attach() (Answer, bool) {
	x.owner = handle.OwnerOf(x.in.Caller.Principal)
	tokens := x.in.Header[HeaderSession]
	switch {
	case x.req.Method == mcp.MethodInitialize:
		return Answer{}, true
	case len(tokens) == 0 && x.req.Method == mcp.MethodPing:
		return Answer{}, true
	case len(tokens) == 0:
		return x.refuse(kindNoSession, invalidRequest(
			"The Mcp-Session-Id header is missing: send initialize first, and then its session id with each request.")), false
	case len(tokens) > 1:
		return x.refuse(kindNoSession, invalidRequest("The Mcp-Session-Id header stands more than once.")), false
	}
	if !x.openSession(tokens[0]) {
		return x.refuseStatus(http.StatusNotFound, kindSession, invalidRequest(
			"This session does not exist, has ended, or belongs to someone or somewhere else. Send initialize to open another.")), false
	}
	// The header may name another version than was agreed on, as long as we serve
	// it: some clients always send the same. What counts is the session's.
	x.attached = true
	return Answer{}, true
}

// maxShown bounds a stranger's text, and maxShownURI a URI, in bytes.
const (
	maxShown    = 128
	maxShownURI = 1024
)

// shown makes a stranger's text fit for an answer or an event. Most need no
// making. An API key in the wrong place is not kept (security.md T-24).
func shown(text string) string { return shownWithin(text, maxShown) }

func shownWithin(text string, limit int) string {
	text = apikey.Redact(text)
	if len(text) > limit {
		return mcp.EscapeName(text, limit)
	}
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '\\' {
			return mcp.EscapeName(text, limit)
		}
	}
	return text
}
