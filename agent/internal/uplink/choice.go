package uplink

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// unmeasured stands for the round trip to a node that could not be measured: it comes last of its region.
const unmeasured = time.Duration(math.MaxInt64)

// standing is where a node stands in the choice, the least first.
type standing struct {
	link   *link
	abroad bool
	far    bool
	trip   time.Duration // of those that are far; they are chosen by it
	lot    uint64        // of those that are near
}

// isNear reports whether a node is about as near as the nearest. One that has no tunnel must be nearer to count: else two
// nodes that are measured now a little better, now a little worse would take turns.
func isNear(trip, nearest time.Duration, held bool) bool {
	switch {
	case trip == unmeasured:
		return false
	case held:
		return trip <= 2*nearest+20*time.Millisecond
	}
	return trip <= nearest+nearest/2+5*time.Millisecond
}

// chosen sorts nodes, the one to have first.
func chosen(agent, region string, links []*link, now time.Time) []*link {
	nearest := map[bool]time.Duration{true: unmeasured, false: unmeasured}
	for _, l := range links {
		abroad := l.abroad(region)
		nearest[abroad] = min(nearest[abroad], l.believed(now))
	}
	order := make([]standing, len(links))
	for i, l := range links {
		s := standing{link: l, abroad: l.abroad(region), trip: l.believed(now), lot: lot(agent, l.name)}
		s.far = !isNear(s.trip, nearest[s.abroad], l.live())
		if s.far && l.live() && s.trip != unmeasured {
			s.trip = max(0, s.trip*2/3-15*time.Millisecond)
		}
		order[i] = s
	}
	slices.SortFunc(order, func(a, b standing) int {
		if c := cmp.Or(compare(a.abroad, b.abroad), compare(a.far, b.far)); c != 0 {
			return c
		}
		if a.far {
			return cmp.Or(cmp.Compare(a.trip, b.trip), cmp.Compare(a.lot, b.lot))
		}
		return cmp.Compare(a.lot, b.lot)
	})
	sorted := make([]*link, len(order))
	for i, s := range order {
		sorted[i] = s.link
	}
	return sorted
}

// compare has false before true.
func compare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// lot is a number that an agent and a node always draw together.
func lot(agent, node string) uint64 {
	sum := sha256.Sum256([]byte(agent + "\x00" + node))
	return binary.BigEndian.Uint64(sum[:])
}
