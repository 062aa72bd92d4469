// Package budget bounds what messages of others hold in memory together, in bytes.
//
//	Budget of an agent, or a node ◀──Share── Budget of one server, or one peer ◀── Hold, Give
//
// When a budget is full nothing waits: what holds it may be someone who is in no hurry, and who would wait reads for others,
// too. What finds no room is refused, and whoever holds says what that means: a notice is dropped, a call whose answer finds
// no room fails, and a request that finds none is refused before anything is done for it.
package budget

import (
	"errors"
	"io"
	"sync/atomic"
)

// ErrFull says that there was no room for what came.
var ErrFull = errors.New("as many bytes are held as may be")

// Budget is so many bytes. It may be used from many goroutines. A nil Budget has no bound.
type Budget struct {
	parent *Budget
	limit  int64
	used   atomic.Int64
}

// New returns a budget of so many bytes.
func New(limit int) *Budget { return &Budget{limit: int64(limit)} }

// Share returns a budget of so many bytes, each of which counts for b as well: one part cannot take what all have.
func (b *Budget) Share(limit int) *Budget { return &Budget{parent: b, limit: int64(limit)} }

// Hold takes bytes, and reports whether there was room. They are to be given back by Give.
func (b *Budget) Hold(bytes int) bool {
	if b == nil {
		return true
	}
	if b.used.Add(int64(bytes)) > b.limit || !b.parent.Hold(bytes) {
		b.used.Add(-int64(bytes))
		return false
	}
	return true
}

// Give gives bytes back.
func (b *Budget) Give(bytes int) {
	if b == nil {
		return
	}
	b.used.Add(-int64(bytes))
	b.parent.Give(bytes)
}

// Held returns how many bytes are taken.
func (b *Budget) Held() int {
	if b == nil {
		return 0
	}
	return int(b.used.Load())
}

// Metered reads what is to be kept, and counts it for a budget. It fails with ErrFull when that is spent.
type Metered struct {
	io.Reader
	Budget *Budget

	held int
}

// Read implements io.Reader.
func (m *Metered) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if !m.Budget.Hold(n) {
		return 0, ErrFull
	}
	m.held += n
	return n, err
}

// Release gives back what was read.
func (m *Metered) Release() {
	m.Budget.Give(m.held)
	m.held = 0
}
