package wire

import "sync"

// Bounds of a Box.
const (
	boxMessages = 256
	boxBytes    = 4 << 20
)

// Box holds what is to be told to one reader, in order. It is bounded: a message that finds no room is refused, and the
// one who puts it in decides what that means. Messages in it belong to the reader.
type Box struct {
	mu       sync.Mutex
	messages [][]byte
	bytes    int
	ready    chan struct{}
}

// NewBox returns an empty box.
func NewBox() *Box { return &Box{ready: make(chan struct{}, 1)} }

// Put adds a message and reports whether there was room.
func (b *Box) Put(message []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.messages) >= boxMessages || b.bytes+len(message) > boxBytes && len(b.messages) > 0 {
		return false
	}
	b.messages = append(b.messages, message)
	b.bytes += len(message)
	select {
	case b.ready <- struct{}{}:
	default: // The reader has been told.
	}
	return true
}

// Ready is sent to when there may be something to take.
func (b *Box) Ready() <-chan struct{} { return b.ready }

// Take empties the box and returns what was in it.
func (b *Box) Take() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	messages := b.messages
	b.messages, b.bytes = nil, 0
	return messages
}
