// Package limit is what calls may still take of the limits of the policy.
//
//	call ─▶ Take: one token of each limit that is about it, or of none ─▶ on
//	                        │
//	   bucket of "user ana" under the limit "per-user": tokens, refilled at
//	   calls ÷ window × this node's share
//	                        │
//	Demand (each second) ──▶ control plane ──▶ SetShares
//
// A limit holds for all nodes together, and no call asks another node. So each node
// has a share of each bucket, and the control plane moves the shares to where the calls
// are. Until it has spoken of a bucket, and for those that it does not speak of, a node
// has its even part; while it is away, the last shares stay in force. What all nodes
// admit together is the limit, but for the seconds in which shares move, and for one
// call at each node: a bucket that is new holds one token at least, since the first call
// of a user must not be refused because there are many nodes.
//
// A bucket that is as full as it can be is the same as none, so it is forgotten when
// room is needed. There are at most maxBuckets. If none of them can be forgotten, names
// that come new share one bucket for each limit (and shard): that admits too little,
// never too much.
package limit
