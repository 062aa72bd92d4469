// Package notice keeps the open notification streams of clients: what a node says without being asked.
//
//	client ◀─ Stream ◀─ queue ◀──┬── own hearing: one server under the client's session, or its resources
//	   (GET, or                  ├── shared hearing: list_changed of a server, heard once per node
//	    subscriptions/listen)    └── Changed: the snapshot shows this caller another list
//
//	Open ──▶ heard ──ack (modern)──▶ open ──▶ closed
//	                                  │  client gone, drain, key or session ended or revoked,
//	                                  └─ server no longer visible, queue full
//
// A Board holds all of them. One Subscription is one stream of one client. A legacy client may have several for one
// session: then the newest speaks and the others are silent, because the protocol wants each message on one stream only;
// when the newest ends, the one before it speaks again.
//
// What is heard where:
//
//   - A legacy client has a session with a legacy server of its own, sealed into its session id. Its stream hears that
//     server under that session: log messages, updates, list changes, and requests of the server, which Subscription.Relay
//     puts into the client's terms.
//   - Other servers are heard once per node, for list_changed alone, by a shared hearing that is counted and lingers.
//   - Resources that a modern client listens to, or that a legacy client subscribed to (Board.Subscribe) at a server with
//     which it has no session, are heard by a hearing of the stream's own.
//
// Promises:
//
//   - Nobody hears of what they may not see. Key, session, policy and the server's visibility are looked at again with each
//     snapshot, every few seconds, and at the moment the key or the session expires. Whoever lost the right to the stream
//     loses the stream: a modern client gets a JSON-RPC error as the answer to subscriptions/listen, a legacy one sees the
//     stream end. Resources that may no longer be read are dropped alone.
//   - Changes are told to those whose view changed and to nobody else, once per kind however often they come in a moment.
//   - A slow client delays nobody. Its queue is bounded: list changes and updates of one resource merge, and when nothing
//     merges, the stream is closed and the client comes again.
//   - Everything is bounded: streams per node and per key, facts of sessions, ended sessions.
package notice
