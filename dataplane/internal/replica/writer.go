package replica

import (
	"io"
	"path/filepath"
)

// writer writes the latest snapshot to disk. Only one waits at a time: a newer one takes its place, because nobody needs
// those in between.
type writer struct {
	pending chan content // capacity 1
	done    chan struct{}
}

// content writes itself to a file, and breathes meanwhile.
type content func(file io.Writer, breathe func()) error

// startWriter starts the goroutine that writes.
func (r *Replica[I]) startWriter() *writer {
	w := &writer{pending: make(chan content, 1), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for content := range w.pending {
			if err := r.write(content); err != nil {
				r.config.Log.Error("the snapshot could not be written to disk; a restart without the control plane would serve an older one", "error", err)
			}
		}
	}()
	return w
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
	close(w.pending)
	<-w.done
}

// write writes one snapshot to its file. It waits for the disk outside of its turns.
func (r *Replica[I]) write(content content) error {
	return replaceFile(filepath.Join(r.config.Dir, snapshotFile), func(file io.Writer) (err error) {
		r.turns.Run(func(breathe func()) { err = content(file, breathe) })
		return err
	})
}
