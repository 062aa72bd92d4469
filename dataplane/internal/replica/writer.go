package replica

import (
	"io"
	"path/filepath"
	"time"
)

const (
	// restFactor is how much longer than a write the writer rests after it: to write a large snapshot takes the time of many
	// calls, and one revocation after another would have it written without a pause.
	restFactor = 4
	// maxRest bounds that, and with it how old the file may be: what a node that is killed then does not know of when it
	// starts without a control plane.
	maxRest = 2 * time.Second
)

// writer writes to disk the latest of what is to be kept. Only one waits at a time: a newer one takes its place, because
// nobody needs those in between.
type writer struct {
	pending chan content // capacity 1
	closing chan struct{}
	done    chan struct{}
}

// content writes itself to a file, and breathes meanwhile.
type content func(file io.Writer, breathe func()) error

// startWriter starts the goroutine that has contents written, one after another, and rests after each, for a least time or
// longer.
func startWriter(least time.Duration, write func(content)) *writer {
	w := &writer{pending: make(chan content, 1), closing: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for content := range w.pending {
			start := time.Now()
			write(content)
			w.rest(max(least, min(restFactor*time.Since(start), maxRest)))
		}
	}()
	return w
}

// rest waits, but not beyond close.
func (w *writer) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.closing:
	}
}

// put makes content the next to be written. It does not wait. One goroutine puts.
func (w *writer) put(content content) {
	for {
		select {
		case w.pending <- content:
			return
		default:
		}
		select {
		case <-w.pending: // superseded
		default: // the writer has just taken it
		}
	}
}

// close waits until what was put is written.
func (w *writer) close() {
	close(w.closing)
	close(w.pending)
	<-w.done
}

// startSnapshotWriter starts what keeps the snapshot on disk.
func (r *Replica[I]) startSnapshotWriter() *writer {
	return startWriter(0, func(content content) {
		if err := r.write(snapshotFile, content); err != nil {
			r.config.Log.Error("the snapshot could not be written to disk; a restart without the control plane would serve an older one", "error", err)
		}
	})
}

// write writes to a file of the directory. It waits for the disk outside of its turns.
func (r *Replica[I]) write(name string, content content) error {
	return replaceFile(filepath.Join(r.config.Dir, name), func(file io.Writer) (err error) {
		r.turns.Run(func(breathe func()) { err = content(file, breathe) })
		return err
	})
}
