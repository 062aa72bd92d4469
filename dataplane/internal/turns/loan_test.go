package turns

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// of has this process use so many processors until the test ends, as if nobody had said how many.
func of(t *testing.T, processors int) {
	t.Helper()
	t.Setenv("GOMAXPROCS", "")
	t.Cleanup(runtime.SetDefaultGOMAXPROCS)
	runtime.GOMAXPROCS(processors)
}

// TestWhoWaitsForTheDiskLeavesAProcessor is of a process that has one, and of one
// that has more.
func TestWhoWaitsForTheDiskLeavesAProcessor(t *testing.T) {
	for _, c := range []struct{ has, during int }{{1, 2}, {2, 2}, {3, 3}} {
		of(t, c.has)
		Wait(func() {
			if n := runtime.GOMAXPROCS(0); n != c.during {
				t.Errorf("of %d: %d during the wait; want %d", c.has, n, c.during)
			}
		})
		if n := runtime.GOMAXPROCS(0); n > max(c.has, runtime.NumCPU()) {
			t.Errorf("of %d: %d afterwards", c.has, n)
		}
	}
}

func TestTheOperatorHasTheWordOnProcessors(t *testing.T) {
	of(t, 1)
	t.Setenv("GOMAXPROCS", "1")
	l := loan{cores: 1}
	defer l.wait()()
	l.work(time.Now())
	if n := runtime.GOMAXPROCS(0); n != 1 {
		t.Errorf("%d processors; the operator wants 1", n)
	}
}

// TestWhoWaitsForTheDiskAgainAndAgainKeepsTheProcessorUntilItIsQuiet holds that it is not taken and given each time.
func TestWhoWaitsForTheDiskAgainAndAgainKeepsTheProcessorUntilItIsQuiet(t *testing.T) {
	of(t, 1)
	synctest.Test(t, func(t *testing.T) {
		l := &loan{cores: 1}
		for range 10 {
			l.again(time.Now())
			time.Sleep(after - time.Millisecond)
			synctest.Wait()
			if n := runtime.GOMAXPROCS(0); n != aside {
				t.Fatalf("%d processors; want %d", n, aside)
			}
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if l.extent != 0 || l.often {
			t.Errorf("something is still lent: %+v", l)
		}
	})
}

// TestLongWorkHasProcessorsUntilWhatItLeftIsCollected is on one core. With a part of one of many, nothing is lent.
func TestLongWorkHasProcessorsUntilWhatItLeftIsCollected(t *testing.T) {
	for _, cores := range []int{1, 8} {
		of(t, 1)
		synctest.Test(t, func(t *testing.T) {
			want := 1
			if cores == 1 {
				want = shared
			}
			l := &loan{cores: cores}
			for range 10 {
				l.work(time.Now())
				time.Sleep(after - time.Millisecond)
				synctest.Wait()
				if n := runtime.GOMAXPROCS(0); n != want {
					t.Fatalf("of %d cores: %d processors; want %d", cores, n, want)
				}
			}
			waited := l.wait()
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if n := runtime.GOMAXPROCS(0); n != aside {
				t.Errorf("of %d cores: %d processors while the disk is waited for", cores, n)
			}
			waited()
			if l.extent != 0 || l.timed {
				t.Errorf("of %d cores: something is still lent: %+v", cores, l)
			}
		})
	}
}
