package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

const (
	// inboxMessages and inboxBytes are how many messages, and of how many bytes together, wait for the reader of an inbox;
	// a larger one waits alone. While there is no room, the line waits.
	inboxMessages = 16
	inboxBytes    = 1 << 20

	// inboxPatience is how long the line waits for one reader; then that one's inbox ends.
	inboxPatience = 10 * time.Second
)

// errSlow ends an inbox whose reader did not read.
var errSlow = errors.New("messages were not taken in time")

// sseInbox is where the messages for one reader arrive: bounded in their number, in their bytes, and by what the answers
// of the server may hold on this node. One goroutine puts, another reads.
type sseInbox struct {
	line *sseLine
	id   string // of the request; empty for that of hear

	more chan struct{} // has a token when there is something for the reader to see
	room chan struct{} // has a token when there is something for who puts to see

	mu      sync.Mutex
	waiting []letter
	bytes   int     // of those that wait
	err     error   // why nothing is put any more; nil: something may be
	read    holding // of the message that the reader has
}

// letter is a message that waits, and what it has of the server's budget.
type letter struct {
	message []byte
	hold    holding
}

func (l *sseLine) newInbox(id string) *sseInbox {
	return &sseInbox{line: l, id: id, more: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// put hands a copy of a message over. It waits for a slow reader, but for a time only. A message for which the server's
// budget has no room ends the inbox.
func (in *sseInbox) put(message []byte) {
	if in.try(message) {
		return
	}
	timer := time.NewTimer(inboxPatience)
	defer timer.Stop()
	for !in.try(message) {
		select {
		case <-in.room:
		case <-in.line.over:
			return
		case <-timer.C:
			in.forget()
			in.end(errSlow)
			return
		}
	}
}

// try reports whether put has nothing left to do.
func (in *sseInbox) try(message []byte) (done bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.err != nil:
		return true
	case len(in.waiting) >= inboxMessages, len(in.waiting) > 0 && in.bytes+len(message) > inboxBytes:
		return false
	}
	next := letter{hold: holding{budget: &in.line.endpoint.budget}}
	if !next.hold.resize(len(message)) {
		in.err = errOverBudget
	} else {
		next.message = bytes.Clone(message)
		in.waiting = append(in.waiting, next)
		in.bytes += len(message)
	}
	wake(in.more)
	return true
}

// wake leaves a token, unless there is one.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// next returns what has arrived before it says that nothing more will.
func (in *sseInbox) next(ctx context.Context) ([]byte, error) {
	for {
		message, err := in.take()
		if message != nil || err != nil {
			return message, err
		}
		select {
		case <-in.more:
		case <-in.line.over:
			// What arrived just before the line ended comes first.
			if message, err := in.take(); message != nil || err != nil {
				return message, err
			}
			return nil, in.line.inboxError()
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// take returns the next message that waits, or why there will be none; neither, if one may still come.
func (in *sseInbox) take() ([]byte, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.read.release()
	if len(in.waiting) == 0 {
		return nil, in.err
	}
	first := in.waiting[0]
	in.waiting[0] = letter{}
	in.waiting = in.waiting[1:]
	in.bytes -= len(first.message)
	in.read = first.hold
	wake(in.room)
	return first.message, nil
}

// close gives the inbox up. It may be called more than once.
func (in *sseInbox) close() {
	in.forget()
	in.end(io.EOF)
	in.mu.Lock()
	defer in.mu.Unlock()
	in.read.release()
	for i := range in.waiting {
		in.waiting[i].hold.release()
	}
	in.waiting, in.bytes = nil, 0
}

// end lets nothing more be put.
func (in *sseInbox) end(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err == nil {
		in.err = err
	}
	wake(in.more)
	wake(in.room)
}

// forget takes the inbox out of the line's tables.
func (in *sseInbox) forget() {
	l := in.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.heard == in {
		l.heard = nil
	}
	if l.asks[in.id] != in {
		return
	}
	delete(l.asks, in.id)
	for i, other := range l.latest {
		if other == in {
			l.latest = append(l.latest[:i], l.latest[i+1:]...)
			return
		}
	}
}
