package spool

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
)

// Open returns a queue. What earlier processes left in its directory is in it, in front of what is to come. The directory is
// the caller's until Close; that another process has it is an error that names it.
func Open(config Config) (*Queue, error) {
	q := &Queue{
		config: config.withDefaults(),
		wake:   make(chan struct{}, 1),
		full:   make(chan struct{}, 1),
	}
	if config.Dir == "" {
		q.begin(newRing(inMemory(pageLen+int(q.config.Bytes)+maxRecord), newEpoch()))
		return q, nil
	}
	var err error
	if q.directory, err = openDirectory(config.Dir, q.config.Log); err != nil {
		return nil, err
	}
	if err := q.load(); err != nil {
		q.letGo()
		return nil, err
	}
	return q, nil
}

// newEpoch returns a random number other than 0, so that no sequence of an earlier queue is ever meant.
func newEpoch() uint64 {
	for {
		var raw [8]byte
		rand.Read(raw[:]) // never fails
		if epoch := binary.LittleEndian.Uint64(raw[:]); epoch != 0 {
			return epoch
		}
	}
}

// newSecret returns a random number.
func newSecret() uint32 {
	var raw [4]byte
	rand.Read(raw[:]) // never fails
	return binary.LittleEndian.Uint32(raw[:])
}

// load takes over what is in the directory, and makes a ring behind it.
func (q *Queue) load() error {
	rings, err := q.directory.left()
	generation := uint64(1)
	for _, r := range rings {
		generation = max(generation, r.generation+1)
		if err == nil {
			err = q.inherit(r)
		} else {
			err = errors.Join(err, r.memory.close())
		}
	}
	if err != nil {
		return err
	}
	if d := q.events; d > 0 {
		q.config.Log.Info("audit: events of an earlier process of this node are handed over first", "events", d, "bytes", q.bytes)
	}
	r, err := q.directory.create(newEpoch(), generation, q.config.Bytes)
	if err != nil {
		return err
	}
	q.begin(r)
	return nil
}

// inherit queues what nobody has acked of a ring that an earlier process left.
func (q *Queue) inherit(r *ring) error {
	runs, err := r.recover()
	if err == nil && len(runs) == 0 {
		return r.discard()
	}
	for _, run := range runs {
		events, bytes, failed := run.size()
		if err = errors.Join(err, failed); err != nil {
			break
		}
		if run.epoch != r.epoch {
			q.config.Log.Error("audit: records are missing between those on the disk; what is behind them is handed over under an epoch of its own",
				"missing", run.start.sequence-run.base, "found", events, "file", r.memory.file.Name())
		}
		q.tails = append(q.tails, &tail{
			ring: r, epoch: run.epoch, base: run.base, end: run.end, acked: run.start, sent: run.start, head: run.end, highest: run.end.sequence,
		})
		q.events += events
		q.bytes += bytes
	}
	if err != nil {
		return errors.Join(fmt.Errorf("read the audit queue %s of an earlier process: %w", r.memory.file.Name(), err), r.memory.close())
	}
	q.tails[len(q.tails)-1].last = true
	q.bytes += pageLen
	return nil
}

// begin makes a ring the one that is written to.
func (q *Queue) begin(r *ring) {
	q.ring = r
	q.tails = append(q.tails, &tail{ring: r, epoch: r.epoch})
}

// current returns the tail that is handed over now.
func (q *Queue) current() *tail { return q.tails[q.front.Load()] }

// head returns where the records of a tail end at this moment.
func (q *Queue) head(t *tail) position {
	if t.ring != q.ring {
		return t.end
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.ring.head
}

// pass goes on to the next tail if everything of the present one is acked, and removes a ring of which nothing is needed.
// One goroutine at a time calls it.
func (q *Queue) pass() {
	for t := q.current(); t.ring != q.ring && t.finished(t.end); t = q.current() {
		q.front.Add(1)
		t.retire()
		if !t.last {
			continue
		}
		q.release(0, pageLen)
		if err := t.ring.discard(); err != nil {
			// It is found again at the next start, and has nothing to hand over.
			q.config.Log.Warn("audit: a file that is not needed any more cannot be removed", "error", err)
		}
	}
}

// Close ends the queue, once Push has returned. What is not acked stays in its directory for the next that opens it; from
// now on nothing is accepted.
func (q *Queue) Close() error {
	q.pushing.Lock()
	defer q.pushing.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if errors.Is(q.broken, errClosed) {
		return nil
	}
	q.broken = errClosed
	var errs []error
	for _, t := range q.tails[q.front.Load():] {
		t.retire()
		switch {
		case t.ring != q.ring && t.last:
			errs = append(errs, t.ring.memory.close())
		case t.ring == q.ring && q.events == 0:
			errs = append(errs, t.ring.discard())
		case t.ring == q.ring:
			errs = append(errs, t.ring.memory.close())
		}
	}
	q.letGo()
	return errors.Join(errs...)
}

// letGo leaves the directory to others.
func (q *Queue) letGo() {
	if q.directory != nil {
		q.directory.lock.Release()
	}
}
