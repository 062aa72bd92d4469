// Package roster knows which agents have tunnels, here and at other nodes, and brings calls to their servers.
//
//	agent ══ Attach ══▶ attachment ─ready─▶ ┌────────┐ ──Attached──▶ control plane ─▶ all nodes
//	                        │               │ Roster │ ◀─Locations── control plane
//	   call ─▶ Carrier ─────┼── here ───────┤        │ ──Away───────▶ gate: what nobody can call is not listed
//	                        └── elsewhere ──┴─ Relay ─▶ the other node's roster ─ Local ─▶ its tunnel
//
// Where a call goes: the least busy tunnel that is here; else, by Relay, a node that has one, those of the own region first;
// else nowhere, and the error says that the agent is not connected. Of several tunnels of one agent those count that have
// said something since the latest of them announced its servers: one whose agent came back over another way is silent, and may be dead.
//
// Promises (security.md T-43, section 6.2):
//
//   - An agent is the SAN of its certificate and nothing else. It is given calls only to servers that the snapshot has with
//     this agent; whatever else it announces is not there.
//   - A tunnel is taken into account when both ends have said hello. Its end takes out itself and no other, however late.
//   - An agent that is denied loses its tunnels, and gets none.
//   - What came from another node is served by tunnels of this one alone (Local), so nothing goes in circles.
//   - A request is tried another way only if nothing of it was sent.
//   - A node that drains is not named for agents that are elsewhere, too, and serves the others until they have moved.
//   - An agent has a bounded number of tunnels here; the oldest ends for one more.
//   - What changes of an agent is told at once, and of one that comes and goes without end a few times in a second (news):
//     what comes between is told together. No withdrawal waits for longer than such a pause, and those of other agents do not.
package roster
