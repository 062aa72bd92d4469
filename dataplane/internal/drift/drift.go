package drift

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/gate"
	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	"github.com/warder-gateway/warder/internal/fault"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// Upstream makes calls, as upstream.Pool does.
type Upstream interface {
	Do(ctx context.Context, call *upstream.Call, sink upstream.Sink) (*upstream.Answer, error)
}

// Config is what a Watch needs. Upstream, Current and Log are required; durations
// of zero get their defaults.
type Config struct {
	Upstream Upstream
	// Current returns what the node knows; nil: nothing yet.
	Current func() *gate.Index
	Log     *slog.Logger
	// HoldTime is how long a call waits at most. Default 10 s: a server may have to be
	// started to be asked, and whoever calls waits for that rather than call again.
	HoldTime time.Duration
	// LookTime is how long the reading of a list may take. Default 15 s.
	LookTime time.Duration
	// Again is how old the last reading must be for a call that it refuses to have
	// the list read once more; a tenth of it if that reading failed. Default 1 s.
	Again time.Duration
}

// Errors of Check: faults, whose texts are for clients and the audit. What is unavailable may
// be tried again; the rest is for a person to decide.
var (
	ErrChanged   = fault.New(fault.Precondition, "the server changed this since it was approved; a person has to look at it first")
	ErrUncertain = fault.New(fault.Unavailable, "the server says that what it offers has changed, and cannot be asked at the moment what it is now; try again later")
)

// Watch knows which servers are in doubt. It is safe for concurrent use.
type Watch struct {
	config Config
	held   atomic.Int64 // servers in doubt

	mu     sync.Mutex
	doubts map[string]*doubts // by server
}

// doubts are those about the lists of one server.
type doubts [gate.Lists]*doubt

// doubt is about one list of one server. Its fields are guarded by Watch.mu.
type doubt struct {
	said    uint64        // how often the server said that it changed
	seen    uint64        // up to which of these the list has been read
	reading chan struct{} // closed when the reading under way is over; nil: there is none
	read    time.Time     // when the last one was over
	failed  error         // unless nil, the last one could not be finished: wraps ErrUncertain
	other   map[string]bool
	// other has the hashes of approved definitions that the server does not show
	// any more.
}

// New returns a Watch without doubts.
func New(config Config) *Watch {
	config.HoldTime = cmp.Or(config.HoldTime, 10*time.Second)
	config.LookTime = cmp.Or(config.LookTime, 15*time.Second)
	config.Again = cmp.Or(config.Again, time.Second)
	return &Watch{config: config, doubts: make(map[string]*doubts)}
}

// Suspect says that what a server offers may be something else now. Calls that
// come to Check afterwards are held. It never blocks.
func (w *Watch) Suspect(server string) {
	if index := w.config.Current(); index == nil {
		return
	} else if _, known := index.Server(server); !known {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.doubts[server]
	if all == nil {
		all = new(doubts)
		w.doubts[server] = all
		w.held.Add(1)
	}
	for list := range all {
		if all[list] == nil {
			all[list] = new(doubt)
		}
		all[list].said++
	}
}

// Retain forgets the doubts about servers that the node does not have any more.
func (w *Watch) Retain(servers []*snapshotv1.Server) {
	if w.held.Load() == 0 {
		return
	}
	known := make(map[string]bool, len(servers))
	for _, server := range servers {
		known[server.GetName()] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for server := range w.doubts {
		if !known[server] {
			delete(w.doubts, server)
			w.held.Add(-1)
		}
	}
}

// Check reports whether a call of an entry may go to its server now: ErrChanged and
// ErrUncertain say that it must not. It waits if it has to, for HoldTime or until
// ctx ends.
func (w *Watch) Check(ctx context.Context, entry *gate.Entry) error {
	if w.held.Load() == 0 {
		return nil
	}
	return w.check(ctx, entry)
}

// check is apart from Check so that calls without a doubt do not pay for the timer.
func (w *Watch) check(ctx context.Context, entry *gate.Entry) error {
	var timer *time.Timer
	said, stale := uint64(0), false
	for {
		w.mu.Lock()
		d := w.about(entry)
		if d == nil {
			w.mu.Unlock()
			return nil
		}
		if said == 0 {
			said = d.said // What the server says while the call waits, the next one waits for.
			stale = d.seen >= said && time.Since(d.read) >= d.again(w.config.Again)
		}
		if d.seen >= said {
			err := d.verdict(entry)
			if err == nil || !stale {
				w.mu.Unlock()
				return err
			}
			// It is refused for what was long ago: perhaps the server is as it was.
			d.said++
			said, stale = d.said, false
		}
		reading := w.look(d, entry)
		w.mu.Unlock()
		if timer == nil {
			timer = time.NewTimer(w.config.HoldTime)
			defer timer.Stop()
		}
		select {
		case <-reading:
		case <-timer.C:
			return ErrUncertain
		case <-ctx.Done():
			return ErrUncertain
		}
	}
}

// about returns the doubt about the list that an entry is in; nil: there is none.
// The caller holds mu.
func (w *Watch) about(entry *gate.Entry) *doubt {
	if all := w.doubts[entry.Server.Name()]; all != nil {
		return all[entry.List()]
	}
	return nil
}

// verdict says what the last reading means for a call.
func (d *doubt) verdict(entry *gate.Entry) error {
	switch {
	case d.failed != nil:
		return d.failed
	case d.other[string(entry.Hash)]:
		return ErrChanged
	}
	return nil
}

// again is how old the last reading must be to be repeated. One that failed cost little: a server that was away, as while
// its agent was started anew, is not refused for long after it is back.
func (d *doubt) again(usual time.Duration) time.Duration {
	if d.failed != nil {
		return usual / 10
	}
	return usual
}

// uncertain is ErrUncertain with what is known of the reason: callers of a server that is away are told that.
func uncertain(err error) error {
	if away, ok := errors.AsType[*unreachable](err); ok {
		return fault.Wrap(fault.Unavailable, ErrUncertain.Text()+": "+away.text, ErrUncertain)
	}
	return ErrUncertain
}

// look reads the list, unless that is under way, and returns what is closed
// afterwards. The caller holds mu.
func (w *Watch) look(d *doubt, entry *gate.Entry) <-chan struct{} {
	if d.reading != nil {
		return d.reading
	}
	reading := make(chan struct{})
	d.reading = reading
	server, list, said := entry.Server, entry.List(), d.said
	go func() {
		other, err := w.compare(server, list)
		w.mu.Lock()
		defer w.mu.Unlock()
		d.reading, d.read, d.seen = nil, time.Now(), said
		d.other, d.failed = other, nil
		if err != nil {
			d.failed = uncertain(err)
			w.config.Log.Info("a server that says that it changed could not be asked what it offers now; calls of it are refused",
				"server", server.Name(), "list", list.String(), "error", err)
		} else if len(other) > 0 {
			w.config.Log.Warn("a server has other definitions than were approved; calls of them are refused",
				"server", server.Name(), "list", list.String(), "count", len(other))
		}
		w.settle(server.Name(), list, d)
		close(reading)
	}()
	return reading
}

// settle forgets a doubt that is gone. The caller holds mu.
func (w *Watch) settle(server string, list gate.ListKind, d *doubt) {
	all := w.doubts[server]
	if all == nil || all[list] != d || d.failed != nil || len(d.other) > 0 || d.seen != d.said {
		return
	}
	all[list] = nil
	if *all == (doubts{}) {
		delete(w.doubts, server)
		w.held.Add(-1)
	}
}
