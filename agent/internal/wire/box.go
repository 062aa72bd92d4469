package wire

import (
	"sync"

	"github.com/warder-gateway/warder/internal/budget"
)

// Bounds of a Box.
const (
	boxMessages = 256
	boxBytes    = 4 << 20
)

// Box holds what is to be told to one reader, in order. It is bounded, by itself and by its budget: a message that finds
// no room is refused, and the one who puts it in decides what that means.
type Box struct {
	budget *budget.Budget

	mu       sync.Mutex
	messages [][]byte
	bytes    int // of messages
	lent     int // bytes of what was taken last
	closed   bool
	missed   bool
	ready    chan struct{}
}

// NewBox returns an empty box.
func NewBox(budget *budget.Budget) *Box { return &Box{budget: budget, ready: make(chan struct{}, 1)} }

// Put adds a message and reports whether there was room.
func (b *Box) Put(message []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	room := len(b.messages) < boxMessages && (b.bytes+len(message) <= boxBytes || len(b.messages) == 0) && b.budget.Hold(len(message))
	if room {
		b.messages = append(b.messages, message)
		b.bytes += len(message)
	} else {
		b.missed = true
	}
	select {
	case b.ready <- struct{}{}:
	default: // The reader has been told.
	}
	return room
}

// Missed reports whether a message has found no room since it was asked last, for readers that can make up for one.
func (b *Box) Missed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	missed := b.missed
	b.missed = false
	return missed
}

// Ready is sent to when there may be something to take, or something was missed.
func (b *Box) Ready() <-chan struct{} { return b.ready }

// Take empties the box and returns what was in it. The messages are the reader's, and count for the budget until it takes
// again, or closes the box: a reader that is slow to pass them on holds them all the while.
func (b *Box) Take() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.budget.Give(b.lent)
	messages := b.messages
	b.messages, b.lent, b.bytes = nil, b.bytes, 0
	return messages
}

// Close gives up the box and what is in it. It takes nothing any more. It may be called again.
func (b *Box) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.budget.Give(b.lent + b.bytes)
	b.messages, b.lent, b.bytes, b.closed = nil, 0, 0, true
}
