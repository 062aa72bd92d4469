package bridge

import (
	"cmp"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/warder-gateway/warder/agent/internal/process"
	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/budget"
	"github.com/warder-gateway/warder/internal/mcp"
)

// Config says what is behind a Server. The zero value of each field but Name and Spec means its default.
type Config struct {
	Name string
	Spec process.Spec
	// Dial makes a worker's connection to the server. It is to end by itself, in bounded time. Default: a process of Spec
	// is started.
	Dial func(wire.Hearer) (Peer, error)
	// Era is what the server speaks, if that is known. Default: it is found out.
	Era mcp.Era
	// Shared declares that one process may serve all. Else each session of the legacy era has one, and in the modern era,
	// which has no sessions, each caller.
	Shared bool
	// Verdicts remembers which commands speak which era. Default: an own one.
	Verdicts *Verdicts
	// Processes is how many may run at a time. Default 32.
	Processes int
	// Share is how many of them one caller gets at most. Default: three quarters, so that he alone may have many sessions
	// and never all places.
	Share int
	// Places bounds the processes of several Servers together. Default: nothing does.
	Places *Places
	// IdleTime is after how long without use a session or a shared process is ended. Default 30 min.
	IdleTime time.Duration
	// StartTime is how long a process may take to complete the handshake. Default 1 min.
	StartTime time.Duration
	// FirstTime is how long that may take where none of the command ever has: npx and its like download the program
	// first. Default 5 min.
	FirstTime time.Duration
	// WaitTime is how long a call waits for that before it is refused. Default 25 s, which is less than nodes wait.
	WaitTime time.Duration
	// Budget bounds what messages hold in memory. Default: none.
	Budget *budget.Budget
	// Process is how processes are run.
	Process process.Options
	// Changed is called after Status changed. It must not block. Default: nobody wants to know.
	Changed func()
	Log     *slog.Logger
	// Version is what servers are told of the agent.
	Version string

	listenRest time.Duration // Default: restTime. Tests have less of it.
}

func (c Config) withDefaults() Config {
	c.Processes = cmp.Or(c.Processes, 32)
	c.Share = cmp.Or(c.Share, max(1, c.Processes*3/4))
	c.IdleTime = cmp.Or(c.IdleTime, 30*time.Minute)
	c.StartTime = cmp.Or(c.StartTime, time.Minute)
	c.FirstTime = cmp.Or(c.FirstTime, 5*time.Minute)
	c.WaitTime = cmp.Or(c.WaitTime, 25*time.Second)
	c.listenRest = cmp.Or(c.listenRest, restTime)
	c.Process.Budget = c.Budget
	if c.Verdicts == nil {
		c.Verdicts = NewVerdicts()
	}
	if c.Changed == nil {
		c.Changed = func() {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Log = c.Log.With("server", c.Name)
	if c.Process.Log == nil {
		c.Process.Log = c.Log
	}
	if c.Dial == nil {
		c.Dial = func(ears wire.Hearer) (Peer, error) {
			p, err := process.Start(&c.Spec, ears, c.Process)
			if err != nil {
				return nil, err // Not p: a Peer that holds a nil is not nil.
			}
			return p, nil
		}
	}
	return c
}

// Server is one stdio server. It is a tunnel.Handler. It may be used from many goroutines, and must be closed.
type Server struct {
	config Config
	pace   process.Pace
	legacy slot // of the shared process

	mu       sync.Mutex
	modern   map[string]*slot // of the modern era, by caller
	starting map[string]int   // processes that are being started, by caller
	closed   bool
	ending   chan struct{} // closed by Close
	all      sync.WaitGroup
	workers  map[*worker]bool
	sessions map[string]*session
	finding  *finding // of the era, under way
	away     bool     // the last process crashed, and none has been started since
	pending  int      // processes that are being started, in all
	crashes  uint64
	latest   *worker
	failure  string
	failedAt time.Time // when failure was noted
}

// New returns a server of which nothing runs yet.
func New(config Config) *Server {
	s := &Server{
		config: config.withDefaults(), ending: make(chan struct{}),
		workers: make(map[*worker]bool), sessions: make(map[string]*session),
		modern: make(map[string]*slot), starting: make(map[string]int),
	}
	s.config.Places.enter(s)
	s.all.Go(s.tidy)
	return s
}

// Phase is what a server does. It is the wire's ServerPhase without its number.
type Phase string

// The phases.
const (
	Idle     Phase = "idle"     // nothing runs, and nothing has to until it is called
	Starting Phase = "starting" // the first process is on its way
	Running  Phase = "running"
	Waiting  Phase = "waiting" // it crashed, and is to be tried again
)

// Status is what people see of a server.
type Status struct {
	Phase Phase
	// Ready says that calls can be made.
	Ready bool
	// PID and Started are those of the process that was started last, if it runs.
	PID       int
	Started   time.Time
	Processes int
	// Restarts is how many processes have ended by themselves, and LastError why the last one did, or could not be
	// started. A server that has been well for a minute has none.
	Restarts  uint64
	LastError string
	// LastLine is what the program said last besides its messages, while it is starting: npx and its like warn, and tell of
	// what they fetch. It is redacted, as LastError is.
	LastLine string
}

// Status returns how the server is.
func (s *Server) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := Status{Phase: Idle, Ready: !s.away && !s.closed, Processes: len(s.workers), Restarts: s.crashes}
	if s.away || time.Since(s.failedAt) < RecentTime {
		status.LastError = s.failure
	}
	switch {
	case s.away && s.finding == nil:
		status.Phase = Waiting
	case s.anyReady():
		status.Phase = Running
	case len(s.workers)+s.pending > 0:
		status.Phase = Starting
	}
	if s.latest != nil && s.workers[s.latest] {
		if status.Phase == Starting {
			status.LastLine = s.latest.LastWords()
		}
		status.PID, status.Started = s.latest.PID(), s.latest.Started()
	}
	return status
}

// RecentTime is how long a failure is told of a server that is well again.
const RecentTime = time.Minute

// anyReady reports whether a process serves. It is called with s.mu held.
func (s *Server) anyReady() bool {
	for w := range s.workers {
		if w.ready && !w.disposable {
			return true
		}
	}
	return false
}

// Close ends all processes. Calls that are running fail. It returns when nothing is left.
func (s *Server) Close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.ending)
	}
	workers := make([]*worker, 0, len(s.workers))
	for w := range s.workers {
		workers = append(workers, w)
	}
	s.mu.Unlock()
	var stopping sync.WaitGroup
	for _, w := range workers {
		stopping.Go(w.Stop)
	}
	stopping.Wait()
	s.all.Wait()
	s.config.Places.leave(s)
}

// tidy ends what has not been used for long, until Close.
func (s *Server) tidy() {
	ticker := time.NewTicker(min(time.Minute, max(s.config.IdleTime/4, time.Millisecond)))
	defer ticker.Stop()
	for {
		select {
		case <-s.ending:
			return
		case <-ticker.C:
		}
		for _, w := range s.idle(s.config.IdleTime) {
			if w.retire() {
				s.config.Log.Debug("idle process is ended", "pid", w.PID())
				w.Stop()
			}
		}
	}
}

// idle lists the processes that nobody has used for so long, longest first.
func (s *Server) idle(d time.Duration) (idle []*worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := time.Now().Add(-d)
	for w := range s.workers {
		if w.ready && !w.retired && !w.inUse() && w.used.Before(before) {
			idle = append(idle, w)
		}
	}
	slices.SortFunc(idle, func(a, b *worker) int { return a.used.Compare(b.used) })
	return idle
}

var (
	errClosed = errors.New("the server is closed")
	errFull   = errors.New("as many processes of the server run as may")
	errShare  = errors.New("as many processes of the server run for the caller as may")
	errPlaces = errors.New("as many processes of the agent run as may")
	errStarts = errors.New("the server is starting for the first time, which may take minutes")
	errAway   = errors.New("the server crashed and is to be started again in a while")
)
