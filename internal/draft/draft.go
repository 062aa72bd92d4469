// Package draft writes files that are whole after a crash, of the process or of the machine: as they were before, or as
// they are to be.
//
//	Begin ──▶ a file beside it, for this user's eyes ── Write … ──▶ sync ─┬─ Replace: takes the name from whoever has it
//	   └── Discard: as if nothing had been begun                         └─ Place: takes it unless somebody has it
//
// When Replace or Place has returned without an error, the file survives the machine.
package draft

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// File is a draft of a file, to be written to. It belongs to one goroutine.
type File struct {
	*os.File
	path string
}

// Begin begins the draft of a file, in its directory and with mode 0600. Whoever begins one has to Discard it, whatever
// becomes of it.
func Begin(path string) (*File, error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, err
	}
	return &File{file, path}, nil
}

// Replace closes the draft and gives it the name of the file, which is lost if there is one.
func (f *File) Replace() error { return f.settle(os.Rename) }

// Place is Replace where there is no such file. One that is there stays, and is no error: somebody was first.
func (f *File) Place() error {
	return f.settle(func(from, to string) error {
		if err := os.Link(from, to); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
}

func (f *File) settle(name func(from, to string) error) error {
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := name(f.Name(), f.path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(f.path))
}

// Discard removes the draft. What has got the name of the file stays.
func (f *File) Discard() {
	f.Close()
	os.Remove(f.Name())
}

// Replace writes a file anew, or for the first time.
func Replace(path string, content []byte) error { return write(path, content, (*File).Replace) }

// Place writes a file unless there is one; see [File.Place].
func Place(path string, content []byte) error { return write(path, content, (*File).Place) }

func write(path string, content []byte, settle func(*File) error) error {
	f, err := Begin(path)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := f.Write(content); err != nil {
		return err
	}
	return settle(f)
}

// SyncDir makes the names in a directory survive the machine. Windows cannot sync a directory, and does not need to.
func SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
