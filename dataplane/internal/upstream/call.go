package upstream

import (
	"context"
	"net/http"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Permit decides, and records, whether a server may ask this of the client. Nil means that it may; an error says to the
// client why not, and the server is told no more than that it was refused. Method is that of the server's request, params
// its raw params, which may be empty.
type Permit func(method string, params []byte) *mcp.Error

// SessionRef names a session with a legacy server. It may be sealed and used at any node.
type SessionRef struct {
	// ID is the server's own id. Empty: the server has no sessions, or is modern.
	ID string
	// Version is the protocol version that was negotiated.
	Version string
}

// Room is memory for one answer at a time, which its owner may use again when nobody needs the answer any more.
type Room struct {
	// Body is grown where it is too small. Its content is of no account; afterwards it spans all that was written.
	Body []byte

	made Answer
}

// answer returns the room's, or a new one where there is no room.
func (r *Room) answer() *Answer {
	if r == nil {
		return new(Answer)
	}
	r.made = Answer{}
	return &r.made
}

// body returns an empty slice with room for so many bytes.
func (r *Room) body(size int) []byte {
	if r == nil {
		return make([]byte, 0, size)
	}
	if cap(r.Body) < size {
		r.Body = make([]byte, 0, size)
	}
	return r.Body[:0]
}

// filled notes what was written to the body, and where, if it did not fit.
func (r *Room) filled(body []byte) []byte {
	if r != nil && len(body) > len(r.Body) {
		r.Body = body
	}
	return body
}

// Call is one request of a client, decided and recorded, on its way to a server. Do reads it. It keeps nothing of it,
// except that a call that is parked keeps Server, Capabilities and Permit until it is resumed.
type Call struct {
	// Server is where the call goes. It must not be edited while any call refers to it, or after.
	Server *snapshotv1.Server
	// Principal is who calls.
	Principal *principal.Principal
	// Era and ClientVersion are what the client speaks.
	Era           mcp.Era
	ClientVersion string
	// Body is the client's message and Request its scan.
	Body    []byte
	Request *mcp.Request
	// Target is the name, or the URI, that the server knows. Empty for a method that has neither.
	Target string
	// Params are the arguments of the tool that its definition wants as headers.
	Params []mcp.Param
	// Header is that of the client's request. Only Mcp-Param-* of modern clients is read, which must have been checked.
	Header http.Header
	// TraceParent is sent as header and in _meta; empty: none.
	TraceParent string

	// Capabilities are what may be declared to the server for this client: never more than the client has.
	Capabilities mcp.Capabilities
	// LogLevel is from which level on the client wants log messages; empty: what its own _meta says.
	LogLevel string
	// Session is the client's own session with this legacy server; nil: it has none.
	Session *SessionRef
	// SessionKey says who shares the session that this node opens where there is none in Session, or where that was lost.
	// Empty: who shares the key of Principal.
	SessionKey string
	// ID is the raw id that the request has towards the server; nil: a fresh one. An id must not be in flight twice in a
	// session.
	ID []byte

	// URIPrefix goes before the server's URIs in what the client gets; ServerInfo, a raw JSON object, takes the place of
	// what a modern server says of itself.
	URIPrefix  string
	ServerInfo []byte
	// Asker is who a client that is asked to elicit something is told to be asking, as of mcp.Input.NameAsker. What goes to
	// Sink.Relay does not have it yet. Empty: the message stays.
	Asker string

	// Permit is asked before anything that the server wants of the client. Nil: nothing is permitted.
	Permit Permit
	// SealState seals what the client brings back when it has given the input that a server wants: the server's own raw
	// state (nil: it gave none), or the name of a parked call. Set for modern clients.
	SealState func(inner []byte, parked string) (string, error)

	// What a modern client brought back. HasState says that it brought a state, of which State is the server's own raw
	// token (nil: the server gave none); Parked is the name of a parked call, if the state named one. The responses
	// themselves are in Body.
	HasState bool
	State    []byte
	Parked   string

	// Room, unless nil, is where the answer of a server is made, which is valid for as long as its owner lets it be.
	Room *Room
}

// Mark is where an event stands in a server's stream. The zero Mark means that nothing can be resumed from there.
type Mark struct {
	// EventID is the server's id of the event.
	EventID string
	// Retry is how long the server asks to wait before the stream is resumed; 0: it does not say.
	Retry time.Duration
	// Session is the session within which the event can be asked for again. It is the one that the call runs in, which may
	// be another than Call.Session.
	Session SessionRef
}

// Sink takes what a server says before its answer. Its methods are called by one goroutine, one after the other; they may
// block, and the server is then read no further. An error means that the client is gone, and ends the call.
type Sink interface {
	// Notification takes one JSON-RPC notification, ready to be sent to the client. The bytes are valid during the call
	// only.
	Notification(message []byte, at Mark) error
	// Prime takes an event that has an id and no message.
	Prime(at Mark) error
	// Relay takes a request of a legacy server to a legacy client, which has been permitted. The answer goes to the server
	// by Pool.Respond, at any node. The bytes are valid during the call only.
	Relay(r *ServerRequest, at Mark) error
	// Withdraw takes the notice that the server no longer waits for the answer to what went to Relay: see Relayed. The
	// bytes are valid during the call only.
	Withdraw(w *Withdrawal, at Mark) error
	// Ask takes a request of a modern server to a legacy client, which has been permitted, and waits for what the client
	// answers: a raw result, or an error of the client's. The params are valid during the call only.
	Ask(ctx context.Context, method string, params []byte) (result []byte, refused *mcp.Error, err error)
}

// ServerRequest is what a legacy server asks of a client.
type ServerRequest struct {
	// Session is where the answer goes.
	Session SessionRef
	// ID is the server's raw id of its request.
	ID     []byte
	Method string
	// Message is the whole request and Scan its scan.
	Message []byte
	Scan    *mcp.Response
}

// Answer is how a call ended. It is to be released when Body has been written.
type Answer struct {
	// Body is the JSON-RPC response for the client: with its id and in its era. The caller owns it, if it is not in
	// Call.Room. Nil if Detached.
	Body []byte
	// At is where in the server's stream the answer stood.
	At Mark
	// Outcome is never refused or unknown. It is unspecified if Detached.
	Outcome auditv1.Outcome
	// Error says for people why it failed; empty if it did not. It never holds text of the server.
	Error string
	// ServerLatency is the time from sending the call to having the answer, with whatever connecting it took.
	ServerLatency time.Duration
	// Detached means that the server closed its stream before the answer, after the events that went to the sink with their
	// marks: a legacy client asks for the rest from there.
	Detached bool
	// Until is when the call's time as a whole is over. It is set if Detached.
	Until time.Time

	hold holding // for Body
}

// Listen says whose notifications of one server are wanted, and which.
type Listen struct {
	Server    *snapshotv1.Server
	Principal *principal.Principal
	// Session, SessionKey and Capabilities are those of a Call.
	Session      *SessionRef
	SessionKey   string
	Capabilities mcp.Capabilities
	Filter       mcp.ListenFilter
	// LogLevel is from which level on log messages are wanted; empty: none.
	LogLevel string
	// Permit is that of a Call.
	Permit Permit
	// Ready, unless nil, is called once, when the first attempt has come to its end: the server is heard, or has nothing
	// to hear, or could not be reached for now.
	Ready func()
}

// Resume says which stream of a legacy server is read on, and for which request of the client.
type Resume struct {
	Server  *snapshotv1.Server
	Session SessionRef
	// EventID is the server's id of the last event that arrived.
	EventID string
	// ID is the raw id that the request has towards the server, as in Call; nil: any response in the stream is the answer.
	ID []byte
	// Until is when the time of the call as a whole is over, for a call that its own node reads on: the server is told if
	// it ends before the answer. Zero: the client resumes it, and the reading has as much time as a call has.
	Until time.Time
	// ClientID is the raw id of the client's request, ProgressToken its raw token (nil: none) and Method its method.
	ClientID      []byte
	ProgressToken []byte
	Method        string
	// Era, ClientVersion, Capabilities, LogLevel, URIPrefix, ServerInfo and Permit are those of a Call.
	Era           mcp.Era
	ClientVersion string
	Capabilities  mcp.Capabilities
	LogLevel      string
	URIPrefix     string
	ServerInfo    []byte
	Permit        Permit
}
