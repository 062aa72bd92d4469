package upstream

import (
	"net/http"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/principal"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Call is one tools/call, decided and recorded, on its way to a server. Do reads it and keeps nothing of it.
type Call struct {
	// Server is where the call goes. It must not be edited while any call refers to it, or after.
	Server *snapshotv1.Server
	// Principal is who calls. Sessions with servers are never shared between key ids, or between users without a key.
	Principal *principal.Principal
	// Era and ClientVersion are what the client speaks.
	Era           mcp.Era
	ClientVersion string
	// Body is the client's message and Request its scan.
	Body    []byte
	Request *mcp.Request
	// Tool is the name that the server knows.
	Tool string
	// Header is that of the client's request. Only Mcp-Param-* of modern clients is read, which must have been checked.
	Header http.Header
	// TraceParent is sent as header and in _meta; empty: none.
	TraceParent string
}

// Sink takes what a server says before its answer.
type Sink interface {
	// Notification takes one JSON-RPC notification, ready to be sent to the client. The bytes are valid during the call
	// only. An error means that the client is gone, and ends the call.
	Notification(message []byte) error
}

// Answer is how a call ended.
type Answer struct {
	// Body is the JSON-RPC response for the client: with its id and in its era. The caller owns it.
	Body []byte
	// Outcome is never refused or unknown.
	Outcome auditv1.Outcome
	// Error says for people why it failed; empty if it did not. It never holds text of the server.
	Error string
	// ServerLatency is the time from sending the call to having the answer, with whatever connecting it took.
	ServerLatency time.Duration
}
