package replica

import "path/filepath"

// writer writes the latest snapshot to disk. Only one waits at a time: a newer one takes its place, because nobody needs
// those in between.
type writer struct {
	pending chan func() ([]byte, error) // capacity 1
	done    chan struct{}
}

// startWriter starts the goroutine that writes.
func (r *Replica[I]) startWriter() *writer {
	w := &writer{pending: make(chan func() ([]byte, error), 1), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for content := range w.pending {
			var err error
			r.compute(r.holdsMuch(), func() { err = r.write(content) })
			if err != nil {
				r.config.Log.Error("the snapshot could not be written to disk; a restart without the control plane would serve an older one", "error", err)
			}
		}
	}()
	return w
}

// put makes content the next to be written. It does not wait. One goroutine puts.
func (w *writer) put(content func() ([]byte, error)) {
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

// write seals and writes one snapshot.
func (r *Replica[I]) write(content func() ([]byte, error)) error {
	plain, err := content()
	if err != nil {
		return err
	}
	sealed, err := r.config.Seal.Seal(plain, sealContext)
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(r.config.Dir, snapshotFile), sealed)
}
