// Package session answers the messages of MCP clients, of both eras, at one URL.
//
//	listener ─▶ Serve ─ scan ─ era ─ headers ─ session ─┬─ initialize, ping, server/discover ─▶ answered here
//	                    │      │       │          │     ├─ lists ──▶ prepared bytes of gate.Profile
//	                    ▼      ▼       ▼          ▼     ├─ subscriptions/listen ──▶ notice
//	                   refused, recorded                ├─ answers and notifications of the client ──▶ upstream
//	                                                    └─ what goes to a server
//	                                                             │
//	     resolve ─ decide ─ headers ─ state ─ intent recorded ─ upstream ─ result recorded ─▶ answer
//	        │        │         └───────┘           │               │ ▲
//	        ▼        ▼             ▼               ▼               ▼ │
//	     unknown   denied       invalid        queue full      sink: messages before the answer, and what
//	        all of these are refused and recorded              the server asks of the client (Permit, Relay, Ask)
//
// Tools, prompts and resources go one way: govern. So do completions and
// subscriptions, with a method of their own in the question to the policy.
//
// What a session is, its client carries: the id is sealed (package handle), so any
// node answers any request. What is kept here may be lost at any time: the calls
// that run (so that they can be cancelled), the questions that wait for an answer
// on this node, and the calls whose stream the server closed to have it resumed.
// Each of these tables is bounded. One request sees one gate.Index, from its
// credential to its answer.
//
// A call that was let through has exactly one intent and one result in the audit
// queue, the intent before anything leaves for the server, the result before the
// answer is released, whatever happens in between. Of a risky call the intent is on
// the disk by then, see withheld. A refusal has one event;
// floods of them are folded into one event with a count, see Refusals.
//
// So much for what reaches a server or is refused. Of the rest, these are recorded:
//
//   - initialize and DELETE, with which a session begins and ends: whoever reads the
//     ledger wants to know when a client came, with which name and version, and left.
//     They are done also where there is no room in the queue: see note.
//   - logging/setLevel, as a call: it changes what servers send.
//
// These are not, but counted by method in the metrics:
//
//   - lists, server/discover and ping: they show what may be called, and nobody but
//     the policy, which is in the ledger by its revision, has a say in that.
//   - notifications and answers of clients: each belongs to a call or a question
//     which has its record, or (roots/list_changed) says nothing.
package session
