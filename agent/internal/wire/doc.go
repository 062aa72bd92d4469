// Package wire multiplexes JSON-RPC over a connection that carries one message at a time and belongs to one MCP server:
// the pipes of a stdio process, or the event stream of a server of 2024-11-05.
//
//	many callers ──Begin──▶ own id, own progress token ──▶ send ──▶ server
//	     ▲  ▲                                                         │
//	     │  └──── Box of the call ◀── progress, stamped notices ──┐   │
//	     └─────── answer, with the caller's own id ◀── Receive ◀──┴───┘
//	                                                     └──▶ Hearer: requests of the server, other notices
//
// Promises:
//
//   - Ids and progress tokens on the connection are ours, and are used once. Callers that choose the same ones never get
//     each other's answers (security.md T-22).
//   - Of a message nothing changes but ids and tokens. One that holds line ends is made one line.
//   - Calls run beside each other; no call waits for the answer to another one.
//   - Receive never blocks. What a caller does not take waits in a Box, which is bounded. All that waits, answers
//     included, is bounded together by a budget; when it is spent a notice is dropped, and a call whose answer finds no room fails (ErrFull).
//   - When the connection fails, all calls that are open fail at once.
package wire
