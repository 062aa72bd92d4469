package uplink

import "time"

// maxProbes bounds the nodes that are measured at a time without a tunnel to them. The others wait for the next time.
const maxProbes = 16

// measure has nodes measured that have no tunnel: those of which nothing is known, and then, if again is set, others.
func (p *pilot) measure(again bool) {
	room := maxProbes
	var known []*link
	for _, l := range p.links {
		if l.probing {
			room--
		}
	}
	for _, l := range p.links { // In an order that is another each time.
		switch {
		case l.probing || l.line != nil || !l.welcome():
		case l.trip != 0:
			known = append(known, l)
		case room > 0 && (again || l.failedAt.IsZero()):
			room--
			p.ask(l)
		}
	}
	if again {
		for _, l := range known[:min(len(known), max(0, room))] {
			p.ask(l)
		}
	}
}

// ask measures one node.
func (p *pilot) ask(l *link) {
	l.probing = true
	to := target{l.name, l.address}
	p.running.Go(func() {
		trip, err := p.probe(p.ctx, to)
		p.tell(func(now time.Time) {
			l.probing = false
			switch {
			case l.address != to.address:
			case err != nil:
				l.trip, l.failedAt = 0, now
				p.log.Debug("cannot measure node", "node", l.name, "error", err)
			default:
				l.trip = smooth(l.trip, trip)
			}
			p.forget()
		})
	})
}
