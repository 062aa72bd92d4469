package session

import (
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/internal/mcp"
	"github.com/warder-gateway/warder/internal/policy"
)

// metrics are what an operator sees of the messages. Every label is bounded:
// effects, kinds and methods are constants, servers come from the snapshot; of limits,
// which come and go with the policy, there are as many as one may have.
type metrics struct {
	decisions  labelled[[3]string, prometheus.Counter]
	limits     labelled[string, prometheus.Counter]
	duration   labelled[[2]string, prometheus.Observer]
	folded     *prometheus.CounterVec
	unrecorded prometheus.Counter
}

func newMetrics(registerer prometheus.Registerer) *metrics {
	decisions := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "warder_decisions_total",
		Help: "Calls by decision; reason is the sort of thing that decided, server is empty where it could not be resolved.",
	}, []string{"effect", "reason", "server"})
	duration := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "mcp_server_operation_duration_seconds",
		Help:    "Time from the first byte of a message to its answer; error_type is empty for success.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120},

		NativeHistogramBucketFactor:     1.1,
		NativeHistogramMaxBucketNumber:  100,
		NativeHistogramMinResetDuration: time.Hour,
	}, []string{"mcp_method_name", "error_type"})
	m := &metrics{
		folded: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "warder_audit_refusals_folded_total",
			Help: "Refusals that came in a flood and share an audit event with others.",
		}, []string{"reason"}),
		unrecorded: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "warder_audit_refusals_deferred_total",
			Help: "Refusals that found the audit queue full; their number goes into a later event.",
		}),
	}
	limits := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "warder_limit_refusals_total",
		Help: "Calls that ran into a limit of the policy, by its name; it is empty for limits beyond the first 1,000 since the start.",
	}, []string{"limit"})
	m.limits.most = policy.MaxLimits
	m.limits.find = func(name string) prometheus.Counter { return limits.WithLabelValues(name) }
	m.decisions.find = func(l [3]string) prometheus.Counter { return decisions.WithLabelValues(l[0], l[1], l[2]) }
	m.duration.find = func(l [2]string) prometheus.Observer { return duration.WithLabelValues(l[0], l[1]) }
	registerer.MustRegister(decisions, limits, duration, m.folded, m.unrecorded)
	return m
}

func (m *metrics) decide(effect, reason, server string) {
	m.decisions.get([3]string{effect, reason, server}).Inc()
}

func (m *metrics) observe(method, failure string, took time.Duration) {
	m.duration.get([2]string{method, failure}).Observe(took.Seconds())
}

// labelled finds the metric of some labels without hashing them and without a
// lock that calls share: a map that is copied when it grows. There are as many
// metrics as there are labels, which are bounded.
type labelled[L comparable, M any] struct {
	find  func(L) M
	most  int // beyond so many, all others share the metric of zero labels; 0: no bound
	known atomic.Pointer[map[L]M]
	grow  sync.Mutex
}

func (l *labelled[L, M]) get(labels L) M {
	if known := l.known.Load(); known != nil {
		if metric, ok := (*known)[labels]; ok {
			return metric
		}
	}
	l.grow.Lock()
	defer l.grow.Unlock()
	var known map[L]M
	if p := l.known.Load(); p != nil {
		known = *p
	}
	if l.most > 0 && len(known) >= l.most {
		var zero L
		return l.find(zero)
	}
	metric := l.find(labels)
	grown := map[L]M{labels: metric}
	maps.Copy(grown, known)
	l.known.Store(&grown)
	return metric
}

// methodLabel bounds the label: methods that clients make up share one.
func methodLabel(method string) string {
	switch {
	case method == http.MethodGet, method == http.MethodDelete, method == methodBatch,
		mcp.CheckMethod(mcp.Legacy, method) == nil, mcp.CheckMethod(mcp.Modern, method) == nil:
		return method
	}
	return "other"
}
