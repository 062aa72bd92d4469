package publisher

import "context"

// AwaitNodes returns when every node connected to this replica has answered for
// a revision, or a later one, by an ack or a nack; or when ctx ends, which it
// does not tell apart. A node that connects meanwhile counts as well, and one
// that leaves no longer does.
//
// It lets an administrator's next act rest on the last one: what was revoked is
// refused. Nodes at other replicas are not waited for.
func (p *Publisher) AwaitNodes(ctx context.Context, revision uint64) {
	for {
		done, progress := p.settled(revision)
		if done {
			return
		}
		select {
		case <-progress:
		case <-ctx.Done():
			return
		}
	}
}

// settled reports whether all connected nodes have answered for revision, and
// what is closed when that may have changed.
func (p *Publisher) settled(revision uint64) (bool, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	latest := p.history.latest()
	if latest == nil {
		return true, nil // Cold: no node has a stream.
	}
	if latest.Revision() < revision {
		return false, p.changed
	}
	for _, c := range p.streams {
		if c.answered < revision {
			return false, p.progress
		}
	}
	return true, nil
}

// settle notes that a conversation's node answered for a revision.
func (p *Publisher) settle(c *conversation, revision uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.answered = max(c.answered, revision)
	p.wake()
}

// wake lets those who await nodes look again. The caller holds the lock.
func (p *Publisher) wake() {
	close(p.progress)
	p.progress = make(chan struct{})
}
