package upstream

import (
	"errors"
	"sync/atomic"

	"github.com/warder-gateway/warder/internal/mcp"
)

const (
	// freeBytes is what each answer may hold without being counted. Nearly all stay below it, and pay nothing for the budget.
	freeBytes = keepBuffer

	// callBytes is what a server's budget has for each call that it may have at a time, and maxBudget the most that this
	// comes to, in bytes.
	callBytes = 512 << 10
	maxBudget = 1 << 30

	// largestAnswer is how often the largest message may lie in memory while one answer is made of it: as a line, as an
	// event, and as the client gets it. A budget has room for one such answer and some more, whatever else it is.
	largestAnswer = 4
)

// errOverBudget ends the reading of a message for which its server's budget has no room.
var errOverBudget = errors.New("the answers of the server hold as many bytes as they may")

// budget bounds the bytes that what one server sends holds on this node at a time: from when it is read until the client
// has taken it, so that a server with large answers, or its clients that take them slowly, cannot fill the memory.
//
//	read ──beyond freeBytes──▶ hold ──larger──▶ hold ─┬─ rewritten ─▶ Answer ─▶ written to the client ─▶ released
//	                            └─ full: the call fails  └─ an event that came before the answer ─▶ passed on ─▶ released
//
// Nobody waits for room: what holds the budget may be a client that is in no hurry.
type budget struct {
	size    int64
	taken   atomic.Int64
	refused atomic.Uint64
}

// newBudget returns the budget of a server that may have so many calls at a time.
func newBudget(config *Config, calls int64) budget {
	size := config.AnswerBytes
	if size == 0 {
		size = max(min(calls, maxBudget/callBytes)*callBytes, largestAnswer*int64(config.MessageBytes))
	}
	return budget{size: size}
}

// holding is what one message, or one answer, has of a budget. It is for one goroutine, and must be released.
type holding struct {
	budget *budget
	bytes  int64 // beyond freeBytes
}

// resize makes the hold one of n bytes. Without room it reports false, and changes nothing; for fewer bytes there always is.
func (h *holding) resize(n int) bool {
	want := max(0, int64(n)-freeBytes)
	more := want - h.bytes
	if more == 0 {
		return true
	}
	if h.budget.taken.Add(more) > h.budget.size && more > 0 {
		h.budget.taken.Add(-more)
		h.budget.refused.Add(1)
		return false
	}
	h.bytes = want
	return true
}

// release gives everything back. It may be called more than once.
func (h *holding) release() {
	if h.bytes > 0 {
		h.budget.taken.Add(-h.bytes)
		h.bytes = 0
	}
}

// move returns the hold and leaves one of nothing.
func (h *holding) move() holding {
	moved := *h
	h.bytes = 0
	return moved
}

// overBudget explains that there was no room. That says nothing of the server's health.
func (e *endpoint) overBudget() *failure {
	return e.fail(mcp.CodeUnavailable, errOverBudget, "the answers of server %q that are in flight hold as many bytes as they may (%d), "+
		"and this one did not fit; the call may have been carried out", e.budget.size)
}

// Release says that the answer has been written, or that nobody wants it. It may be called more than once, by one goroutine.
func (a *Answer) Release() { a.hold.release() }
