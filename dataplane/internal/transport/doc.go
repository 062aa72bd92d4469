// Package transport speaks HTTP/1.1 to one origin, at the least cost that keeps its promises.
//
//	Do ──▶ idle connection that is still alive, or a new one ──▶ one write ──▶ head of the answer ──▶ Response
//	         ▲                                                                                          │
//	         └──── Close, after the body was read to its end; Finish, if only its last bytes are missing ─┘
//
// The goroutine that calls Do writes the request and reads the answer itself. The client of net/http hands both to
// goroutines of the connection, and these hand-overs are more than a quarter of what a proxied call costs.
//
// Which URL is spoken to how:
//
//   - http, without a proxy: by this package's own client, HTTP/1.1 only.
//   - https, or through an egress proxy: by net/http behind the same API, with HTTP/2 where the server speaks it, since
//     the cost of cryptography and of the network dwarfs what could be saved. Of the promises below, two are weaker
//     there: a GET whose pooled connection dies may be sent again, as HTTP allows, and answers are read as net/http does.
//
// Promises:
//
//   - A request is never sent twice if any of it may have reached the server. Whether it may is what Error.Sent says. One
//     that found its pooled connection dead before a byte was written is sent on another connection.
//   - What the server sends is read strictly (RFC 9112), and what could be read in two ways is refused: lengths that
//     contradict each other, folded or malformed fields, bare line feeds, codings other than chunked. A connection with
//     anything odd about it, with bytes after its answer, or whose call was cancelled is closed and never used again, so
//     that no answer is taken for that to another request (security.md T-22). Before each use a connection is looked
//     at for such bytes, and for the server's having closed it.
//   - What the caller gives cannot change the framing: names and values are checked, and the fields of framing are ours.
//   - An address is checked when it is dialled, after name resolution (security.md P-19). Redirects are not followed, and
//     nothing is decompressed.
//   - When the context ends, so does the call, at once. There is no goroutine per call, and no deadline but the
//     caller's context and the bound on dialling.
//   - Memory is bounded: a head has at most 64 KiB, and buffers belong to calls, not to idle connections.
package transport
