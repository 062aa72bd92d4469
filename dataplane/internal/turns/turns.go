// Package turns has long work and calls take turns on a processor.
//
//	work   ███ pause ███ pause ███        breathe() ends a slice when its time is up
//	calls      ▒▒▒▒▒     ▒▒▒▒▒
//
// Go looks at the network when a processor has nothing to run, or else each ten
// milliseconds. A node that has one processor would let calls wait for all that
// time while it applies a snapshot. Work that is done in turns leaves the processor
// idle for a moment after each slice, so that calls go on as their answers come.
//
// The collector does not pause so, and a system call that waits for the disk keeps its
// processor, too, until the runtime takes notice, which is again some ten milliseconds.
// So there are more processors than one as long as work is done in turns: see loan.
package turns

import (
	"runtime"
	"time"
)

const (
	// slice is how long work computes between two pauses. A call waits for two or
	// three of them: for its request, and for the answer.
	slice = 250 * time.Microsecond
	// pause is how long work pauses at least. An idle process sleeps for a
	// millisecond instead, as the system counts. A busy one pauses again while others
	// wait for the processor, up to maxPause, so that the work keeps a share.
	pause    = 150 * time.Microsecond
	maxPause = 2 * time.Millisecond
	// atOnce is how soon whoever gives way has the processor back if nobody else
	// wants it.
	atOnce = 10 * time.Microsecond
	// every is how many breaths look at the clock once.
	every = 4
)

// Turns lets one work compute at a time: two that paused at different times would
// leave no moment for others. Works that compute at the same time take turns with one
// another, too. It is safe for concurrent use.
type Turns struct {
	free chan struct{} // holds a token while nobody works

	// The rest is of who works.
	breaths int
	resumed time.Time // when the last pause ended
}

// New returns turns that nobody has taken.
func New() *Turns {
	t := &Turns{free: make(chan struct{}, 1)}
	t.free <- struct{}{}
	return t
}

// Run does the work and returns when it has ended. The work calls breathe again
// and again, with a few microseconds of computing in between; other works have
// their turn there, too. Only the work's own goroutine may call breathe, and it may
// not call Run.
func (t *Turns) Run(work func(breathe func())) {
	<-t.free
	defer func() { t.free <- struct{}{} }()
	t.breaths = 0
	work(t.breathe)
}

// breathe pauses if the slice is over.
func (t *Turns) breathe() {
	t.breaths++
	if t.breaths%every != 1 || time.Since(t.resumed) < slice {
		return
	}
	processors.work(time.Now())
	// Whoever works next finds the pause made: nobody else has a turn while it lasts.
	for began := time.Now(); ; {
		time.Sleep(pause)
		asked := time.Now()
		runtime.Gosched() // A sleeper comes first; those who were waiting are before him now.
		if t.resumed = time.Now(); t.resumed.Sub(asked) < atOnce || t.resumed.Sub(began) > maxPause {
			break
		}
	}
	t.free <- struct{}{} // Who has waited longest takes it.
	<-t.free
}

// Wait makes system calls that wait for the disk or work for milliseconds, and gives a process that has one processor another
// one as long as that takes. Nobody waits for another who waits for the disk.
func Wait(call func()) {
	defer processors.wait()()
	call()
}

// WaitOften is Wait for what is called many times a second. The processor stays lent for a while.
func WaitOften(call func()) {
	processors.again(time.Now())
	call()
}
