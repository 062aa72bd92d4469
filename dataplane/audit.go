package dataplane

import (
	"context"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/dataplane/internal/session"
	"github.com/warder-gateway/warder/dataplane/internal/spool"
	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/risk"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// AuditSync says which calls leave for their server only when their intent is on the disk, so that the record survives the
// machine. The intent of each other call is the kernel's by then, and survives the process.
type AuditSync string

// The values of AuditSync.
const (
	// SyncRisky is for calls of what destroys, administrates, executes or is not classified. The default.
	SyncRisky AuditSync = "risky"
	// SyncAll is for all calls of tools, prompts and resources.
	SyncAll AuditSync = "all"
	// SyncNone is for none.
	SyncNone AuditSync = "none"
)

// validate says whether there is such a value.
func (s AuditSync) validate() error {
	switch s {
	case "", SyncRisky, SyncAll, SyncNone:
		return nil
	}
	return fault.New(fault.Invalid, "--audit-sync must be risky, all or none, not "+string(s))
}

// covers reports whether calls of a category wait for the disk. One that this build does not know counts as unclassified.
func (s AuditSync) covers(category snapshotv1.Risk) bool {
	switch s {
	case SyncAll:
		return true
	case SyncNone:
		return false
	}
	switch risk.Known(category) {
	case snapshotv1.Risk_RISK_READ, snapshotv1.Risk_RISK_WRITE, snapshotv1.Risk_RISK_EXTERNAL:
		return false
	}
	return true
}

// openQueue opens the audit queue of the node.
func (p *Plane) openQueue() (*spool.Queue, error) {
	if p.config.AuditSync == SyncNone {
		p.log.Warn("no call waits until its audit record is on the disk (--audit-sync none): " +
			"if the machine loses power, records of calls that were made, destructive ones too, may be missing")
	}
	return spool.Open(spool.Config{
		Dir: filepath.Join(p.config.DataDir, "audit"), Bytes: p.config.AuditBytes, Log: p.log, Disk: p.config.auditDisk,
	})
}

// recorder is the queue as a session knows it.
type recorder struct {
	queue  *spool.Queue
	sync   AuditSync
	waited prometheus.Histogram
}

var _ session.Recorder = (*recorder)(nil)

func newRecorder(queue *spool.Queue, sync AuditSync, registerer prometheus.Registerer) *recorder {
	r := &recorder{queue: queue, sync: sync, waited: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "warder_audit_sync_wait_seconds",
		Help:    "How long calls waited until their audit record was on the disk, or until they gave up.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
	})}
	registerer.MustRegister(r.waited, prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "warder_audit_syncs_total",
		Help: "Times that the audit queue was brought to the disk, each for all calls that waited.",
	}, func() float64 { return float64(queue.Syncs()) }))
	return r
}

func (r *recorder) Intent(event *auditv1.Event) (session.Ticket, error) {
	ticket, err := r.queue.Intent(event)
	if err != nil {
		return nil, err
	}
	return ticket, nil
}

func (r *recorder) Sync(ctx context.Context, category snapshotv1.Risk) error {
	if !r.sync.covers(category) {
		return nil
	}
	began := time.Now()
	defer func() { r.waited.Observe(time.Since(began).Seconds()) }()
	return r.queue.Sync(ctx)
}

func (r *recorder) Refusal(event *auditv1.Event) error { return r.queue.Refusal(event) }
