// Package replica follows the control plane and holds the node's current snapshot.
//
//	control plane ──update──▶ verify ─▶ apply ─▶ build ─▶ swap ─▶ ack          Current() ──▶ calls
//	                            │         │        │       │
//	                            └─────────┴────────┴─ nack │ with the reason; what serves goes on serving
//	                                                       ▼
//	                                            disk: the last good one, sealed ──Load at start──▶ swap
//
//	list_changed ──ServerChanged─▶ ┌────────┐
//	DELETE ─────────EndSession───▶ │ outbox │ ──▶ control plane ──▶ every node: SessionEnded
//	                               └────────┘
//
// An update is built beside what serves and takes effect by the swap of one pointer, so a call that keeps what Current
// gave it sees one revision from beginning to end. An ack means that calls are served from the update.
//
// Promises:
//
//   - A set that is not signed with the pinned key, does not have the digest that was announced, or cannot be built is
//     never active (security.md P-09).
//
//   - The last good set is on disk, sealed to the node. It is verified again, and served, when the node starts without a
//     control plane (P-05). A file that does not verify is set aside, never deleted, and never served.
//
//   - Where agents and nodes are is kept beside it, sealed too, so that a node which starts without a control plane goes by the
//     last word, as all others do. A file that cannot be used is ignored.
//
//   - A large update comes in parts, and is applied and written in turns with calls (package turns), so that also a node with
//     one processor serves meanwhile. What did not change is taken over from the set and the index before.
//
//   - Denials that come ahead of an update hold at once, whatever is being built (P-08).
//
//   - Writing to disk never delays an update: one goroutine writes the latest set and skips those in between.
//
//   - A session that a client ended here is told until the control plane has confirmed it, which it does by telling it back,
//     as to all nodes. What a full or lost outbox costs: the session stays open at other nodes. Hints about servers may be lost.
//
//   - A node that leaves says so in the hello of another stream (Drain); what it holds goes on from there.
//
// The key that signs is pinned at first contact and kept beside the snapshot. Enrollment will bring it with the node's
// certificate instead.
package replica
