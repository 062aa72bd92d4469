package roster

import "github.com/prometheus/client_golang/prometheus"

// collector tells what is here now.
type collector struct{ roster *Roster }

var (
	agentsDesc = prometheus.NewDesc("warder_node_agents",
		"Agents that have a tunnel to this node.", nil, nil)
	tunnelsDesc = prometheus.NewDesc("warder_node_tunnels",
		"Tunnels of agents to this node.", nil, nil)
	streamsDesc = prometheus.NewDesc("warder_node_tunnel_streams",
		"Requests that are open in tunnels of agents to this node.", nil, nil)
	awayDesc = prometheus.NewDesc("warder_node_servers_away",
		"Servers of agents that are ready nowhere, as far as this node knows.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c collector) Describe(to chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{agentsDesc, tunnelsDesc, streamsDesc, awayDesc} {
		to <- desc
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(to chan<- prometheus.Metric) {
	c.roster.mu.RLock()
	agents, tunnels, streams, away := len(c.roster.agents), 0, 0, 0
	for agent, servers := range c.roster.assigned {
		for server := range servers {
			if !c.roster.ready(agent, server) {
				away++
			}
		}
	}
	for _, here := range c.roster.agents {
		tunnels += len(here)
		for _, a := range here {
			streams += a.tunnel.Busy()
		}
	}
	c.roster.mu.RUnlock()
	tell := func(desc *prometheus.Desc, value int) {
		to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value))
	}
	tell(agentsDesc, agents)
	tell(tunnelsDesc, tunnels)
	tell(streamsDesc, streams)
	tell(awayDesc, away)
}
