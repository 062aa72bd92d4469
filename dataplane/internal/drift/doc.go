// Package drift holds calls to a server that said that it offers something else
// than before, until the node has seen for itself what that is (security.md T-04).
//
//	list_changed ──Suspect──▶ doubt about each of the server's lists
//	                             │
//	call ──Check──▶ no doubt ────┼──────────────▶ goes on; costs one atomic load
//	                doubtful ────▼
//	                       list it again, once for all calls that wait
//	                             │
//	             what was approved is there ──▶ the doubt is gone, calls go on
//	             something else, or nothing ──▶ those calls are refused until it is there again,
//	                                            or a person approved what is there instead
//
// The catalogue is told of the same notification, and takes what changed from all
// nodes. This package is about the time until then, and about a node whose control
// plane is away: it compares with what the snapshot holds as approved.
//
// Promises:
//
//   - A call that arrives after the notification is not forwarded before the list
//     was read after that notification, and had the definition that was approved.
//   - No call waits longer than HoldTime; then it is refused. A list that cannot be
//     read is no proof: calls are refused.
//   - Nothing is asked of a server that nobody calls. Of one that says all the time
//     that it changed, each list is read by one reader at a time, and at most once
//     for each call.
//   - What is kept is bounded by the servers of the snapshot.
package drift
