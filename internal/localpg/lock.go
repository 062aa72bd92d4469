package localpg

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// lock is held on a file for as long as a server runs. The kernel lets go of it
// when this process ends, so that it is never stale; what the file says is for
// people.
type lock struct {
	file *os.File
	once sync.Once
}

// errLocked is what tryLock returns if another holds the lock.
var errLocked = errors.New("locked by another process")

// acquire takes the lock at path, or says who holds it. home is the directory
// that the message names.
func acquire(path, home string) (*lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unwritable(home, err)
	}
	if err := tryLock(f); err != nil {
		defer f.Close()
		if errors.Is(err, errLocked) {
			return nil, inUse(home, f.Name())
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	l := &lock{file: f}
	note := fmt.Sprintf("pid %d, since %s\n", os.Getpid(), time.Now().UTC().Format(time.RFC3339))
	if err := errors.Join(f.Truncate(0), writeAtStart(f, note)); err != nil {
		l.release()
		return nil, unwritable(home, err)
	}
	return l, nil
}

func writeAtStart(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// release lets go of the lock. More than once is once. Closing the file alone
// would not do: a child that is being forked just now has a copy of it.
func (l *lock) release() {
	l.once.Do(func() {
		unlock(l.file)
		_ = l.file.Close() // Nothing was written that a close could lose.
	})
}

// inUse is the problem of a second Warder.
func inUse(home, path string) error {
	who := "it does not say who"
	if text, err := os.ReadFile(path); err == nil && len(text) > 0 {
		who = strings.TrimSpace(string(text))
	}
	return problem{
		what:  fmt.Sprintf("another warder (%s) uses this data directory: %s", who, home),
		why:   "one PostgreSQL serves one directory, and it is running",
		fix:   []string{"stop the other one, or give this one a directory of its own: --data-dir /path (or WARDER_DATA_DIR)"},
		cause: errLocked,
	}.fault()
}
