package uplink

import (
	"slices"
	"time"
)

// candidates returns the nodes for which keep holds, the one to have first.
func (p *pilot) candidates(now time.Time, keep func(*link) bool) []*link {
	var links []*link
	for _, l := range p.links {
		if keep(l) {
			links = append(links, l)
		}
	}
	return chosen(p.agent, p.region, links, now)
}

// fill dials the best nodes until there are tunnels enough.
func (p *pilot) fill(now time.Time) {
	live, waiting := 0, false
	for _, l := range p.links {
		if l.live() {
			live++
		}
		waiting = waiting || l.probing && l.trip == 0 && l.failures == 0
	}
	if live == 0 && waiting {
		return // It will be known in a moment which are near. A probe is bounded.
	}
	if live >= p.want {
		return
	}
	for _, l := range p.candidates(now, func(l *link) bool { return l.live() || l.free(now) }) {
		if live == p.want {
			return
		}
		if l.line == nil {
			live++
			p.dial(l)
		}
	}
}

// improve dials one node that is better than one that has a tunnel, which is given up when that is up.
func (p *pilot) improve(now time.Time) {
	for _, l := range p.links {
		if l.live() && !l.up() {
			return // One at a time.
		}
	}
	p.judge(now, p.ranking(now))
	order := p.ranking(now)
	if p.up() < p.want {
		return
	}
	for _, l := range order[:min(p.want, len(order))] {
		if l.line == nil {
			p.log.Info("a better node is dialled", "node", l.name, "round_trip", l.measured(now))
			p.dial(l)
			l.line.instead = worst(order)
			return
		}
	}
}

// worst is the last that is up.
func worst(order []*link) *link {
	for _, l := range slices.Backward(order) {
		if l.up() {
			return l
		}
	}
	return nil
}

// ranking has the nodes that have a tunnel, and those that may take the place of one.
func (p *pilot) ranking(now time.Time) []*link {
	return p.candidates(now, func(l *link) bool { return l.live() || l.free(now) && l.trusted(now) && l.trip != 0 })
}

// judge looks at all tunnels again.
func (p *pilot) judge(now time.Time, order []*link) {
	for _, l := range order {
		nearest := unmeasured
		for _, other := range order {
			if other.abroad(p.region) == l.abroad(p.region) {
				nearest = min(nearest, other.measured(now))
			}
		}
		if l.up() {
			l.judge(now, nearest)
		}
	}
}

// trim gives up tunnels that are not to be.
func (p *pilot) trim(now time.Time) {
	p.part(now)
	order := p.candidates(now, (*link).up)
	for _, l := range order[min(p.want, len(order)):] {
		p.relieve(now, l)
	}
}

// relieve gives up a tunnel for a better one.
func (p *pilot) relieve(now time.Time, l *link) {
	if l.slow >= 2 {
		l.blamed, l.until = l.believed(now), now.Add(grudge)
	}
	p.retire(l, othersSuit)
}

// up is how many tunnels calls can come through.
func (p *pilot) up() (n int) {
	for _, l := range p.links {
		if l.up() {
			n++
		}
	}
	return n
}

// part gives up tunnels to nodes that drain, if there are others, and to those that are none any more.
func (p *pilot) part(now time.Time) {
	up := p.up()
	for _, l := range p.links {
		switch {
		case l.line == nil || l.line.retiring || l.welcome():
		case !l.listed:
			if now.Sub(l.goneAt) >= grace {
				p.retire(l, nodeGone)
			}
		case up > 0 && up >= min(p.want, up+p.prospects(now)):
			p.retire(l, nodeDrains)
		}
	}
}

// prospects is how many tunnels more there could be soon.
func (p *pilot) prospects(now time.Time) int {
	n := 0
	for _, l := range p.links {
		if l.live() && !l.up() || l.free(now) {
			n++
		}
	}
	return n
}
