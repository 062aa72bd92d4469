package listener

import (
	"net/http"

	"github.com/warder-gateway/warder/dataplane/internal/credential"
	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/internal/mcp"
)

// refusal is an answer that is not a session's. None is changed once made.
type refusal struct {
	status int
	kind   string // one of the constants below or of package credential
	text   string
	code   int // of the JSON-RPC error in the body
	header [][2]string
	data   []byte // of the JSON-RPC error; nil: none
	// routine marks what clients do in good faith: it is not recorded.
	routine bool
	// hangUp closes the connection, because the rest of the body is not read.
	hangUp bool
}

var (
	full = &refusal{
		status: http.StatusServiceUnavailable, kind: "overloaded", code: mcp.CodeUnavailable,
		text:   "This node serves as many requests as it may. Try again in a moment.",
		header: [][2]string{{"Retry-After", "1"}},
	}
	keyBusy = &refusal{
		status: http.StatusTooManyRequests, kind: "key-busy", code: mcp.CodeRateLimited,
		text:   "This caller has as many requests in flight at this node as one may have. Try again in a moment.",
		header: [][2]string{{"Retry-After", "1"}}, data: []byte(`{"retryAfterMs":1000}`),
	}
	notReady = &refusal{
		status: http.StatusServiceUnavailable, kind: "not-ready", code: mcp.CodeUnavailable,
		text:   "This node has no snapshot yet: it has never reached its control plane. Try again in a moment.",
		header: [][2]string{{"Retry-After", "2"}},
	}
	notFound = &refusal{
		status: http.StatusNotFound, kind: "wrong-path", code: mcp.CodeInvalidRequest,
		text: "Nothing is here. The endpoint of MCP is /mcp, or /mcp/{server} for one server.",
	}
	wrongHost = &refusal{
		status: http.StatusMisdirectedRequest, kind: "wrong-host", code: mcp.CodeInvalidRequest,
		text: "This node does not answer to the name in the Host header. If the name is right, allow it with --allowed-host.",
	}
	wrongOrigin = &refusal{
		status: http.StatusForbidden, kind: "wrong-origin", code: mcp.CodeInvalidRequest,
		text: "Web pages of this origin may not call this node. If they should, allow the origin with --allowed-origin.",
	}
	wrongMethod = &refusal{
		status: http.StatusMethodNotAllowed, kind: "wrong-http-method", code: mcp.CodeInvalidRequest, routine: true,
		text:   "Messages are sent with POST. GET opens the stream of a session, and DELETE ends the session.",
		header: [][2]string{{"Allow", allowedMethods}},
	}
	wrongEra = &refusal{
		status: http.StatusMethodNotAllowed, kind: "wrong-http-method", code: mcp.CodeInvalidRequest, routine: true,
		text:   "Protocol version " + mcp.Version20260728 + " has POST only: no stream to GET and no session to DELETE. Use subscriptions/listen.",
		header: [][2]string{{"Allow", "POST, OPTIONS"}},
	}
	notAStream = &refusal{
		status: http.StatusNotAcceptable, kind: "not-acceptable", code: mcp.CodeInvalidRequest,
		text: "GET opens an event stream; the Accept header must allow text/event-stream.",
	}
	notAcceptable = &refusal{
		status: http.StatusNotAcceptable, kind: "not-acceptable", code: mcp.CodeInvalidRequest,
		text: "Answers are application/json or text/event-stream; the Accept header allows neither.",
	}
	wrongType = &refusal{
		status: http.StatusUnsupportedMediaType, kind: "wrong-content-type", code: mcp.CodeInvalidRequest,
		text: "Messages are application/json in UTF-8, without a content encoding.",
	}
	tooLarge = &refusal{
		status: http.StatusRequestEntityTooLarge, kind: "body-too-large", code: mcp.CodeInvalidRequest, hangUp: true,
		text: "The message is larger than this node accepts.",
	}
	tooSlow = &refusal{
		status: http.StatusRequestTimeout, kind: "body-too-slow", code: mcp.CodeInvalidRequest, hangUp: true,
		text: "The message did not arrive in time.",
	}
	carried = &refusal{
		status: http.StatusBadRequest, kind: "credential-in-message", code: mcp.CodeInvalidRequest,
		text: "The message holds an API key, or the token that it came with. Servers must not get those, so nothing was passed on. Replace the credential if the message was not meant to hold it.",
	}
	cutShort = &refusal{
		status: http.StatusBadRequest, kind: "body-cut-short", code: mcp.CodeInvalidRequest, hangUp: true,
		text: "The message did not arrive whole.",
	}
)

const allowedMethods = "GET, POST, DELETE, OPTIONS"

func (x *exchange) unauthenticated(refused *credential.Refusal) *refusal {
	out := &refusal{status: refused.Status, kind: refused.Reason, text: refused.Text, code: mcp.CodeUnauthenticated}
	if refused.Status == http.StatusServiceUnavailable {
		out.code, out.header = mcp.CodeUnavailable, [][2]string{{"Retry-After", "2"}}
	}
	if challenge := x.challenge(refused); challenge != "" {
		out.header = [][2]string{{"Www-Authenticate", challenge}}
	}
	return out
}

// refuse answers with a refusal and records it.
func (x *exchange) refuse(refusal *refusal) {
	if !refusal.routine {
		x.record(refusal)
	}
	header := x.w.Header()
	for _, pair := range refusal.header {
		header.Set(pair[0], pair[1])
	}
	if refusal.hangUp {
		header.Set("Connection", "close")
	}
	x.abandonBody()
	x.writeJSON(refusal.status, nil, mcp.WriteError(nil, nil, refusal.code, refusal.text, refusal.data))
}

func (x *exchange) record(refusal *refusal) {
	door := &session.Door{
		Kind:     refusal.kind,
		Text:     refusal.text,
		Caller:   x.caller,
		Remote:   x.r.RemoteAddr,
		Header:   x.r.Header,
		Received: x.received,
		Bytes:    uint64(max(0, x.r.ContentLength)),
	}
	if x.index != nil {
		door.Revision = x.index.Revision()
	}
	x.config.Refusals.AtDoor(door)
}
