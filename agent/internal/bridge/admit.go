package bridge

import (
	"errors"
	"sync"
	"time"
)

// nobody is the caller behind whom there is no user: the gateway itself, or the agent.
const nobody = ""

// quiet is for how long a process has to have been quiet to make room for another one.
const quiet = time.Minute

// admit takes a place among the processes for one of a caller, and makes one if it must. A caller who has his share gets the
// place of his own that has been quiet for longest. Where all are taken he does so, too, or gets that of another one; where
// the agent has no more, one of any of its servers. If none is quiet, he gets none.
func (s *Server) admit(caller string) error {
	for room := false; ; room = true {
		err := s.place(caller)
		if room || !errors.Is(err, errShare) && !errors.Is(err, errFull) && !errors.Is(err, errPlaces) {
			return err
		}
		w := s.quietOne(caller, err)
		if w == nil || !w.retire() {
			return err
		}
		w.server.config.Log.Debug("quiet process makes room for another one", "pid", w.PID())
		w.Stop()
		<-w.followed
	}
}

// place takes a place if there is one.
func (s *Server) place(caller string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errClosed
	case s.pace.Wait(time.Now()) > 0:
		return errAway
	case caller != nobody && s.taken(caller) >= s.config.Share:
		return errShare
	case len(s.workers)+s.pending >= s.config.Processes:
		return errFull
	case !s.config.Places.take():
		return errPlaces
	}
	s.pending++
	s.starting[caller]++
	s.all.Add(1) // Close waits for what is on its way.
	return nil
}

// taken counts the places of a caller. It is called with s.mu held.
func (s *Server) taken(caller string) int {
	n := s.starting[caller]
	for w := range s.workers {
		if w.caller == caller {
			n++
		}
	}
	return n
}

// started notes that a process of a caller is no longer on its way. It is called with s.mu held.
func (s *Server) started(caller string) {
	s.pending--
	if s.starting[caller]--; s.starting[caller] == 0 {
		delete(s.starting, caller)
	}
}

// quietOne returns the process that has to make room for one of a caller; nil: none can. Why says what there is no room in.
func (s *Server) quietOne(caller string, why error) *worker {
	idle := s.idle(quiet)
	for _, w := range idle {
		if w.caller == caller {
			return w
		}
	}
	switch {
	case errors.Is(why, errShare):
		return nil
	case errors.Is(why, errPlaces):
		return s.config.Places.quietOne()
	case len(idle) == 0:
		return nil
	}
	return idle[0]
}

// Places bounds the processes of several Servers together: each has one of them. When all are taken, the process that has
// been quiet for longest makes room, whichever server has it; if none has been for a minute, whoever wants another gets HTTP
// 503. A nil Places bounds nothing. It may be used from many goroutines.
type Places struct {
	mu      sync.Mutex
	free    int
	servers map[*Server]bool
}

// NewPlaces returns so many places.
func NewPlaces(n int) *Places { return &Places{free: n, servers: make(map[*Server]bool)} }

// take takes a place if one is free.
func (p *Places) take() bool {
	if p == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.free == 0 {
		return false
	}
	p.free--
	return true
}

func (p *Places) give() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free++
}

// enter has a server make room for others, until leave.
func (p *Places) enter(s *Server) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.servers[s] = true
}

func (p *Places) leave(s *Server) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.servers, s)
}

// quietOne returns the process of any server that has been quiet for longest; nil: none has been for long. It is called
// without a lock: servers take places while they hold theirs.
func (p *Places) quietOne() (longest *worker) {
	p.mu.Lock()
	servers := make([]*Server, 0, len(p.servers))
	for s := range p.servers {
		servers = append(servers, s)
	}
	p.mu.Unlock()
	var since time.Time
	for _, s := range servers {
		idle := s.idle(quiet)
		if len(idle) == 0 {
			continue
		}
		s.mu.Lock()
		used := idle[0].used
		s.mu.Unlock()
		if longest == nil || used.Before(since) {
			longest, since = idle[0], used
		}
	}
	return longest
}
