package dataplane

import (
	"runtime"
	"testing"
)

// TestWorkLeavesAProcessorForCalls is of a process that has one, and of one that
// has more.
func TestWorkLeavesAProcessorForCalls(t *testing.T) {
	t.Setenv("GOMAXPROCS", "")
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var s spare
	for _, c := range []struct{ has, during, both int }{{1, 2, 3}, {2, 2, 2}} {
		runtime.GOMAXPROCS(c.has)
		s.run(func() {
			if n := runtime.GOMAXPROCS(0); n != c.during {
				t.Errorf("of %d: %d during the work; want %d", c.has, n, c.during)
			}
			s.run(func() {
				if n := runtime.GOMAXPROCS(0); n != c.both {
					t.Errorf("of %d: %d during two works; want %d", c.has, n, c.both)
				}
			})
		})
		if n := runtime.GOMAXPROCS(0); n > max(c.has, runtime.NumCPU()) {
			t.Errorf("of %d: %d afterwards", c.has, n)
		}
	}
	t.Setenv("GOMAXPROCS", "1")
	runtime.GOMAXPROCS(1)
	s.run(func() {
		if n := runtime.GOMAXPROCS(0); n != 1 {
			t.Errorf("%d processors; the operator wants 1", n)
		}
	})
}
