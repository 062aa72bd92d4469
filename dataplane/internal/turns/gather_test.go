package turns

import (
	"runtime"
	"strings"
	"sync"
	"testing"
)

// TestGatherHasAllComeSoFar runs goroutines of two steps on one processor.
func TestGatherHasAllComeSoFar(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer func(before bool) { gathers = before }(gathers)
	for _, gathers = range []bool{true, false} {
		want := strings.Repeat("12", 5)
		if gathers {
			want = "1111122222"
		}
		got := ""
		for range 5 { // A machine that is busy may interrupt one.
			if got = inSteps(5); got == want {
				break
			}
		}
		if got != want {
			t.Errorf("gathers: %v: %s; want %s", gathers, got, want)
		}
	}
}

// inSteps has goroutines say when they take each of two steps.
func inSteps(goroutines int) string {
	var mu sync.Mutex
	var steps strings.Builder
	step := func(which byte) {
		mu.Lock()
		defer mu.Unlock()
		steps.WriteByte(which)
	}
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			step('1')
			Gather()
			step('2')
		})
	}
	all.Wait()
	return steps.String()
}
