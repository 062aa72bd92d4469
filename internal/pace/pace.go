// Package pace bounds how often something is done that others may ask for without end, while it is done at once where they ask
// seldom.
//
//	quiet ──done──▶ pause First ──done──▶ twice as long ──▶ … Longest
//	  ▲                  └─────────────── not done for Quiet ────┘
//	  └──────────────────────────────────────────────────┘
//
// It only reckons: who waits for Next puts together what is asked meanwhile, so that nothing queues.
package pace

import "time"

// Pace is that of one thing which is done again and again. First, Longest and Quiet are set before it is used. It is for one
// goroutine at a time.
type Pace struct {
	// First is the pause after what is done when nothing was for Quiet, and Longest the most that pauses come to as they
	// double.
	First, Longest, Quiet time.Duration

	done  time.Time
	pause time.Duration
}

// Done notes that it was done.
func (p *Pace) Done(now time.Time) {
	if p.Rests(now) {
		p.pause = 0
	}
	p.done, p.pause = now, min(max(2*p.pause, p.First), p.Longest)
}

// Next is when it may be done again: in the past if nothing was done yet.
func (p *Pace) Next() time.Time { return p.done.Add(p.pause) }

// Rests reports whether nothing was done for Quiet: what was before counts no more.
func (p *Pace) Rests(now time.Time) bool { return now.Sub(p.done) >= p.Quiet }
