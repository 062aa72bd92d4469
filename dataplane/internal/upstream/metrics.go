package upstream

import "github.com/prometheus/client_golang/prometheus"

var (
	breakerDesc = prometheus.NewDesc("warder_upstream_breaker_open",
		"Whether a server is left alone, because calls to it found it dead one after the other.", []string{"server"}, nil)
	inFlightDesc = prometheus.NewDesc("warder_upstream_calls_in_flight",
		"Calls that a server has from this node now.", []string{"server"}, nil)
	answerBytesDesc = prometheus.NewDesc("warder_upstream_answer_bytes",
		"Bytes that large messages of a server hold on this node now, of the bytes that they may.", []string{"server"}, nil)
	overBudgetDesc = prometheus.NewDesc("warder_upstream_answers_over_budget_total",
		"Messages of a server that found no room on this node, since the server was registered as it is.", []string{"server"}, nil)
	leftOutDesc = prometheus.NewDesc("warder_upstream_messages_left_out_total",
		"Progress, log messages and the like of a server that came faster than clients get them, since the server was registered as it is.", []string{"server"}, nil)
	sessionsDesc = prometheus.NewDesc("warder_upstream_sessions",
		"Sessions with servers of the legacy era that this node keeps.", nil, nil)
	parkedDesc = prometheus.NewDesc("warder_upstream_parked_calls",
		"Calls to servers of the legacy era that wait for what the client was asked for.", nil, nil)
)

// collector reads the pool when it is asked for metrics, so that calls pay nothing for them.
type poolCollector struct{ pool *Pool }

func (c poolCollector) Describe(out chan<- *prometheus.Desc) {
	out <- breakerDesc
	out <- inFlightDesc
	out <- answerBytesDesc
	out <- overBudgetDesc
	out <- leftOutDesc
	out <- sessionsDesc
	out <- parkedDesc
}

// Collect adds up the endpoints of a name: there are two while calls to a former one still run.
func (c poolCollector) Collect(out chan<- prometheus.Metric) {
	open, calls := map[string]float64{}, map[string]float64{}
	held, refused, leftOut := map[string]float64{}, map[string]float64{}, map[string]float64{}
	c.pool.mu.Lock()
	for _, e := range c.pool.endpoints {
		calls[e.name] += float64(e.inFlight.Load())
		held[e.name] += float64(e.budget.taken.Load())
		refused[e.name] += float64(e.budget.refused.Load())
		leftOut[e.name] += float64(e.leftOut.Load())
		open[e.name] += 0
		if e.breaker.open.Load() {
			open[e.name] = 1
		}
	}
	c.pool.mu.Unlock()
	for name := range calls {
		out <- prometheus.MustNewConstMetric(breakerDesc, prometheus.GaugeValue, open[name], name)
		out <- prometheus.MustNewConstMetric(inFlightDesc, prometheus.GaugeValue, calls[name], name)
		out <- prometheus.MustNewConstMetric(answerBytesDesc, prometheus.GaugeValue, held[name], name)
		out <- prometheus.MustNewConstMetric(overBudgetDesc, prometheus.CounterValue, refused[name], name)
		out <- prometheus.MustNewConstMetric(leftOutDesc, prometheus.CounterValue, leftOut[name], name)
	}
	out <- prometheus.MustNewConstMetric(sessionsDesc, prometheus.GaugeValue, float64(c.pool.sessions.len()))
	out <- prometheus.MustNewConstMetric(parkedDesc, prometheus.GaugeValue, float64(c.pool.parked.len()))
}
