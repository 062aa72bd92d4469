// Package bridge makes a stdio MCP server one that is spoken to by streamable HTTP, in memory: it serves the streams of a
// tunnel.
//
//	tunnel ──POST, GET, DELETE──▶ Server ─┬─ legacy: a session ──▶ a process of its own, or the shared one
//	   ▲                                  └─ modern: a request ──▶ the process of its caller, or the shared one
//	   └── JSON, or events where something comes before the answer ◀──┘
//
// Which era a command speaks is found out by asking a process that is thrown away, once for each command (Verdicts):
// some servers exit when they are asked.
//
//	idle ──first call──▶ starting ──handshake──▶ running ──nobody for a while──▶ idle
//	                        │                       │ the last process crashed
//	                        └───────────────────────┴──▶ waiting ──paced, one is tried──▶ running or idle
//
// Promises:
//
//   - What a process says reaches only whom it is for (security.md T-22). Of a process for one session all goes to that
//     session. Of one that many share, answers and progress go to who asked, list changes to all (in the modern era: who
//     asked for them), updates of a resource to its subscribers, log messages to the one call that alone can have caused
//     them; the rest is nobody's, and is dropped. A shared process is told of no capability, so that it asks nothing of
//     clients; what it asks all the same is refused.
//   - Messages pass byte for byte but for ids and progress tokens, and but for what the listeners of the modern era are
//     told: that is written for each of them.
//   - At a process of the modern era there is at most one subscriptions/listen, whoever listens (audience). A listener is
//     told at least once of each change that it asked for, however slow it is, and whoever comes and goes meanwhile. It may
//     be told of one that did not happen.
//   - A call that nobody waits for any more is cancelled at the process. What a server withdraws is withdrawn from the
//     client.
//   - A crash ends at once what runs in the process, and the sessions in it: HTTP 404 tells their clients to begin anew.
//   - In the modern era there are no sessions: without Shared, each caller has a process of his own, whichever tunnel he comes
//     by. A caller is a name that nodes give to a user; the gateway itself is one, too.
//   - Processes are bounded: in number, for a server, for an agent (Places) and for a caller, who gets three quarters of a server's;
//     and in time without use. One that has been quiet makes room, of the caller's own first, or else the newcomer gets HTTP 503.
package bridge
