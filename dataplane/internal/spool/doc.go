// Package spool holds the audit events of a node until the control plane has committed them.
//
//	call ──Intent──▶ ┌───────────────────────── Queue ─────────────────────────┐
//	     ──Result──▶ │ fresh ──take, number, chain──▶ in flight ──ack──▶ gone  │ ──Push──▶ control plane
//	  ──Refusal────▶ └──────────────────────────────────────────────────────────┘
//
// A call appends an event that is already encoded and goes on: one short lock, no hashing, no network. The one goroutine
// that pushes takes what is there, gives each event its sequence (from 1, without gaps) and its link of the hash chain,
// and sends batches, several in flight. An ack covers a prefix and only that is forgotten; after a lost stream, everything
// that is not acked is sent again, byte for byte, and the ledger drops what it has.
//
// Promises:
//
//   - Nothing accepted is dropped: an event leaves the queue by an ack, or its loss at the end of the process is logged
//     with a count. The log on disk that ends this loss comes later, behind the same functions.
//   - The queue is bounded in events and in bytes. When it is full, Intent and Refusal return ErrFull, and the caller
//     denies the call. Refusals leave a quarter to the calls.
//   - An event is as large as MaxEvent at most. Of a larger one texts and lists are cut, and say so; it is never left out.
//   - Intent reserves the room of the result, so that the result of a call that was let through always fits.
package spool
