// Package endpoint reaches an HTTP MCP server beside the agent, for the streams of a tunnel.
//
//	tunnel ──method, header, body──▶ Server ──the declared URL, its own credentials──▶ MCP server
//	   ▲                                                                                  │
//	   └────────────── status, header, body as it comes ◀─────────────────────────────────┘
//
// Promises:
//
//   - The one URL of the agent's file, or of its orders, is spoken to, and no other: what comes by the tunnel has no say in
//     it, redirects are not followed, no proxy is asked.
//   - Of the request's header what MCP needs passes, and nothing else; credentials are the agent's own. Of the answer's
//     header likewise.
//   - A request is sent once. One that reached nobody is answered with HTTP 502; one that may have is reset.
//   - A server that cannot be connected to is away, until it can be.
package endpoint
