package filelock

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// maxNote bounds what is read of a note, in bytes: it is short, unless somebody else wrote the file.
const maxNote = 200

// HeldError says that another process holds a lock.
type HeldError struct {
	Path string
	// Who is what the other wrote, such as "pid 4711, since 2026-11-23T12:00:00Z". Empty: it has not written it yet.
	Who string
}

func (e *HeldError) Error() string {
	if e.Who == "" {
		return e.Path + " is locked by another process"
	}
	return fmt.Sprintf("%s is locked by another process (%s)", e.Path, e.Who)
}

// Lock is held until Release, or the end of the process. It may be used from many goroutines.
type Lock struct {
	file *os.File
	once sync.Once
}

// Take takes the lock at path, whose directory has to exist, and does not wait. Where another process holds it, or this one
// by another Lock, the error is a *HeldError.
func Take(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := tryLock(f); err != nil {
		defer f.Close()
		if errors.Is(err, errLocked) {
			return nil, &HeldError{Path: path, Who: note(f)}
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	l := &Lock{file: f}
	text := fmt.Sprintf("pid %d, since %s\n", os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	if err := errors.Join(f.Truncate(0), writeAtStart(f, text)); err != nil {
		l.Release()
		return nil, fmt.Errorf("write lock: %w", err)
	}
	return l, nil
}

// errLocked is what tryLock returns if another holds the lock.
var errLocked = errors.New("locked by another process")

// note is what the holder wrote. That it cannot be read does not matter beside that it holds the lock.
func note(f *os.File) string {
	text, err := io.ReadAll(io.LimitReader(f, maxNote))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func writeAtStart(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// Release lets go of the lock. More than once is once. Closing the file alone would not do: a child that is being forked
// just now has a copy of it.
func (l *Lock) Release() {
	l.once.Do(func() {
		unlock(l.file)
		_ = l.file.Close() // Nothing was written that a close could lose.
	})
}
