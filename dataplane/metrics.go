package dataplane

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// register makes the metrics of the plane as a whole known.
func (p *Plane) register(registerer prometheus.Registerer) {
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "warder_build_info",
		Help: "Always 1; the labels say what runs.",
	}, []string{"plane", "version", "goversion"})
	info.WithLabelValues("dataplane", p.config.Version, runtime.Version()).Set(1)
	registerer.MustRegister(
		info, p.limits,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "warder_config_revision",
			Help: "Revision of the snapshot that calls are decided by; 0 before the first.",
		}, func() float64 { return float64(p.replica.Revision()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "warder_audit_queue_depth",
			Help: "Audit events that the control plane has not taken yet.",
		}, func() float64 { return float64(p.queue.Depth().Events) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "warder_audit_queue_bytes",
			Help: "Bytes that audit events take in the queue, room for results included.",
		}, func() float64 { return float64(p.queue.Depth().Bytes) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "warder_audit_queue_oldest_seconds",
			Help: "Age of the oldest audit event that the control plane has not taken yet.",
		}, func() float64 { return p.queue.Depth().Oldest.Seconds() }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "warder_audit_queue_full_total",
			Help: "Audit events that found the queue full; each is a call that was refused.",
		}, func() float64 { return float64(p.queue.Depth().Refused) }),
	)
}
