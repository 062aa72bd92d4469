package notice

import (
	"iter"
	"sync"
)

// The bounds of a queue. A single message may be larger than maxQueueBytes if nothing else waits.
const (
	maxQueueMessages = 64
	maxQueueBytes    = 256 << 10
)

// kinds is a set of lists that changed.
type kinds uint8

// The lists that clients are told of. A change of the templates is one of the resources.
const (
	kindTools kinds = 1 << iota
	kindPrompts
	kindResources
)

func kindsOf(tools, prompts, resources bool) (set kinds) {
	if tools {
		set |= kindTools
	}
	if prompts {
		set |= kindPrompts
	}
	if resources {
		set |= kindResources
	}
	return set
}

// queue holds what a client has not taken yet. List changes merge per kind and take no room; an update of a resource of
// which one waits already says nothing new. Everything else takes a place, and if there is none, the stream has to be
// closed: a client must not miss a message without knowing.
type queue struct {
	wake chan struct{} // has a token if something may have come

	mu       sync.Mutex
	lists    kinds
	messages []queued
	bytes    int
}

type queued struct {
	message []byte
	updated string // the resource, if it is an update: the slug, a space, and the server's URI
}

// change adds list changes.
func (q *queue) change(lists kinds) {
	if lists == 0 {
		return
	}
	q.mu.Lock()
	q.lists |= lists
	q.mu.Unlock()
	q.signal()
}

// push adds a message, which the queue owns from then on, and reports whether there was room. An update names its
// resource; for other messages that is empty.
func (q *queue) push(message []byte, updated string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if updated != "" && q.waits(updated) {
		return true
	}
	if n := len(q.messages); n >= maxQueueMessages || n > 0 && q.bytes+len(message) > maxQueueBytes {
		return false
	}
	q.messages = append(q.messages, queued{message, updated})
	q.bytes += len(message)
	q.signal()
	return true
}

func (q *queue) waits(updated string) bool {
	for i := range q.messages {
		if q.messages[i].updated == updated {
			return true
		}
	}
	return false
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// take yields what waits until nothing does. What is yielded has left the queue; write makes the message of a list change.
func (q *queue) take(write func(kinds) []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for {
			lists, message := q.next()
			if lists == 0 && message == nil {
				return
			}
			if message != nil {
				if !yield(message) {
					return
				}
				continue
			}
			for kind := kindTools; kind <= kindResources; kind <<= 1 {
				if lists&kind != 0 && !yield(write(kind)) {
					return
				}
			}
		}
	}
}

// next takes the list changes, or else one message.
func (q *queue) next() (kinds, []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if lists := q.lists; lists != 0 {
		q.lists = 0
		return lists, nil
	}
	if len(q.messages) == 0 {
		return 0, nil
	}
	message := q.messages[0].message
	q.bytes -= len(message)
	q.messages[0] = queued{}
	if q.messages = q.messages[1:]; len(q.messages) == 0 {
		q.messages = nil // an idle stream holds no queue
	}
	return 0, message
}
