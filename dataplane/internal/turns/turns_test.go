package turns

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestWorksPauseTogether has two works and looks whether either computes while the
// other pauses: nobody else would have a turn then. The clock is that of the bubble.
func TestWorksPauseTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const steps, step = 4000, 100 * time.Microsecond
		turns := New()
		var computing atomic.Int64
		start := time.Now()
		var works sync.WaitGroup
		for range 2 {
			works.Go(func() {
				turns.Run(func(breathe func()) {
					for range steps {
						if computing.Add(1) > 1 {
							t.Error("two works compute at once")
						}
						time.Sleep(step) // It computes.
						computing.Add(-1)
						breathe()
					}
				})
			})
		}
		works.Wait()
		worked := 2 * steps * step
		paused := time.Since(start) - worked
		// A slice of steps: at most those until the clock is looked at, and those of a slice.
		if least := worked / (slice + every*step) * pause; paused < least {
			t.Errorf("in %v of work others had %v; want %v at least", worked, paused, least)
		}
		if most := worked / slice * pause; paused > most {
			t.Errorf("in %v of work others had %v; want %v at most", worked, paused, most)
		}
	})
}

// TestManyShortWorksPauseAsOneLongOne is of many works in a row, such as the messages of
// one update: the slice goes on from one to the next.
func TestManyShortWorksPauseAsOneLongOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const works, step = 1000, 50 * time.Microsecond
		turns := New()
		start := time.Now()
		for range works {
			turns.Run(func(breathe func()) {
				time.Sleep(step)
				breathe()
			})
		}
		paused := time.Since(start) - works*step
		if want := works * step / slice * pause; paused < want-pause || paused > want+pause {
			t.Errorf("paused for %v in %v; want %v", paused, works*step, want)
		}
	})
}
