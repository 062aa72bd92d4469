package lifetime

import (
	"context"
	"errors"
	"testing"
)

var errOver = errors.New("over")

func TestALifetimeEndsOnceWithItsCause(t *testing.T) {
	var l Lifetime
	ran := make(chan string, 4)
	l.AfterFunc(func() { ran <- "first" })
	stop := l.AfterFunc(func() { ran <- "stopped" })
	l.AfterFunc(func() { ran <- "third" })
	if !stop() || stop() {
		t.Error("stop reports the wrong thing")
	}
	if l.Err() != nil {
		t.Error("it is over before its end")
	}
	done := l.Done()
	l.End(errOver)
	l.End(errors.New("again"))
	<-done
	<-l.Done()
	if l.Err() != errOver || context.Cause(&l) != errOver { //nolint:errorlint // It is to be the same.
		t.Errorf("ended with %v, %v", l.Err(), context.Cause(&l))
	}
	if got := map[string]bool{<-ran: true, <-ran: true}; !got["first"] || !got["third"] {
		t.Errorf("ran %v", got)
	}
	late := l.AfterFunc(func() { ran <- "late" })
	if got := <-ran; got != "late" || late() {
		t.Errorf("what comes late: %q", got)
	}
}

func TestContextsOfPackageContextFollowALifetime(t *testing.T) {
	var l Lifetime
	child, cancel := context.WithCancel(&l)
	defer cancel()
	l.End(nil)
	<-child.Done()
	if !errors.Is(child.Err(), context.Canceled) || !errors.Is(l.Err(), context.Canceled) {
		t.Errorf("%v, %v", child.Err(), l.Err())
	}
}

func TestAHookWatchesEveryContext(t *testing.T) {
	var own Lifetime
	foreign, cancel := context.WithCancel(t.Context())
	for name, test := range map[string]struct {
		ctx context.Context
		end func()
	}{"own": {&own, func() { own.End(nil) }}, "foreign": {foreign, cancel}} {
		ran := make(chan bool, 1)
		var h Hook
		h.Watch(test.ctx, func() { ran <- true })
		test.end()
		if <-ran; h.Stop() {
			t.Errorf("%s: stopped after it ran", name)
		}
	}
}

func TestALifetimeCostsWhatIsAskedOfIt(t *testing.T) {
	f := func() {}
	var l Lifetime
	var h Hook
	watch := func() {
		h.Watch(&l, f)
		h.Stop()
	}
	if allocs := testing.AllocsPerRun(100, watch); allocs > 0 {
		t.Errorf("%v allocations to watch it", allocs)
	}
}

func TestHooksAreStoppedInAnyOrderAndUsedAgain(t *testing.T) {
	ran := make(chan int, 3)
	for _, order := range [][3]int{{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}} {
		var l Lifetime
		var hooks [3]Hook
		for range 2 {
			for i := range hooks {
				hooks[i].Watch(&l, func() { ran <- i })
			}
			for _, i := range order {
				for time := range 2 {
					if !hooks[i].Stop() {
						t.Errorf("%v: stop %d of %d was not in time", order, time+1, i)
					}
				}
			}
		}
		hooks[order[1]].Watch(&l, func() { ran <- order[1] })
		l.End(nil)
		if got := <-ran; got != order[1] || hooks[got].Stop() || hooks[got].Stop() {
			t.Errorf("%v: %d ran, or was stopped after that", order, got)
		}
	}
	if len(ran) > 0 {
		t.Errorf("what was stopped ran: %d", <-ran)
	}
}
