// Package directory knows the agents: it tells them what to run, reaches their
// servers, and tells nodes where they are.
//
//	rows of servers, nodes ──feed──▶ orders ──Follow──▶ agent
//	agent table ◀── report, once a second ◀── Follow ──── agent
//	catalog.Discoverer ─Reach─▶ tunnel ◀────── Attach ─── agent
//	node ─Attached─▶ attachment ┐
//	                            ├─NOTIFY, poll─▶ world ─Locations─▶ every node of every replica
//	agent ───report─▶ tunnels ──┘
//
// An agent follows one replica and has its tunnel to the same, behind a balancer too:
// both streams go over one connection, whose TLS ends here. That replica alone discovers
// its servers; one that is added at another replica is discovered as soon as the agent
// has taken it. Rows are the truth: what is here of an agent is its streams, and what has
// gone over them.
//
// It promises:
//   - Orders are complete each time, and say nothing of another agent's servers. They
//     are sent when something of them has changed, and only then.
//   - Of two streams of one agent the later one counts, at whatever replica.
//   - A slow agent holds up nobody: it gets the latest orders, not each; of its reports
//     the latest is written.
//   - Where agents are is told to nodes a few times in a second at the most, however often
//     it changes, and the latest alone.
//   - What nodes say of agents counts for agents that were let in, and for servers that
//     are theirs.
//   - An agent is where both sides say: the node, and the agent by its own certificate. A
//     node that was taken over and claims agents gets no calls of other nodes for them.
//
// The last rule has no grace for the node's word: it would get that anew with each claim.
// Instead agents report other tunnels at once, and that is written at once. There is grace
// for the agent's: what it said last counts for a while after its stream is lost, and the
// silence of a time in which nobody could hear, before a start or while the database was
// away, is none. So for that long, a node to which an agent had a tunnel when it went away
// can claim it still; and a node to which agents have tunnels gets the calls that come by
// them, which no rule here can help: revoke it.
package directory
