// Package upstream speaks to MCP servers: it makes the calls of clients, listens to servers, and carries what each side
// asks of the other.
//
//	Call ──▶ Pool ──▶ endpoint (one per server) ──▶ dialect of the server ─────────▶ Carrier ──▶ server
//	                   │  bound on calls in flight    │ modern: headers and _meta per call
//	                   │  circuit breaker             │ legacy: a session, the client's own or this node's
//	                   │  connections, credentials    │ 2024-11-05: a session over one event stream
//	                   ▼                              ▼
//	Answer ◀── client's id and era ◀── JSON, or the last event of a stream; earlier ones go to the Sink
//
// What a server asks in the middle of a call (elicitation, sampling, roots) reaches the client in its own way, if Permit
// allows it:
//
//	server   client
//	legacy   legacy   Sink.Relay; the answer comes to any node, by Respond
//	legacy   modern   the call is parked here and the client gets input_required; Do with Parked goes on
//	modern   legacy   Sink.Ask, and the call is made again with what the client answered
//	modern   modern   the client gets input_required, with its state sealed
//
// Both eras of the protocol are spoken to servers and are translated from and to both eras of clients, by splicing
// (internal/mcp): what is not ours passes byte for byte.
//
// Promises:
//
//   - Every request has an id of our own, and an answer with another id is garbage. No answer reaches a client that did
//     not ask for it (security.md T-22).
//   - A call is sent once. It is sent again, once, only where the server says that it was not executed: HTTP 404 for a
//     session that it forgot, or the HTTP 400 that older SDKs have for it, as long as the answer does not name the request;
//     and HTTP 400 with the JSON-RPC error for a version that it does not serve, or for headers that differ from the body.
//     A call of a tool that may have run never is, whatever the tool's hints claim (docs/decisions/0007).
//   - A server learns of no capability that the client did not declare, and asks for nothing that is not permitted.
//   - Nothing of the client's request but the message itself reaches the server: no credential, cookie or origin
//     (P-18). Nothing of the server's HTTP answer but the message reaches the client: texts about failures are ours.
//   - An address is checked when it is dialled, after name resolution, and redirects are not followed (P-19).
//   - What the messages of one server hold is bounded, until their clients have taken them (budget).
//   - Every wait ends and every buffer is bounded. A server that hangs holds its own calls and no others, and one that is
//     dead is soon left alone.
package upstream
