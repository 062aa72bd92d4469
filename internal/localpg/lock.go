package localpg

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/warder-gateway/warder/internal/filelock"
)

// acquire takes the lock at path, or says who holds it. home is the directory
// that the message names.
func acquire(path, home string) (*filelock.Lock, error) {
	l, err := filelock.Take(path)
	if held, ok := errors.AsType[*filelock.HeldError](err); ok {
		return nil, inUse(home, held)
	}
	if err != nil {
		return nil, unwritable(home, err)
	}
	return l, nil
}

// inUse is the problem of a second Warder.
func inUse(home string, held *filelock.HeldError) error {
	return problem{
		what:  fmt.Sprintf("another warder (%s) uses this data directory: %s", cmp.Or(held.Who, "it does not say who"), home),
		why:   "one PostgreSQL serves one directory, and it is running",
		fix:   []string{"stop the other one, or give this one a directory of its own: --data-dir /path (or WARDER_DATA_DIR)"},
		cause: held,
	}.fault()
}
