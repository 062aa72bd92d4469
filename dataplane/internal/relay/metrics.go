package relay

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/warder-gateway/warder/internal/tunnel"
)

// metrics count what was asked of other nodes, and what of theirs found no room here.
type metrics struct {
	requests *prometheus.CounterVec
	full     prometheus.Counter
}

func (m *metrics) register(registerer prometheus.Registerer, r *Relay) {
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "warder_node_relayed_total",
		Help: "Requests made at other nodes, by what was asked for (a call, or an errand) and what came of it: answered, refused (nothing was sent on), failed.",
	}, []string{"kind", "outcome"})
	m.full = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "warder_node_relay_over_budget_total",
		Help: "Requests of other nodes, errands among them, that were refused because there was no room for their bodies.",
	})
	if registerer == nil {
		return
	}
	registerer.MustRegister(m.requests, m.full,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "warder_node_relay_request_bytes",
			Help: "Bytes that requests of other nodes hold on this node now.",
		}, func() float64 { return float64(r.bodies.Held()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "warder_node_relay_lines",
			Help: "Lines to other nodes that are open, or being opened.",
		}, func() float64 {
			r.mu.Lock()
			defer r.mu.Unlock()
			return float64(len(r.held))
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "warder_node_relay_served_lines",
			Help: "Lines of other nodes to this one.",
		}, func() float64 {
			r.mu.Lock()
			defer r.mu.Unlock()
			return float64(len(r.serving))
		}))
}

func (m *metrics) observe(request *tunnel.Request, err error) {
	kind, outcome := "call", "answered"
	if request.Errand != "" {
		kind = "errand"
	}
	if failed, ok := errors.AsType[*tunnel.Error](err); ok {
		outcome = "failed"
		if !failed.Sent {
			outcome = "refused"
		}
	}
	m.requests.WithLabelValues(kind, outcome).Inc()
}
