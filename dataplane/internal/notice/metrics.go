package notice

import "github.com/prometheus/client_golang/prometheus"

// metrics are what an operator sees of the streams. Labels are constants.
type metrics struct {
	messages prometheus.Counter
	closed   *prometheus.CounterVec
	hearings prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer, open func() int) *metrics {
	m := &metrics{
		messages: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "warder_notices_total",
			Help: "Messages sent on notification streams.",
		}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "warder_notice_streams_closed_total",
			Help: "Notification streams that ended; reason says why.",
		}, []string{"reason"}),
		hearings: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "warder_notice_hearings",
			Help: "Servers being heard for notification streams: one for each server, and one for each session with a server.",
		}),
	}
	streams := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "warder_notice_streams",
		Help: "Open notification streams of clients.",
	}, func() float64 { return float64(open()) })
	if registerer != nil {
		registerer.MustRegister(m.messages, m.closed, m.hearings, streams)
	}
	return m
}
