package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/audit"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/identity"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// maxRecords bounds one batch. The size of a message bounds its bytes.
const maxRecords = 10_000

// unacceptable is why a batch is not taken: a label of the metric, and a fault.
type unacceptable struct {
	reason string
	fault  *fault.Error
}

// Error returns the fault's text.
func (r *unacceptable) Error() string { return r.fault.Error() }

// Unwrap returns the fault.
func (r *unacceptable) Unwrap() error { return r.fault }

// Push takes the batches of one node, one after another, and acks each after it
// is committed.
func (l *Ledger) Push(stream auditv1.AuditService_PushServer) error {
	node, err := identity.FromContext(stream.Context())
	if err != nil {
		return fault.GRPC(err)
	}
	if !l.enter() {
		return fault.GRPC(errStopped)
	}
	defer l.streams.Done()
	batches := make(chan *auditv1.PushRequest)
	broken := make(chan error, 1)
	go func() { broken <- receive(stream, batches, l.stop) }()
	for {
		select {
		case batch := <-batches:
			sequence, err := l.Append(stream.Context(), node.Name, batch)
			if err != nil {
				return fault.GRPC(err)
			}
			err = stream.Send(&auditv1.PushResponse{Epoch: batch.GetEpoch(), AckedSequence: sequence})
			if err != nil {
				return fmt.Errorf("send ack: %w", err)
			}
		case err := <-broken:
			return fault.GRPC(err)
		case <-l.stop:
			return fault.GRPC(errStopped)
		}
	}
}

// errStopped ends a stream when this replica shuts down.
var errStopped = fault.New(fault.Unavailable, "the control plane shuts down; connect again")

// receive hands on batches until the stream ends, with nil where the node closed
// it. It takes one batch ahead; what lies behind that waits at the node.
func receive(stream auditv1.AuditService_PushServer, batches chan<- *auditv1.PushRequest, stop <-chan struct{}) error {
	for {
		batch, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case batches <- batch:
		case <-stop:
			return errStopped
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}
}

// Append takes one batch of a node and returns the sequence up to which
// everything of its epoch is committed. Nothing of a batch that fails is kept.
func (l *Ledger) Append(ctx context.Context, node string, batch *auditv1.PushRequest) (uint64, error) {
	done := intake{node: node, epoch: int64(batch.GetEpoch())}
	err := l.store.InTx(ctx, func(tx *store.Tx) error { return done.run(ctx, tx, batch) })
	if errors.Is(err, errGap) {
		done = intake{node: node, epoch: int64(batch.GetEpoch()), mayGap: true}
		err = l.store.Act(ctx, "system", func(tx *store.Tx) error { return done.run(ctx, tx, batch) })
	}
	if r, ok := errors.AsType[*unacceptable](err); ok {
		l.metrics.refused.WithLabelValues(r.reason).Inc()
		l.log.Error("refused audit records: they do not continue what this node sent before",
			"node", node, "epoch", batch.GetEpoch(), "reason", r.reason, "error", err)
		return 0, r.fault
	}
	if err != nil {
		return 0, fmt.Errorf("append records of node %s: %w", node, err)
	}
	l.uses.add(done.calls)
	l.count(&done)
	return done.head, nil
}

// count adds a committed batch to the metrics.
func (l *Ledger) count(done *intake) {
	l.metrics.records.Add(float64(done.fresh))
	l.metrics.duplicates.Add(float64(done.duplicates))
	l.metrics.poisoned.Add(float64(done.poisoned))
	l.metrics.orphans.Add(float64(done.orphans))
	if done.missing > 0 {
		l.metrics.missing.Add(float64(done.missing))
		l.log.Error("audit records are missing: the ledger went on behind a gap. Was the database restored from a backup?",
			"node", done.node, "epoch", uint64(done.epoch), "missing", done.missing)
	}
	if done.poisoned > 0 || done.orphans > 0 {
		l.log.Warn("audit records without a call", "node", done.node, "poisoned", done.poisoned, "orphans", done.orphans)
	}
}

// intake is the work on one batch within its transaction.
type intake struct {
	node  string
	epoch int64
	head  uint64 // where the queue stands after it

	fresh, duplicates, poisoned int
	orphans                     int64

	calls []db.CopyAuditCallsParams // that it entered

	mayGap  bool
	missing uint64 // records between the head and the batch
}

// errGap ends an intake that may not write what a gap needs.
var errGap = errors.New("records between the head and the batch are missing")

// run checks the batch against the head of its queue and writes what is new.
func (i *intake) run(ctx context.Context, tx *store.Tx, batch *auditv1.PushRequest) error {
	records := batch.GetRecords()
	if err := wellFormed(records); err != nil {
		return err
	}
	head, err := i.lockHead(ctx, tx)
	if err != nil {
		return err
	}
	i.head = uint64(head.Sequence)
	fresh, err := i.skipKnown(ctx, tx, records)
	if err != nil || len(fresh) == 0 {
		return err
	}
	if err := i.continues(tx, head, batch.GetEpoch(), fresh); err != nil {
		return err
	}
	if err := i.keep(ctx, tx, fresh); err != nil {
		return err
	}
	if err := i.enter(ctx, tx, fresh); err != nil {
		return err
	}
	last := fresh[len(fresh)-1]
	i.head = last.GetSequence()
	return tx.AdvanceAuditHead(ctx, db.AdvanceAuditHeadParams{
		Node: i.node, Epoch: i.epoch, Sequence: int64(i.head), Hash: last.GetHash(),
	})
}

// wellFormed checks what the database could not hold.
func wellFormed(records []*auditv1.Record) error {
	if len(records) > maxRecords {
		return &unacceptable{"invalid", fault.Newf(fault.Invalid, "a batch holds %d records at most", maxRecords)}
	}
	for n, record := range records {
		if record.GetSequence() == 0 || int64(record.GetSequence()) < 0 || len(record.GetHash()) != audit.HashSize {
			return &unacceptable{"invalid", fault.New(fault.Invalid, "a record needs a sequence and a hash of 32 bytes")}
		}
		if n > 0 && record.GetSequence() != records[n-1].GetSequence()+1 {
			return &unacceptable{"invalid", fault.New(fault.Invalid, "the sequences of a batch are consecutive")}
		}
	}
	return nil
}

// lockHead returns the head of the queue, locked. A queue that is new ends the
// node's earlier ones.
func (i *intake) lockHead(ctx context.Context, tx *store.Tx) (db.LockAuditHeadRow, error) {
	added, err := tx.EnsureAuditHead(ctx, db.EnsureAuditHeadParams{Node: i.node, Epoch: i.epoch})
	if err != nil {
		return db.LockAuditHeadRow{}, err
	}
	if added > 0 {
		if err := tx.EndAuditEpochs(ctx, db.EndAuditEpochsParams{Node: i.node, Epoch: i.epoch}); err != nil {
			return db.LockAuditHeadRow{}, err
		}
	}
	return tx.LockAuditHead(ctx, db.LockAuditHeadParams{Node: i.node, Epoch: i.epoch})
}

// skipKnown returns the records above the head. The last of those below it must
// be the one that is there: another one means that the queue was forked.
func (i *intake) skipKnown(ctx context.Context, tx *store.Tx, records []*auditv1.Record) ([]*auditv1.Record, error) {
	for i.duplicates < len(records) && records[i.duplicates].GetSequence() <= i.head {
		i.duplicates++
	}
	if i.duplicates == 0 {
		return records, nil
	}
	known := records[i.duplicates-1]
	hash, err := tx.GetAuditRecordHash(ctx, db.GetAuditRecordHashParams{
		Node: i.node, Epoch: i.epoch, Sequence: int64(known.GetSequence()),
	})
	if err != nil {
		return nil, fmt.Errorf("read record %d: %w", known.GetSequence(), err)
	}
	if !bytes.Equal(hash, known.GetHash()) {
		return nil, &unacceptable{"fork", fault.Newf(fault.Precondition,
			"record %d differs from the one that this node sent before under the same number", known.GetSequence())}
	}
	return records[i.duplicates:], nil
}

// continues checks that the chain of records goes on from the hash of the head.
//
// A node forgets what was acked. So what a database lost that was restored from
// a backup never comes again, and a queue that were held to it would stand still,
// and its node with it, for ever. Records that begin behind a gap are taken, if
// their own chain holds; the gap stands in the audit of administrators, which
// nobody can remove.
func (i *intake) continues(tx *store.Tx, head db.LockAuditHeadRow, epoch uint64, records []*auditv1.Record) error {
	last := head.Hash
	if first := records[0].GetSequence(); first != uint64(head.Sequence)+1 {
		if !i.mayGap {
			return errGap
		}
		i.missing = first - uint64(head.Sequence) - 1
		tx.Note("audit.gap", i.node, map[string]any{
			"epoch": strconv.FormatUint(epoch, 16), "committed": head.Sequence, "next": first, "missing": i.missing,
		})
		// Nobody knows any more what the first record follows.
		last, records = records[0].GetHash(), records[1:]
	}
	if err := audit.VerifyChain(last, epoch, records); err != nil {
		return &unacceptable{"chain", fault.Wrap(fault.Precondition, "the hash chain of the records does not verify: "+err.Error(), err)}
	}
	return nil
}

// keep writes the records as they came.
func (i *intake) keep(ctx context.Context, tx *store.Tx, records []*auditv1.Record) error {
	i.fresh = len(records)
	rows := make([]db.CopyAuditRecordsParams, len(records))
	for n, record := range records {
		event := record.GetEvent()
		if event == nil {
			event = []byte{} // Null is not what an empty event is.
		}
		rows[n] = db.CopyAuditRecordsParams{
			Node: i.node, Epoch: i.epoch, Sequence: int64(record.GetSequence()), Event: event, Hash: record.GetHash(),
		}
	}
	if _, err := tx.CopyAuditRecords(ctx, rows); err != nil {
		return fmt.Errorf("keep records: %w", err)
	}
	return nil
}

// enter writes the calls that the records tell of.
func (i *intake) enter(ctx context.Context, tx *store.Tx, records []*auditv1.Record) error {
	at, err := tx.CurrentTransaction(ctx)
	if err != nil {
		return fmt.Errorf("read transaction: %w", err)
	}
	s := sorter{node: i.node, epoch: i.epoch, transaction: at.ID, at: at.At, index: make(map[string]int, len(records))}
	for _, record := range records {
		s.add(record.GetEvent())
	}
	i.poisoned, i.calls = s.poisoned, s.calls
	if err := i.insert(ctx, tx, s.calls); err != nil {
		return err
	}
	return i.complete(ctx, tx, &s.results)
}

// insert writes new calls: all at once, or, where an id exists already, one by
// one and without those.
func (i *intake) insert(ctx context.Context, tx *store.Tx, calls []db.CopyAuditCallsParams) error {
	if len(calls) == 0 {
		return nil
	}
	err := tx.Attempt(ctx, func(q *db.Queries) error {
		_, err := q.CopyAuditCalls(ctx, calls)
		return err
	})
	if err == nil {
		return nil
	}
	if !fault.Is(err, fault.Exists) {
		return fmt.Errorf("enter calls: %w", err)
	}
	for _, call := range calls {
		n, err := tx.InsertAuditCall(ctx, db.InsertAuditCallParams(call))
		if err != nil {
			return fmt.Errorf("enter call: %w", err)
		}
		i.poisoned += int(1 - n)
	}
	return nil
}

// complete writes results of calls that earlier batches entered.
func (i *intake) complete(ctx context.Context, tx *store.Tx, results *db.CompleteAuditCallsParams) error {
	if len(results.Ids) == 0 {
		return nil
	}
	n, err := tx.CompleteAuditCalls(ctx, *results)
	if err != nil {
		return fmt.Errorf("complete calls: %w", err)
	}
	i.orphans = int64(len(results.Ids)) - n
	return nil
}
