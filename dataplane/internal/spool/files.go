package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/filelock"
	"github.com/warder-gateway/warder/internal/ownfile"
)

// directory is where the rings of one node lie, locked for this process.
type directory struct {
	path string
	lock *filelock.Lock
	log  *slog.Logger
}

// openDirectory makes the directory if it is not there, and locks it.
func openDirectory(path string, log *slog.Logger) (*directory, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fault.Wrap(fault.Precondition, "the directory of the audit queue, "+path+", cannot be brought to the disk", err)
	}
	lock, err := filelock.Take(filepath.Join(path, "lock"))
	if held, ok := errors.AsType[*filelock.HeldError](err); ok {
		return nil, fault.Wrap(fault.Precondition, "another node runs with this data directory ("+held.Who+"); each needs one of its own", err)
	}
	if err != nil {
		return nil, fault.Wrap(fault.Precondition, "the directory of the audit queue, "+path+", cannot be used", err)
	}
	d := &directory{path: path, lock: lock, log: log}
	if err := ownfile.SyncDir(filepath.Dir(path)); err != nil { // It may be new.
		lock.Release()
		return nil, fault.Wrap(fault.Precondition, "the directory of the audit queue, "+path+", cannot be made", err)
	}
	return d, nil
}

// How the names of rings end, and behind that those of files that were still to become one.
const (
	suffix     = ".ring"
	unfinished = ".new"
)

// left returns the rings that earlier processes left here, oldest first. One that cannot be read is put aside, loudly.
func (d *directory) left() ([]*ring, error) {
	if err := d.tidy(); err != nil {
		return nil, err
	}
	names, err := fs.Glob(os.DirFS(d.path), "*"+suffix)
	if err != nil {
		return nil, err
	}
	slices.Sort(names) // By generation.
	var rings []*ring
	for _, name := range names {
		path := filepath.Join(d.path, name)
		r, err := openRing(path)
		if errors.Is(err, errNoRing) {
			d.log.Error("audit: a file is no audit queue of a node, or its first page is damaged; its events cannot be handed over",
				"file", path, "kept as", path+".damaged")
			if err := os.Rename(path, path+".damaged"); err != nil {
				return rings, fmt.Errorf("put a damaged audit queue aside: %w", err)
			}
			continue
		}
		if err != nil {
			return rings, fault.Wrap(fault.Precondition, "the audit queue "+path+" of an earlier process cannot be opened", err)
		}
		rings = append(rings, r)
	}
	return rings, nil
}

// tidy removes what processes left that were killed while they made a ring. Nothing was ever in it.
func (d *directory) tidy() error {
	names, err := fs.Glob(os.DirFS(d.path), "*"+suffix+unfinished)
	for _, name := range names {
		err = errors.Join(err, os.Remove(filepath.Join(d.path, name)))
	}
	return err
}

// create makes a ring for so many bytes of records.
func (d *directory) create(epoch, generation uint64, size int64) (*ring, error) {
	path := filepath.Join(d.path, fmt.Sprintf("%016x-%016x%s", generation, epoch, suffix))
	r, err := createRing(path, epoch, generation, size)
	if err != nil {
		text := fmt.Sprintf("the audit queue, %d MiB in %s, cannot be made; make room, or have a smaller one by --audit-queue-bytes",
			(pageLen+size+maxRecord)>>20, d.path)
		return nil, fault.Wrap(fault.Precondition, text, err)
	}
	return r, nil
}

// createRing makes the file under another name until it is one: whoever is killed meanwhile leaves nothing that is taken for
// a queue. Its head page is on the disk, not only the kernel's, for without that one all records are nobody's; and so is the name
// that it gets.
func createRing(path string, epoch, generation uint64, size int64) (*ring, error) {
	file, err := os.OpenFile(path+unfinished, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	err = reserve(file, pageLen+size+maxRecord)
	if err == nil {
		_, err = file.WriteAt(introduction(epoch, generation, newSecret()), 0)
	}
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(path+unfinished, path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(path+unfinished))
	}
	err = ownfile.SyncDir(filepath.Dir(path))
	var r *ring
	if err == nil {
		r, err = openRing(path)
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return r, nil
}

// newRing returns an empty ring in a piece of memory.
func newRing(memory *mapping, epoch uint64) *ring {
	return &ring{epoch: epoch, memory: memory, records: memory.bytes[pageLen:]}
}

// errNoRing says that a file is not a ring.
var errNoRing = errors.New("not an audit queue")

// openRing opens a ring that was left behind. Its head is not known yet.
func openRing(path string) (*ring, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if info.Size() < pageLen {
		return nil, errors.Join(errNoRing, file.Close())
	}
	if int64(int(info.Size())) != info.Size() {
		return nil, errors.Join(errors.New("it is larger than the memory of this machine can be"), file.Close())
	}
	memory, err := mapFile(file, int(info.Size()))
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r := newRing(memory, 0)
	known := false
	if err := touching(func() { known = r.introduce() }); err != nil || !known {
		return nil, errors.Join(errNoRing, err, memory.close())
	}
	return r, nil
}

// discard ends a ring and removes its file.
func (r *ring) discard() error {
	if r.memory.file == nil {
		return nil
	}
	path := r.memory.file.Name()
	return errors.Join(r.memory.close(), os.Remove(path))
}

// fill writes zeros.
func fill(file *os.File, size int64) error {
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < size; at += int64(len(zeros)) {
		if _, err := file.WriteAt(zeros[:min(size-at, int64(len(zeros)))], at); err != nil {
			return err
		}
	}
	return nil
}
