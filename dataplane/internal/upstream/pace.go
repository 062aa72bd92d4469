package upstream

import "time"

// How fast what a server says before its answer goes on to the client: so many messages of one call at once, and so many a
// second after that. Progress that comes faster is folded: of what waits, the client gets the newest, at the latest before
// the answer. Log messages that come faster are left out, as are the places in the stream between two messages.
const (
	noteBurst = 100
	noteRate  = 50

	// maxLate is how large progress may be, in bytes, that waits; a larger one is left out.
	maxLate = 16 << 10
)

// pace is the allowance of one call.
type pace struct {
	spent float64
	at    time.Duration // on clock
}

// take reports whether one more message may go on.
func (p *pace) take(now time.Duration) bool {
	p.spent = max(0, p.spent-noteRate*(now-p.at).Seconds())
	p.at = now
	if p.spent+1 > noteBurst {
		return false
	}
	p.spent++
	return true
}

// late is what came too fast to go on at once.
type late struct {
	progress []byte // the newest notification, as the client gets it; empty: none
	at       Mark   // of it
	place    Mark   // the newest place without a message; zero: none
}

// may reports whether a message may go on to the client now; if not, it is counted.
func (x *exchange) may() bool {
	if x.pace.take(clock()) {
		return true
	}
	x.endpoint.leftOut.Add(1)
	return false
}

// catchUp passes on what waits, in the order in which it came.
func (x *exchange) catchUp() error {
	waits := x.late
	x.late = late{}
	if len(waits.progress) > 0 {
		if err := x.notify(waits.progress, waits.at); err != nil {
			return err
		}
	}
	if waits.place != (Mark{}) {
		return x.passPlace(waits.place)
	}
	return nil
}
