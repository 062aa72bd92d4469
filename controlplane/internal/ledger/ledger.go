package ledger

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

const (
	// sweepEvery is how often calls of ended queues are given up.
	sweepEvery = time.Minute
	// grace is how long a queue that ended may still be emptied before its calls
	// are given up.
	grace = time.Minute
	// lastWrite bounds the write at the end.
	lastWrite = 2 * time.Second
)

// Config is what a Ledger is made of. Store is required.
type Config struct {
	Store *store.Store
	// Registerer takes the metrics; nil: nobody reads them.
	Registerer prometheus.Registerer
	Log        *slog.Logger // nil: discarded
}

// Ledger serves warder.audit.v1.AuditService. It is safe for
// concurrent use.
type Ledger struct {
	auditv1.UnimplementedAuditServiceServer
	store   *store.Store
	log     *slog.Logger
	metrics *metrics
	uses    uses

	mu      sync.Mutex
	stop    chan struct{} // closed by Stop
	stopped bool
	streams sync.WaitGroup
}

// New returns a ledger.
func New(c Config) *Ledger {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Ledger{
		store:   c.Store,
		log:     c.Log,
		metrics: newMetrics(c.Registerer),
		stop:    make(chan struct{}),
	}
}

// Run gives up the calls of queues that ended, and writes when keys were last used,
// until ctx ends.
func (l *Ledger) Run(ctx context.Context) {
	ticker, write := time.NewTicker(sweepEvery), time.NewTicker(useEvery)
	defer ticker.Stop()
	defer write.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrite)
			defer cancel()
			l.writeUses(last)
			return
		case <-write.C:
			l.writeUses(ctx)
		case <-ticker.C:
			l.sweep(ctx, grace)
		}
	}
}

// sweep gives up the calls of queues that ended longer ago than the grace.
func (l *Ledger) sweep(ctx context.Context, grace time.Duration) {
	n, err := l.store.AbandonAuditCalls(ctx, grace.Seconds())
	switch {
	case ctx.Err() != nil:
	case err != nil:
		l.log.Warn("cannot give up calls of ended queues; tries again", "error", err)
	case n > 0:
		l.log.Warn("calls without a result became unknown: their node ended first", "calls", n)
	}
}

// Stop ends every stream after the batch in hand, and lets none begin. It
// returns when all have ended; nodes send again what was not acked.
func (l *Ledger) Stop() {
	l.mu.Lock()
	if !l.stopped {
		l.stopped = true
		close(l.stop)
	}
	l.mu.Unlock()
	l.streams.Wait()
}

// enter counts a stream in, unless the ledger has stopped.
func (l *Ledger) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return false
	}
	l.streams.Add(1)
	return true
}
