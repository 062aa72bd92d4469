package session

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what an operator sees of the messages. Every label is bounded:
// effects, kinds and methods are constants, servers come from the snapshot.
type metrics struct {
	decisions  *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	folded     *prometheus.CounterVec
	unrecorded prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	m := &metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "warder_decisions_total",
			Help: "Calls by decision; reason is the sort of thing that decided, server is empty where it could not be resolved.",
		}, []string{"effect", "reason", "server"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "mcp_server_operation_duration_seconds",
			Help:    "Time from the first byte of a message to its answer; error_type is empty for success.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},

			NativeHistogramBucketFactor:     1.1,
			NativeHistogramMaxBucketNumber:  100,
			NativeHistogramMinResetDuration: time.Hour,
		}, []string{"mcp_method_name", "error_type"}),
		folded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "warder_audit_refusals_folded_total",
			Help: "Refusals that came in a flood and share an audit event with others.",
		}, []string{"reason"}),
		unrecorded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "warder_audit_refusals_deferred_total",
			Help: "Refusals that found the audit queue full; their number goes into a later event.",
		}),
	}
	registerer.MustRegister(m.decisions, m.duration, m.folded, m.unrecorded)
	return m
}
