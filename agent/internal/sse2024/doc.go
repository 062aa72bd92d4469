// Package sse2024 speaks to a server of 2024-11-05 (HTTP with SSE): one Line is one session with it.
//
//	                ┌──GET, the declared URL──▶ server
//	Dial ──▶ Line ──┤ ◀── event "endpoint": where to post; then messages ──▶ wire.Conn ──▶ calls
//	                └──POST, what "endpoint" named──▶ server, which answers on the stream
//
//	open ──Stop, end of the stream, HTTP 404 to a POST, no MCP──▶ all calls fail ──▶ over
//
// Promises:
//
//   - What "endpoint" names has to lie at the origin of the declared URL. Anything else would let the server send our
//     messages, with the agent's credentials for it, elsewhere.
//   - Requests are posted beside each other, so that a POST that hangs holds its own call alone. What comes after a
//     notification or an answer is posted after it.
//   - A message is posted once. The call of one that was not taken fails.
//   - Memory is bounded: of one message, and of the posts under way, beyond which senders wait.
package sse2024
