// Package listener is the door of a node: HTTP in, messages out.
//
//	POST   /mcp            all servers that the caller may use, names as slug__tool
//	POST   /mcp/{server}   one server with its own names, under the same policy
//	GET    at either       what the servers have to say to a legacy session
//	DELETE at either       the end of a legacy session
//
// A request passes these gates in this order, and the first that it does not
// pass answers it. Each refusal is recorded; nothing of the body is read before
// the credential is good.
//
//	room ─ path ─ Host ─ Origin ─ method ─ snapshot ─ credential ─ key's room ─ media types ─ body ─▶ session
//	503    404    421    403      405      503        400, 401     429          406, 415      400, 408, 413
//
// The answer to a POST is JSON, or an event stream as soon as the server sends
// something before its answer, or the answer keeps the client waiting. A client
// of a legacy era that goes away has not cancelled anything: its call goes on for
// a while (Config.Grace).
//
// The bounds: of requests at once (beyond: 503, counted), and of those of one key,
// so that one alone cannot fill the node (beyond: 429); of the body's size and time, of each write's time. Notification streams give their place among the
// requests up when they begin, because they wait and do not work; package notice
// bounds them. Headers are bounded by the http.Server, for which package
// httpserver has the figures. Buffers of bodies are used again; nothing may keep
// a part of one after the request is over, so each is wiped then.
package listener
