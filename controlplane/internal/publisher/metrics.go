package publisher

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// metrics counts what happens on the streams.
type metrics struct {
	followers, revision prometheus.Gauge
	updates, answers    *prometheus.CounterVec
	cut                 prometheus.Counter
}

// newMetrics registers the metrics; a nil registerer is allowed.
func newMetrics(r prometheus.Registerer) *metrics {
	f := promauto.With(r)
	return &metrics{
		followers: f.NewGauge(prometheus.GaugeOpts{
			Name: "warder_publisher_followers", Help: "Nodes with a stream to this replica."}),
		revision: f.NewGauge(prometheus.GaugeOpts{
			Name: "warder_publisher_revision", Help: "Revision in force at this replica."}),
		updates: f.NewCounterVec(prometheus.CounterOpts{
			Name: "warder_publisher_updates_total", Help: "Updates sent to nodes, by kind."}, []string{"kind"}),
		answers: f.NewCounterVec(prometheus.CounterOpts{
			Name: "warder_publisher_answers_total", Help: "Answers of nodes: ack, nack, stale."}, []string{"answer"}),
		cut: f.NewCounter(prometheus.CounterOpts{
			Name: "warder_publisher_cut_total", Help: "Streams closed because the node did not answer in time."}),
	}
}

// sent counts an update.
func (m *metrics) sent(update *syncv1.Update) {
	kind := "delta"
	if update.GetSnapshot() != nil {
		kind = "snapshot"
	}
	m.updates.WithLabelValues(kind).Inc()
}

// answered counts an answer.
func (m *metrics) answered(a answer) {
	m.answers.WithLabelValues([...]string{"ack", "nack", "stale"}[a]).Inc()
}
