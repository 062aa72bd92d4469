// Package session answers the messages of MCP clients, of both eras, at one URL.
//
//	listener ─▶ Serve ─ scan ─ era ─ headers ─┬─ initialize, ping, server/discover ──▶ answered here
//	                    │      │       │      ├─ tools/list ──▶ prepared bytes of gate.Profile
//	                    ▼      ▼       ▼      └─ tools/call
//	                 refused, recorded              │
//	                                   resolve ─ decide ─ intent recorded ─ upstream ─ result recorded ─▶ answer
//	                                      │        │            │
//	                                      ▼        ▼            ▼
//	                                   unknown   denied     queue full: all three refused, recorded
//
// It keeps nothing between two requests: a legacy session has no state here yet,
// and so any node can answer any request. One request sees one gate.Index, from
// its credential to its answer.
//
// A call that was let through has exactly one intent and one result in the audit
// queue, the intent before anything leaves for the server, the result before the
// answer is released, whatever happens in between. A refusal has one event;
// floods of them are folded into one event with a count, see Refusals.
package session
