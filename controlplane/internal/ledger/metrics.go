package ledger

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics counts what is taken in.
type metrics struct {
	records, duplicates, poisoned, orphans, missing prometheus.Counter
	refused                                         *prometheus.CounterVec
}

// newMetrics registers the metrics; a nil registerer is allowed.
func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	return &metrics{
		records: f.NewCounter(prometheus.CounterOpts{
			Name: "warder_ledger_records_total", Help: "Records committed."}),
		duplicates: f.NewCounter(prometheus.CounterOpts{
			Name: "warder_ledger_duplicates_total", Help: "Records that came again and were there already."}),
		poisoned: f.NewCounter(prometheus.CounterOpts{
			Name: "warder_ledger_poisoned_total", Help: "Records kept as bytes that are no event of a call."}),
		orphans: f.NewCounter(prometheus.CounterOpts{
			Name: "warder_ledger_orphans_total", Help: "Results whose intent is not in the ledger, or that came twice."}),
		missing: f.NewCounter(prometheus.CounterOpts{
			Name: "warder_ledger_missing_total", Help: "Records in gaps behind which a queue went on."}),
		refused: f.NewCounterVec(prometheus.CounterOpts{
			Name: "warder_ledger_refused_total", Help: "Batches refused, by reason: chain, fork, invalid."}, []string{"reason"}),
	}
}
