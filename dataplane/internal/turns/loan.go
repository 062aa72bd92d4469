package turns

import (
	"os"
	"runtime"
	"sync"
	"time"
)

const (
	// aside is how many processors a process that has one gets while a system call waits for the disk: that call keeps one.
	aside = 2
	// shared is how many it gets while long work is done on one core. With that many the runtime has a thread of its own collect what
	// the work left, and the system, which wakes whoever has a call to read, takes turns between the threads. With one, the
	// collector computes for three to eight milliseconds in which nobody looks at the network.
	shared = 4
	// after is how long that goes on when the work has paused last: what it left is collected afterwards. It is also how long whoever
	// waits for the disk again and again has a processor lent since the last time.
	after = 500 * time.Millisecond
)

// loan has a process that has one processor use more for a while. They are not left in place: on one core, a second processor only
// costs, some 10 % of a call. Where GOMAXPROCS says how many there are, the operator has the word. It is safe for concurrent use.
type loan struct {
	cores int // of the machine, as far as this process may use them

	mu     sync.Mutex
	waits  int       // system calls that wait for the disk
	last   time.Time // when one was made that others follow
	often  bool      // somebody looks again after that
	until  time.Time // when the last long work is over
	timed  bool      // somebody looks again then
	extent int       // how many are in use; 0: nothing is lent
}

var processors = loan{cores: runtime.NumCPU()}

// wait lends while a system call waits for the disk, until the function that it returns is called.
func (l *loan) wait() (done func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits++
	l.settle()
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.waits--
		l.settle()
	}
}

// again lends while system calls wait for the disk again and again, until a while after the last: to lend for each, which stops
// all goroutines for a moment, would cost more than the processor.
func (l *loan) again(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = now
	if !l.often && (l.extent > 0 || runtime.GOMAXPROCS(0) == 1) {
		l.often = true
		time.AfterFunc(after, l.rest)
		l.settle()
	}
}

// rest ends what again began, or looks again later.
func (l *loan) rest() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if left := time.Until(l.last.Add(after)); left > 0 {
		time.AfterFunc(left, l.rest)
		return
	}
	l.often = false
	l.settle()
}

// work lends while long work is done: it says so again and again. A process that may use one of many cores for a part of the time
// gets nothing: it would use that part up at once, and then stand still.
func (l *loan) work(now time.Time) {
	if l.cores != 1 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = now.Add(after)
	if !l.timed {
		l.timed = true
		time.AfterFunc(after, l.look)
	}
	l.settle()
}

// look ends what work began, or looks again later.
func (l *loan) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if left := time.Until(l.until); left > 0 {
		time.AfterFunc(left, l.look)
		return
	}
	l.timed = false
	l.settle()
}

// settle has as many in use as are wanted. The caller holds mu.
func (l *loan) settle() {
	want := 0
	switch {
	case l.timed:
		want = shared
	case l.waits > 0, l.often:
		want = aside
	}
	switch {
	case want == l.extent:
	case l.extent == 0 && (runtime.GOMAXPROCS(0) != 1 || os.Getenv("GOMAXPROCS") != ""): // It has enough, or is to have no more.
	case want == 0:
		l.extent = 0
		runtime.SetDefaultGOMAXPROCS() // It is followed again if a container is given more.
	default:
		l.extent = want
		runtime.GOMAXPROCS(want)
	}
}
