package dataplane

import (
	"os"
	"runtime"
	"sync"
)

// spare gives a process that has one processor of the Go runtime another one
// while something computes for long, so that calls need not share.
//
//	one processor    computing ──────────── network looked at each 10 ms ────────────
//	a second one     waits for the network, and serves; the system shares the core
//
// It is not left in place: while nothing computes, a second processor on one core
// only costs, some 10 % of a call. Where GOMAXPROCS says how many there are, the
// operator has the word.
type spare struct {
	mu     sync.Mutex
	works  int
	raised bool
}

// run does the work with a processor left for calls.
func (s *spare) run(work func()) {
	s.begin()
	defer s.end()
	work()
}

func (s *spare) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.works++; s.works == 1 {
		s.raised = runtime.GOMAXPROCS(0) == 1 && os.Getenv("GOMAXPROCS") == ""
	}
	if s.raised {
		runtime.GOMAXPROCS(1 + s.works)
	}
}

func (s *spare) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.works--
	switch {
	case !s.raised:
	case s.works > 0:
		runtime.GOMAXPROCS(1 + s.works)
	default:
		// What the runtime finds by itself, and follows if a container is given more.
		runtime.SetDefaultGOMAXPROCS()
	}
}
