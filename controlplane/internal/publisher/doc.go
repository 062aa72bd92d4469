// Package publisher streams snapshots to nodes.
//
//	Publish(set) ─▶ history (the last few sets) ─wake─▶ one stream per node ─▶ follower
//
// A follower is the control plane's record of one connected node, as raft keeps
// one for each peer:
//
//	           hello, set unknown here              ack
//	probe ───────────────────────────▶ snapshot ─────────▶ replicate
//	  │                                    ▲                   │
//	  │                                    └──── nack, or the ─┘
//	  │                                          base is forgotten
//	  └──── hello, set in the history ────────────────────────▶ replicate
//
//	probe      nothing is known of the node: nothing is sent
//	snapshot   the next update replaces all that the node holds
//	replicate  the next update is a delta from the set that the node acked
//
// What it promises:
//
//   - Ack means applied: acked moves only by an ack (or by the node's own hello),
//     never by sending.
//   - A nack leaves the last good snapshot in force at the node. Its reason is
//     kept, and the same revision is not sent again; a newer one is, as a snapshot.
//   - One update at most is in flight. Newer sets coalesce: what is sent next is
//     always the latest. That a snapshot is needed is a state, not a message in a
//     queue, so no merge can lose it.
//   - What is denied goes before the update that it is in, and over the one in flight
//     if there is one, so that a revocation waits for no index in the making.
//   - An answer with another nonce than that of the update in flight is stale: it
//     is counted and changes nothing.
//   - A node that does not answer within the limit is cut off, not waited for.
//   - A node that connects is told of every ended session that still matters, and
//     then of each that ends anywhere. None is in memory: the stream reads them
//     from its own position, so that a slow node only holds up itself.
//   - Before the first Publish nobody is served: a cold control plane never sends
//     an empty world.
package publisher
