package limit

import "github.com/prometheus/client_golang/prometheus"

var (
	nodesDesc = prometheus.NewDesc("warder_limit_nodes",
		"Nodes that the limits of the policy are divided among, as the control plane said last; 0 before it has.", nil, nil)
	bucketsDesc = prometheus.NewDesc("warder_limit_buckets",
		"Users, applications, servers and tools that the node counts calls of, once for each limit.", nil, nil)
	shareDesc = prometheus.NewDesc("warder_limit_share",
		"The node's part of a limit, the mean over those of its buckets that are divided by demand. The others are divided evenly.",
		[]string{"limit"}, nil)
)

// Describe is prometheus.Collector's.
func (b *Buckets) Describe(out chan<- *prometheus.Desc) {
	out <- nodesDesc
	out <- bucketsDesc
	out <- shareDesc
}

// Collect is prometheus.Collector's. The labels are names of limits of which the control
// plane speaks now, so there are no more than it names buckets.
func (b *Buckets) Collect(out chan<- prometheus.Metric) {
	shares := b.shares.Load()
	out <- prometheus.MustNewConstMetric(nodesDesc, prometheus.GaugeValue, float64(shares.nodes))
	out <- prometheus.MustNewConstMetric(bucketsDesc, prometheus.GaugeValue, float64(b.count()))
	type mean struct{ sum, of float64 }
	limits := make(map[string]mean)
	for at, part := range shares.named {
		limits[at.limit] = mean{limits[at.limit].sum + part, limits[at.limit].of + 1}
	}
	for name, m := range limits {
		out <- prometheus.MustNewConstMetric(shareDesc, prometheus.GaugeValue, m.sum/m.of, name)
	}
}

func (b *Buckets) count() (n int) {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		n += len(s.buckets)
		s.mu.Unlock()
	}
	return n
}
