// Package tunnel carries HTTP exchanges over one stream of frames, both ways and both ends.
//
//	Do ──▶ ready ──▶ writer ══ Frames ═══▶ reader ──▶ Handler.Serve
//	                 one per end           one per end      │
//	Response ◀── reader ◀═══ Frames ══ writer ◀── ready ◀── Answer
//
// The wire, and who may send what when, is proto/warder/tunnel/v1. A Tunnel is one end of it; both ends are alike, and each may open
// streams at the other if that has a Handler. The package has no sockets: a Conn is a gRPC stream, or a pipe in tests.
//
// A stream:
//
//	waiting ──picked by the writer──▶ open ──the answer's end──▶ over
//	   │                               └──reset, tunnel lost──▶ failed; the server may have got the request (Error.Sent)
//	   └──context ended, tunnel lost──▶ failed; nothing was sent
//
// Promises:
//
//   - No stream gets what belongs to another (security.md T-22): numbers count up without gaps, and none is used twice. What comes for a
//     stream that is over is dropped.
//   - However many streams stall, the others go on (security.md P-11). A stream has a credit of its own, a part of the tunnel's that is
//     reserved for it, and a share of what others leave of the rest. An end that is pressed for room gives back credit at once.
//   - Memory is bounded: what waits to be read by the tunnel's credit, what waits to be written by the same, heads by maxHead, streams by
//     MaxStreams, what handlers gather of bodies by Bodies, and what is said about a stream or the tunnel by one of each kind. A caller waits,
//     or is refused; nothing is dropped.
//   - A call fails at once when its context ends or the tunnel is lost, and its error says whether the server may have got it. Nothing
//     is ever sent twice.
//   - The other end is not trusted. What it sends is checked against the wire's rules, and one that breaks them loses the tunnel, with
//     the rule named (ErrRule).
//   - When Run returns, every stream has failed and all handlers have returned.
//
// What is ready is sent together, as one Frames: under load a message of the transport carries many calls. Frames are written and read by
// hand, since the generated code allocates about forty times for each call; see raw and frame.
package tunnel
