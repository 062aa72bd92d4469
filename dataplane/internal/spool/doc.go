// Package spool holds the audit events of a node until the control plane has committed them, on the node's disk.
//
//	call ──Intent──▶ ┌────────────── ring: one file, mapped into memory ──────────────┐
//	     ──Result──▶ │ … gone │ sent, not acked │ not sent yet │ free …               │ ──Push──▶ control plane
//	  ──Refusal────▶ └────────┴─────────────────┴──────────────┴──────────────────────┘
//	                          ▲ acked            ▲ sent          ▲ head
//
//	     ──Sync────▶ one call of the disk for all who wait, see commits
//
// A call copies an event that is already encoded into the ring and goes on: one short lock, no hashing, no network, and
// on Unix no system call. What is copied is the kernel's to keep from that moment, so it survives the death of the process. The one
// goroutine that pushes reads what is there, gives each event its link of the hash chain, and sends batches, several in
// flight. An ack covers a prefix; only that is forgotten. After a lost stream, everything that is not acked is sent again,
// byte for byte, and the ledger drops what it has.
//
// # Files
//
//	DIR/lock                      held while a queue is open
//	DIR/GENERATION-EPOCH.ring     head page: magic, epoch, secret, checkpoint of the last ack twice │ records
//	DIR/….ring.new                one that is being made
//	DIR/….ring.damaged            one whose head page cannot be read; for people
//
//	record: length │ CRC-32C │ sequence │ when │ event, padded to eight bytes
//
// The space of the ring is taken when the queue is opened: a disk that is full is noticed then, and not by a call. A
// process that starts leaves the rings that it finds as they are, hands them over first, oldest first and each under its own
// epoch, and writes into a new one; so the ledger knows that calls of the old one that have no result never get one. What
// older rings hold counts against the bound of the new one.
//
// # Promises
//
//   - Nothing accepted is dropped: an event leaves the queue by an ack. kill -9 loses nothing that Intent, Result or Refusal
//     returned from. A machine that loses power loses nothing that was accepted before a Sync that returned without an error.
//     It may lose what came later, of the last seconds; what the disk then has of that is handed over
//     behind a gap, which the ledger shows, under an epoch of its own.
//   - The queue is bounded in bytes. When it is full, Intent and Refusal return ErrFull, and the caller denies the call.
//     Refusals leave a quarter to the calls.
//   - A disk that fails while the ring is written makes the queue broken: every call is denied from then on (Err). So does one
//     that fails a Sync, but for results.
//   - An event is as large as MaxEvent at most. Of a larger one texts and lists are cut, and say so; it is never left out.
//   - Intent reserves the room of the result, so that the result of a call that was let through always fits.
package spool
