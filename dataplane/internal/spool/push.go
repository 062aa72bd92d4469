package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	"google.golang.org/grpc"
)

// Push opens one stream and sends over it what the queue holds and what comes, from the first event that is not acked. It
// returns when the stream or ctx ends, and always with an error; the caller waits a moment and calls again. Nothing is
// lost in between.
func (q *Queue) Push(ctx context.Context, client auditv1.AuditServiceClient) error {
	if !q.pushing.TryLock() {
		return errors.New("push audit: another push is running")
	}
	defer q.pushing.Unlock()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stream, err := client.Push(ctx, wire)
	if err != nil {
		return fmt.Errorf("push audit: open stream: %w", err)
	}

	received := make(chan struct{})
	go func() {
		defer close(received)
		cancel(q.receive(stream))
	}()
	err = q.send(ctx, stream)
	if errors.Is(err, io.EOF) {
		// The stream broke; why, only the receiver knows.
		<-received
		err = context.Cause(ctx)
	}
	cancel(err)
	<-received
	return fmt.Errorf("push audit: %w", err)
}

// stream is the node's side of a push.
type stream = grpc.BidiStreamingClient[auditv1.PushRequest, auditv1.PushResponse]

// send sends batches until ctx or the stream ends: first what earlier processes left. Each epoch begins with a batch
// without records, which has the ledger say what it has already, and end the epochs before.
func (q *Queue) send(ctx context.Context, stream stream) error {
	var begun *tail
	for {
		t := q.current()
		records := (*message)(nil)
		if t != begun {
			t.rewind()
			begun, records = t, newMessage(t.epoch)
		} else {
			var err error
			if records, err = q.next(ctx, t); err != nil {
				return err
			}
			if records == nil {
				continue // Everything of that tail is acked.
			}
		}
		if err := stream.SendMsg(records); err != nil {
			return err
		}
	}
}

// receive applies acks until the stream ends.
func (q *Queue) receive(stream stream) error {
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return errors.New("the control plane closed the stream")
		}
		if err != nil {
			return err
		}
		t := q.of(response.GetEpoch())
		if t == nil {
			return fmt.Errorf("ack for epoch %d, but this is epoch %d", response.GetEpoch(), q.current().epoch)
		}
		events, bytes, err := t.ack(response.GetAckedSequence())
		if err != nil && events > 0 {
			// The room is not given back: what is in it would be overwritten while the disk says that it is needed.
			q.fail(broken("written", err))
		}
		if err != nil {
			return err
		}
		q.release(events, bytes)
		q.pass()
		q.nudge(false)
	}
}

// of returns the tail of an epoch, up to the one that is handed over now; nil if there is none.
func (q *Queue) of(epoch uint64) *tail {
	for _, t := range q.tails[:q.front.Load()+1] {
		if t.epoch == epoch {
			return t
		}
	}
	return nil
}

// next waits for the window to open and for events, and returns the next batch; nil if the tail is not the present one any
// more.
func (q *Queue) next(ctx context.Context, t *tail) (*message, error) {
	for q.current() == t {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if err := q.linger(ctx, t); err != nil {
			return nil, err
		}
		records, err := t.batch(&q.config)
		if err != nil {
			// Nothing behind it goes out of this process. The next one shows the hole.
			q.fail(broken("read", err))
			return nil, err
		}
		if records != nil {
			return records, nil
		}
		select {
		case <-ctx.Done():
		case <-q.wake:
		}
	}
	return nil, nil
}

// linger waits a moment if there is something to send, but less than a batch of it: a few events per message would cost
// more than the events themselves. Then it looks how much there is.
func (q *Queue) linger(ctx context.Context, t *tail) error {
	select {
	case <-q.full: // of a batch that has been taken, or will be at once
	default:
	}
	sent, lacks := t.short(&q.config)
	if !lacks || t.ring != q.ring {
		return nil // Nothing joins what was left behind.
	}
	if q.awaitCompany(sent) {
		timer := time.NewTimer(q.config.Linger)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		case <-q.full:
		}
	}
	t.see(q.head(t))
	return nil
}

// awaitCompany reports whether there is something to send but no batch full of it, and has calls tell when there is. Sent is
// the last sequence that was.
func (q *Queue) awaitCompany(sent uint64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := int(q.ring.head.sequence - sent)
	if n == 0 || n >= q.config.BatchEvents {
		return false
	}
	q.company = q.config.BatchEvents - n
	return true
}

// Flush waits until everything accepted is acked, results of running calls included, for which Push must be running. It
// waits as long as acks come: a backlog may be larger than what one patience is enough for. If none came for that long, or
// ctx ends first, it logs how many events stay on the disk; where there is none, or it has failed, it logs how many are lost
// and returns an error that says so.
func (q *Queue) Flush(ctx context.Context, patience time.Duration) error {
	if err := q.await(ctx, patience); err == nil {
		return nil
	}
	d := q.Depth()
	if d.Events == 0 && d.Reserved == 0 {
		return nil
	}
	if q.directory != nil && q.Err() == nil {
		q.config.Log.Warn("audit: the control plane has not taken all events; the rest waits on the disk for the next start of this node",
			"events", d.Events, "calls_without_result", d.Reserved, "oldest", d.Oldest, "directory", q.directory.path)
		return nil
	}
	q.config.Log.Error("audit: events were never acknowledged by the control plane and end with this process",
		"lost", d.Events, "calls_without_result", d.Reserved, "bytes", d.Bytes, "oldest", d.Oldest, "epoch", q.Epoch())
	return fmt.Errorf("flush audit: %d events and %d results lost: %w", d.Events, d.Reserved, cmp.Or(context.Cause(ctx), errNoAcks))
}

var errNoAcks = errors.New("the control plane takes no more of them")

// await waits until nothing is held, and returns errNoAcks or the cause of ctx if it gives up.
func (q *Queue) await(ctx context.Context, patience time.Duration) error {
	empty, began := q.drained(), time.Now()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		select {
		case <-empty:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		silent := time.Since(q.lastAck(began))
		if silent >= patience {
			return errNoAcks
		}
		timer.Reset(patience - silent)
	}
}

// lastAck returns when events were acked last, or the time given if that is later.
func (q *Queue) lastAck(since time.Time) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.acked.After(since) {
		return q.acked
	}
	return since
}

// drained returns a channel that is closed as soon as nothing is held.
func (q *Queue) drained() <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.empty == nil {
		q.empty = make(chan struct{})
	}
	empty := q.empty
	if q.events == 0 {
		close(q.empty)
		q.empty = nil
	}
	return empty
}
