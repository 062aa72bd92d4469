// Package uplink keeps an agent connected: it reports to the control plane and hears its orders, and dials the tunnels
// through which the agent's servers are called.
//
//	           ┌─ follow ──reports──▶ control plane ──orders──▶ file, 0600
//	inventory ─┤                                          ├──▶ nodes    ─▶ pilot ══ tunnels ══▶ nodes
//	           │                                          ├──▶ allowed  ─▶ crier ── states ──▶ all tunnels
//	           │                                          └──▶ assigned ─▶ inventory
//	           └─ tunnel of its own ══▶ control plane, which asks what the servers offer; over the connection of follow,
//	                                    so that both reach the same replica of it
//
// Which nodes (pilot): of those that neither drain nor have just failed, the nearest of the agent's own region, then the
// nearest beyond it. Nodes that are about equally near come in an order that differs between agents, so that these
// spread. Near is measured: by the pings of a tunnel, and without one by a TLS handshake.
//
//	none ──chosen──▶ dialling ──hello──▶ up ──drains, gone, a better one is up──▶ retiring ──calls ended──▶ none
//	  ▲                 │                 │                                          │
//	  └──pause, longer each time, of random length──◀── failed, lost ◀───────────────┘
//
// Promises:
//
//   - A tunnel that is lost, or whose node drains, is replaced at once, if there is any other node. One is given up for a
//     better node only after that has a tunnel, and only one at a time: by pauses of about half a minute, after it was
//     much worse twice, and for a node that has not failed for two minutes. Once decided, that is not measured again when
//     the better one is there: nodes at the edge of being near do not take turns.
//   - To one node there is one tunnel at a time. The next is dialled after all of the last has ended, so that what is left of
//     the one cannot undo the other (security.md 6.2).
//   - A tunnel is given up by telling the node first; calls that run there end before it does, for DrainTime at most.
//   - Nodes hear of a server that crashed as soon as the inventory does.
//   - Only servers that the orders allow are announced and served, whoever asks (security.md T-43). Before the first orders
//     that is none.
//   - Without the control plane the last orders hold, also after a restart. They are kept with the environment of assigned
//     servers, which is secret, in a file for the agent's user alone, beside the key of its identity: who reads the one can
//     be the agent, and ask for the other. Sealing it with a key that lies beside it would hide nothing.
//   - The control plane hears which orders are in force as soon as the servers are as they say, and not before; a receipt of
//     one stream says nothing on the next.
//   - Orders without any node do not end the tunnels that there are: a control plane that has just begun knows no nodes yet.
package uplink
