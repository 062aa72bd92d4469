// Package mcp reads and rewrites the messages of the Model Context Protocol, byte for byte.
//
// A message is scanned once, strictly, into spans of the body it arrived in. The decision is taken on those spans, and
// what goes on is the same body with a few spans replaced:
//
//	client's body ──ScanRequest──▶ Request (spans) ──Classify, CheckHeaders──▶ era
//	     │                            │
//	     │                            └── name, URI, reference, arguments: what policy decides on
//	     └──RewriteRequest (Hop)──▶ the same bytes, with our id, the server's own name or URI and our hop's _meta
//
//	server's body ──SSEReader──▶ ScanResponse ──▶ Response (spans)
//	     ├── an answer ──RewriteResponse (Reply)──▶ the same bytes, with the client's own id, era and URIs
//	     ├── a notification ──RewriteNotification (Note)──▶ the same bytes, with the client's token or stamp
//	     └── a request to the client ──RewriteServerRequest──▶ the same bytes, with an id of ours, and who asks
//
// Three promises follow from it:
//
//   - What was authorised is what runs (security.md P-12). A body that two parsers could read differently is refused:
//     duplicate, escaped or case-folded names where we read names, trailing bytes, invalid UTF-8, lone surrogates.
//   - What is not ours is not touched. Unknown members, number tokens, key order and white space pass unchanged.
//   - Ids are bytes. A client's id is never parsed into a number, and comes back as it was sent.
//
// The package is pure: no sockets, no clock, no state between calls. All of it may be used from many goroutines at
// once; a Request, a Response or an SSEReader belongs to one.
package mcp
