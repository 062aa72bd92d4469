package bridge

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/warder-gateway/warder/agent/internal/wire"
	"github.com/warder-gateway/warder/internal/mcp"
)

const (
	// restTime is for how long a listen stays before one that asks for more takes its place: all who listen then ask for
	// their lists again, so that those who come meanwhile wait to be one replacement.
	restTime = time.Second
	// endTime is how long a cancelled listen is waited for: servers need not answer what was cancelled.
	endTime = time.Second
	// refusedTime is for how long what a process did not honour is believed to be not honoured.
	refusedTime = time.Minute
	// maxMerged bounds the resources of all listeners together, in bytes. Those that find no room are not honoured.
	maxMerged = 1 << 20
	// maxData bounds what is kept of the data of an error, in bytes. More is left out.
	maxData = 64 << 10
)

var errUnacknowledged = errors.New("the server did not acknowledge a subscription in time")

// merged is the one listen at a process.
type merged struct {
	listen   *wire.Call // nil: there is none
	opened   time.Time
	asked    wishes
	honoured wishes
	next     time.Time // when another may be opened, at the earliest
	few      int       // how many newcomers are asked for at a time; 0: all
	exact    bool      // the process refuses to be asked for lists that nobody wants
}

// run keeps the listen at the process, until that has ended.
func (a *audience) run() {
	defer a.dissolve()
	rest := time.NewTimer(0)
	defer rest.Stop()
	for {
		rest.Reset(a.settle())
		var said, answered <-chan struct{}
		if a.listen != nil {
			said, answered = a.listen.Box.Ready(), a.listen.Done()
		}
		select {
		case <-a.worker.Dead():
			return
		case <-a.changed:
		case <-rest.C:
		case <-said:
			a.hear()
		case <-answered:
			a.hear()
			a.finish(a.drop(), a.present())
		}
	}
}

// dissolve fails all listeners, now that the process has ended.
func (a *audience) dissolve() {
	if a.listen != nil {
		a.listen.Release()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = a.worker.Err()
	for l := range a.listeners {
		l.finish(&ending{err: a.over})
	}
}

// settle brings the listen into line with who listens, and returns when to look again at the latest.
func (a *audience) settle() time.Duration {
	for !a.gone() {
		newcomers := a.newcomers()
		switch wait := time.Until(a.next); {
		case len(a.present()) == 0:
			if a.listen != nil {
				a.end()
			}
			return math.MaxInt64
		case a.listen != nil && len(newcomers) == 0:
			return math.MaxInt64
		case wait > 0:
			return wait
		case a.listen != nil:
			a.end()
		}
		a.open(newcomers)
	}
	return math.MaxInt64
}

// gone reports whether the process has ended.
func (a *audience) gone() bool {
	select {
	case <-a.worker.Dead():
		return true
	default:
		return false
	}
}

// present lists the listeners that are not at their end.
func (a *audience) present() (listeners []*listener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for l := range a.listeners {
		if l.end == nil {
			listeners = append(listeners, l)
		}
	}
	return listeners
}

// newcomers lists the listeners for whom more has to be asked than was. The others are admitted.
func (a *audience) newcomers() (listeners []*listener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for l := range a.listeners {
		switch {
		case l.admitted || l.end != nil:
		case a.listen != nil && l.wants.within(&a.honoured),
			a.listen != nil && l.wants.within(&a.asked) && time.Since(a.opened) < refusedTime:
			l.admit(&a.honoured)
		default:
			listeners = append(listeners, l)
		}
	}
	return listeners
}

// admitted lists the listeners that were admitted.
func (a *audience) admitted() []*listener {
	return slices.DeleteFunc(a.present(), func(l *listener) bool { return !l.admitted }) // Which run alone changes.
}

// open opens a listen for all who were admitted, and for newcomers. If the process refuses, it does so to fewer newcomers
// the next time, until it is known for whose sake: nobody is to lose anything for what others want.
func (a *audience) open(newcomers []*listener) {
	if a.few > 0 && len(newcomers) > a.few {
		newcomers = newcomers[:a.few]
	}
	old := a.admitted()
	if err := a.ask(old, newcomers); err != nil {
		a.next = time.Now().Add(a.worker.server.config.listenRest)
		a.finish(&ending{err: err}, newcomers) // The others will be listened for again.
		return
	}
	end := a.acknowledged()
	switch {
	case end == nil:
		a.next, a.few = time.Now().Add(a.worker.server.config.listenRest), 0
		a.welcome(old, newcomers)
	case end.refused && !a.exact:
		a.exact = true
	case end.refused && len(newcomers) > 1:
		a.few = len(newcomers) / 2
	default:
		a.exact = false
		if len(newcomers) == 0 {
			newcomers = old
		}
		a.finish(end, newcomers)
	}
}

// ask asks the process for all that the listeners want, those first who had it already. After an error there is no listen.
func (a *audience) ask(old, newcomers []*listener) (err error) {
	a.asked = wishes{uris: make(map[string]bool)}
	room := maxMerged
	a.mu.Lock()
	for _, some := range [][]*listener{old, newcomers} {
		for _, l := range some {
			a.asked.kinds |= l.wants.kinds
			for uri := range l.wants.uris {
				if !a.asked.uris[uri] && room >= len(uri) {
					a.asked.uris[uri] = true
					room -= len(uri)
				}
			}
		}
	}
	a.mu.Unlock()
	if !a.exact {
		a.asked.kinds = allKinds
	}
	params := a.worker.server.modernParams()
	params = append(params[:len(params)-1], `,"notifications":`...)
	ctx, cancel := context.WithTimeout(context.Background(), a.worker.server.config.WaitTime)
	defer cancel()
	a.opened = time.Now()
	a.listen, err = begin(ctx, a.worker, mcp.MethodListen, append(a.asked.append(params), '}'))
	return err
}

// acknowledged waits for the process to say what it honours. If it does not, it returns why, and there is no listen.
func (a *audience) acknowledged() *ending {
	patience := time.NewTimer(a.worker.server.config.WaitTime)
	defer patience.Stop()
	for {
		over := false
		select {
		case <-a.listen.Box.Ready():
		case <-a.listen.Done():
			over = true
		case <-patience.C:
			a.end()
			return &ending{err: errUnacknowledged}
		}
		if a.hear() {
			return nil
		}
		if over {
			return a.drop()
		}
	}
}

// welcome admitted newcomers, and tells the others what they may have missed.
func (a *audience) welcome(old, newcomers []*listener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range old {
		l.tellAll()
	}
	for _, l := range newcomers {
		l.admit(&a.honoured)
	}
}

// hear takes what the process has said, and reports whether it has acknowledged the listen.
func (a *audience) hear() (acknowledged bool) {
	for _, body := range a.listen.Box.Take() {
		var scan mcp.Response
		if mcp.ScanResponse(body, mcp.Limits{}, &scan) != nil {
			continue // It was scanned before it was put there.
		}
		if scan.Method == mcp.MethodAcknowledged {
			honoured, err := honouredBy(scan.Params.Of(body))
			if err == nil {
				a.honoured, acknowledged = honoured.and(&a.asked), true
			}
			continue
		}
		a.pass(&scan)
	}
	if a.listen.Box.Missed() {
		a.mu.Lock()
		defer a.mu.Unlock()
		for l := range a.listeners {
			l.tellAll()
		}
	}
	return acknowledged
}

// pass tells of a change whoever is to hear of it. All else that a process may say there is nobody's.
func (a *audience) pass(scan *mcp.Response) {
	var kind kinds
	var uri string
	for _, list := range lists {
		if scan.Method == list.method {
			kind = list.kind
		}
	}
	if scan.Method == mcp.MethodResourceUpdated {
		uri = scan.URI
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for l := range a.listeners {
		l.tell(kind, uri)
	}
}

// finish ends some listeners.
func (a *audience) finish(end *ending, some []*listener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range some {
		l.finish(end)
	}
}

// drop forgets the listen, which the process has ended, and returns how.
func (a *audience) drop() *ending {
	answer, err := a.listen.Answer()
	end := &ending{err: err}
	if err == nil {
		var scan mcp.Response
		if end.err = mcp.ScanResponse(answer, mcp.Limits{}, &scan); end.err == nil && !scan.Error.Empty() {
			end.refused, end.code, end.text = true, scan.ErrorCode, scan.ErrorText
			if data := scan.ErrorData.Of(answer); len(data) <= maxData {
				end.data = bytes.Clone(data)
			}
		}
	}
	a.listen.Release()
	a.listen = nil
	return end
}

// end ends the listen, and returns when the process has done so, too, or does not say. The next one must not begin before:
// a process that knows one listener would forget it with this one.
func (a *audience) end() {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	_ = a.listen.Quit(ctx, "another takes its place, or nobody listens")
	for over := false; !over; {
		select {
		case <-a.listen.Box.Ready():
		case <-a.listen.Done():
			over = true
		case <-ctx.Done():
			a.listen.Cancel("")
			over = true
		}
		a.hear()
	}
	a.listen.Release()
	a.listen = nil
}
