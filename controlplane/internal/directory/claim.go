package directory

import (
	"time"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
)

// grace is for how long what an agent said last counts while nothing is heard of it: three
// heartbeats. An agent that has lost its stream is back long before.
const grace = 3 * heartbeat

// claim is what a node says of an agent that does not say so. It is as old as it lasts.
type claim struct {
	since  time.Time
	logged bool
}

// counted returns the rows that both sides say: the node, and its agent in a report that is
// not out of date. Silence is reckoned from when there was somebody to break it to: neither
// a start of the control plane nor an outage of its database takes a report away.
func (d *Directory) counted(rows []db.ListAttachmentsRow) (counted []db.ListAttachmentsRow) {
	d.mu.Lock()
	listening := time.Since(d.deaf)
	d.mu.Unlock()
	for _, row := range rows {
		silent := time.Duration(row.Silent * float64(time.Second))
		if row.Named && min(silent, listening) < grace {
			counted = append(counted, row)
		}
	}
	return counted
}

// logClaims tells of what nodes alone say for longer than grace, each once while it lasts:
// an agent that is there reports within a second. The caller holds reading.
func (d *Directory) logClaims(rows, counted []db.ListAttachmentsRow) {
	both := make(map[[2]string]bool, len(counted))
	for _, row := range counted {
		both[[2]string{row.Node, row.Agent}] = true
	}
	claims := make(map[[2]string]claim)
	for _, row := range rows {
		who := [2]string{row.Node, row.Agent}
		if both[who] {
			continue
		}
		c, known := d.claims[who]
		if !known {
			c.since = time.Now()
		}
		if !c.logged && time.Since(c.since) >= grace {
			c.logged = true
			d.config.Log.Warn("a node says that it has a tunnel of an agent, and the agent does not say so; no other node is told of it",
				"node", row.Node, "agent", row.Agent, "last_heard", time.Duration(row.Silent)*time.Second)
		}
		claims[who] = c
	}
	d.claims = claims
}
