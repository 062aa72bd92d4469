// Package relay brings requests to other nodes, one hop away, and serves those of other nodes.
//
//	Do ─▶ line to the node (made when needed) ══ Relay ══▶ the other node: Serve ─┬─▶ Local: a tunnel that is there
//	                │                                                              └─▶ Errand: asked of the node itself
//	                └ ends when nothing was asked for a while, or the node is gone
//
// A line is a gRPC connection with mutual TLS to the node of a name, and one tunnel on it (internal/tunnel), in which only
// who dialled opens streams. So two nodes that relay to each other have two lines.
//
// Promises:
//
//   - One hop: what comes is served by tunnels of this node, or refused. There is no way from Serve to a line.
//   - Only nodes are served, by the SAN of their certificates, and none that is denied; who is dialled is the node that was
//     meant, and nobody else is told anything.
//   - What was decided and recorded about a call is the first node's affair: nothing here decides, or records.
//   - Nothing is sent twice. An error says whether anything was sent.
//   - A node that goes down refuses calls (Leave) while it still serves errands, for which calls may wait, and ends its lines when
//     others have let go of them (Drain). What runs over a line whose node is no longer named goes on.
//   - What requests of other nodes hold here until they are answered is bounded for all nodes together, and for one node
//     (Config.Bodies), besides what is bounded for a request (maxBody), a line (internal/tunnel) and the lines of a node
//     (maxLines). One that finds no room is refused at once and counted, and nothing was done for it: its node looks elsewhere,
//     or says that the agent takes no calls at the moment.
//   - There is at most one line to each node of Locations that takes requests; a node that cannot be reached costs a call a moment, and then
//     nothing until the pause is over.
package relay
