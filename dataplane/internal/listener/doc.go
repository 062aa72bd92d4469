// Package listener is the door of a node: HTTP in, messages out.
//
//	POST /mcp            all servers that the caller may use, names as slug__tool
//	POST /mcp/{server}   one server with its own names, under the same policy
//
// A request passes these gates in this order, and the first that it does not
// pass answers it. Each refusal is recorded; nothing of the body is read before
// the credential is good.
//
//	room ─ path ─ Host ─ Origin ─ method ─ snapshot ─ credential ─ media types ─ body ─▶ session
//	503    404    421    403      405      503        400, 401     406, 415      400, 408, 413
//
// The answer is JSON, or an event stream as soon as the server sends something
// before its answer, or the answer keeps the client waiting.
//
// The bounds: of requests at once (beyond: 503, counted), of the body's size and
// time, of each write's time. Headers are bounded by the http.Server, for which
// package httpserver has the figures. Buffers of bodies are used again; nothing may keep
// a part of one after the request is over, so each is wiped then.
package listener
