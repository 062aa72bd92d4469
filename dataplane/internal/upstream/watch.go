package upstream

import (
	"context"
	"sync/atomic"
	"time"
)

// watch is the time that a server has. Its context ends with a cause that says why:
//
//	waiting ──headers──▶ reading ──event──▶ reading ──answer──▶ detached ──▶ closed
//	   │ errNoAnswer        │ errStalled                           │ a moment to finish the stream
//	   └────────────────────┴── errTooLong, errClientGone          └ the client no longer matters
//
// One timer serves all of it. A watch belongs to one goroutine; only its context is shared.
type watch struct {
	ctx      context.Context
	cancel   context.CancelCauseFunc
	detach   func() bool
	timer    *time.Timer
	deadline time.Time
	reading  atomic.Bool
	config   *Config
}

// start begins to wait for an answer. The context carries the values of the client's and ends when the client's does,
// but only until the watch is detached.
func (w *watch) start(client context.Context, config *Config) {
	w.config = config
	w.ctx, w.cancel = context.WithCancelCause(context.WithoutCancel(client))
	w.detach = context.AfterFunc(client, func() { w.cancel(errClientGone) })
	w.deadline = time.Now().Add(config.CallTimeout)
	w.timer = time.AfterFunc(min(config.HeaderTimeout, config.CallTimeout), w.expire)
}

// expire ends the context with what was being waited for.
func (w *watch) expire() {
	switch {
	case !time.Now().Before(w.deadline):
		w.cancel(errTooLong)
	case w.reading.Load():
		w.cancel(errStalled)
	default:
		w.cancel(errNoAnswer)
	}
}

// wait gives the server the time for the beginning of an answer.
func (w *watch) wait() {
	w.reading.Store(false)
	w.reset(w.config.HeaderTimeout)
}

// moved notes that the answer has begun, or went on.
func (w *watch) moved() {
	w.reading.Store(true)
	w.reset(w.config.IdleTimeout)
}

func (w *watch) reset(d time.Duration) {
	w.timer.Reset(min(d, max(time.Until(w.deadline), 0)))
}

// linger detaches the watch from the client and gives the server a moment to finish its stream.
func (w *watch) linger(d time.Duration) {
	w.detach()
	w.timer.Reset(d)
}

// close ends the context.
func (w *watch) close() {
	w.detach()
	w.timer.Stop()
	w.cancel(nil)
}
