// Package ledger takes in what nodes record and shows it.
//
//	node ──batch──▶ Push ──▶ Append ─┬─▶ audit_record  the bytes, exactly as sent
//	     ◀──ack, after commit────────┤   audit_head    how far, and the chain's last hash
//	                                 └─▶ audit_call    one row a call, decoded
//	                                       ▲
//	             intent (or refusal) makes the row, result completes it
//
// It promises:
//
//   - An ack means committed. It covers every record below it.
//   - A record is taken once: what a node sends again is known by its sequence,
//     under a lock of the queue's head, and must be what it was.
//   - A batch whose hash chain does not go on where the queue's head ended is
//     refused whole, with a status that says so, and counted: to accept it would
//     hide that something was changed or forked. The node keeps it.
//   - A gap is never silent, and never stops a queue: a database that was restored
//     from a backup lacks what nodes have long forgotten. What comes behind it is
//     taken, and the gap stands in the audit of administrators, in the log and in
//     a metric.
//   - No content of a record can stop a queue. Text is made fit for PostgreSQL
//     (control characters escaped, invalid UTF-8 cannot be decoded in the first
//     place, length cut); a record that is no event, or an event that is no call,
//     is kept as bytes, gets no row, and is counted.
//   - A call without a result, whose queue has ended, becomes unknown.
//
// Readers use the queries of table audit_call. A tail follows the order in which
// outcomes were committed (settled, id) up to the horizon, and so misses none that
// commits late.
package ledger
