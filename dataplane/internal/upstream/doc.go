// Package upstream calls MCP servers over streamable HTTP.
//
//	Call ──▶ Pool ──▶ endpoint (one per server) ──▶ dialect of the server ──▶ HTTP ──▶ server
//	                   │  bound on calls in flight    │ modern: headers and _meta per call
//	                   │  connections, credentials    │ legacy: a session per principal, or none
//	                   ▼                              ▼
//	Answer ◀── client's id and era ◀── JSON, or the last event of a stream; earlier ones go to the Sink
//
// Both eras of the protocol are spoken to servers and are translated from and to both eras of clients, by splicing
// (internal/mcp): what is not ours passes byte for byte.
//
// Promises:
//
//   - Every request has an id of our own, and an answer with another id is garbage. No answer reaches a client that did
//     not ask for it (security.md T-22).
//   - A call is sent once. It is sent again, once, only where the server says that it was not executed: HTTP 404 for a
//     session that it forgot, or the HTTP 400 that older SDKs have for it.
//   - Nothing of the client's request but the message itself reaches the server: no credential, cookie or origin
//     (P-18). Nothing of the server's HTTP answer but the message reaches the client: texts about failures are ours.
//   - An address is checked when it is dialled, after name resolution, and redirects are not followed (P-19).
//   - Every wait ends and every buffer is bounded. A server that hangs holds its own calls and no others.
package upstream
