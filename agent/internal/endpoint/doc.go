// Package endpoint reaches an HTTP MCP server beside the agent, for the streams of a tunnel.
//
//	tunnel ──method, header, body──▶ Server ──the declared URL, its own credentials──▶ MCP server
//	   ▲                                                                                  │
//	   └────────────── status, header, body as it comes ◀─────────────────────────────────┘
//
// A server of 2024-11-05 (HTTP with SSE) refuses initialize where streamable HTTP has it. It is served by a bridge, which has
// a session of package sse2024 where it has processes else:
//
//	tunnel ◀──streamable HTTP──▶ Server ◀──▶ bridge ◀──▶ sse2024.Line, one per session ◀──HTTP with SSE──▶ MCP server
//
// Promises:
//
//   - The one URL of the agent's file, or of its orders, is spoken to, and no other: what comes by the tunnel has no say in
//     it, redirects are not followed, no proxy is asked. A server of 2024-11-05 may name another path of the
//     same origin.
//   - Of the request's header what MCP needs passes, and nothing else; credentials are the agent's own. Of the answer's
//     header likewise.
//   - A request is sent once. One that reached nobody is answered with HTTP 502; one that may have is reset.
//   - A server that cannot be connected to is away, until it can be.
package endpoint
