// Package dataplane is a node: the only thing in the path of a call.
//
//	            ┌────────────────────────── Plane ──────────────────────────┐
//	client ────▶│ listener ─▶ credential ─▶ session ─▶ gate ─▶ upstream ────┼──▶ MCP servers
//	            │     │                        │          ▲         │       │
//	            │     │                     notice ◀──────┼─────────┘       │
//	            │     └──── refusals ──▶ spool ◀┘       replica             │
//	            └──────────────────────────│──────────────│─────────────────┘
//	                              audit (gRPC, mTLS)   snapshots (gRPC, mTLS)
//	                                       ▼              │
//	                                        control plane
//
// While a call is served, nothing outside the process is asked but the server
// that it is for. The control plane may be away: the node decides by its last
// snapshot, which it also keeps on disk, and holds audit events until they are
// taken; when there is no more room for them, calls are refused.
//
// Open makes a Plane, Run keeps it in touch with the control plane, Handler
// serves. The process apart is the function Run.
package dataplane
