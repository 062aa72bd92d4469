package spool

import (
	"bytes"
	"time"
)

// entry is one accepted event: its bytes, and when it came, as time since the start of the queue.
type entry struct {
	event []byte
	at    time.Duration
}

// arenaLen is how many bytes of events share one piece of memory. An event of more than an eighth of it has memory of its
// own, so that no piece is left with more than that unused.
const arenaLen = 32 << 10

// arena keeps encoded events, many of them in one piece of memory, which the collector has when the last of them is
// acked. They are acked in the order in which they came, so that little more is held than what waits. It is not safe for
// concurrent use.
type arena struct{ piece []byte }

// keep returns a copy of an event.
func (a *arena) keep(event []byte) []byte {
	if len(event) > arenaLen/8 {
		return bytes.Clone(event)
	}
	if len(a.piece)+len(event) > cap(a.piece) {
		a.piece = make([]byte, 0, arenaLen)
	}
	start := len(a.piece)
	a.piece = append(a.piece, event...)
	return a.piece[start:len(a.piece):len(a.piece)]
}

// chunkLen is how many entries one chunk of a backlog holds.
const chunkLen = 512

// backlog is a first-in, first-out list in chunks. It grows without moving what it holds, so that appending under the
// lock of the calls costs the same at any depth. It is not safe for concurrent use.
type backlog struct {
	chunks [][]entry
	head   int // of the first chunk: entries already popped
	count  int
}

func (b *backlog) len() int { return b.count }

func (b *backlog) append(e entry) {
	last := len(b.chunks) - 1
	if last < 0 || len(b.chunks[last]) == chunkLen {
		b.chunks = append(b.chunks, make([]entry, 0, chunkLen))
		last++
	}
	b.chunks[last] = append(b.chunks[last], e)
	b.count++
}

// front returns the oldest entry. There must be one.
func (b *backlog) front() entry { return b.chunks[0][b.head] }

// pop removes the oldest entry. There must be one.
func (b *backlog) pop() {
	b.chunks[0][b.head] = entry{}
	b.head++
	b.count--
	if b.head == len(b.chunks[0]) {
		b.chunks[0] = nil
		b.chunks = b.chunks[1:]
		b.head = 0
	}
}

// oldest returns when the oldest entry came, if there is one.
func (b *backlog) oldest() (time.Duration, bool) {
	if b.count == 0 {
		return 0, false
	}
	return b.front().at, true
}
