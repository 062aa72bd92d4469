// Package agent is the process that runs beside MCP servers which nodes cannot reach: it starts stdio servers, reaches
// HTTP ones, and serves both through tunnels that it dials itself. Only agents start processes.
//
//	  file ──▶ manifest ─┐
//	                     ├─▶ inventory ─┬─ bridge ──▶ process (stdio)
//	orders ──▶ uplink ───┘       ▲      └─ endpoint ──▶ HTTP server
//	             ║ tunnels       │
//	 nodes ◀═════╩═══════════════┘ calls
//
// What may be called is decided by nodes; what may run is decided by the agent's own file.
package agent
