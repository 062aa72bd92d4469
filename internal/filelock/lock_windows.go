package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

var lockedByte = windows.Overlapped{OffsetHigh: 1}

// tryLock locks a byte far behind the end of the file, because what is locked here cannot be read, and the note is to be.
func tryLock(f *os.File) error {
	at := lockedByte
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errLocked
	}
	return err
}

func unlock(f *os.File) {
	at := lockedByte
	_ = windows.UnlockFileEx(windows.Handle(f.Fd()), 0, 1, 0, &at) // It holds the lock, so it can.
}
