// Package ownfile has files that are this user's alone, as a process keeps them for its next start: keys, an identity,
// what it was told last.
//
//	Begin ──▶ a draft beside the file ── Write … ──▶ sync ─┬─ Replace: takes the name from whoever has it
//	   └── Discard: as if nothing had been begun          └─ Place: takes it unless somebody has it
//
//	Read ──▶ what only this user can have read or written
//
// A file is whole after a crash, of the process or of the machine: as it was before, or as it is to be. When Replace or
// Place has returned without an error, it is as it is to be.
package ownfile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/warder-gateway/warder/internal/fault"
)

// Draft is a file that is to become another, to be written to. It belongs to one goroutine.
type Draft struct {
	*os.File
	path string
}

// Begin begins the draft of a file, in its directory and with mode 0600. Whoever begins one has to Discard it, whatever
// becomes of it.
func Begin(path string) (*Draft, error) {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, err
	}
	return &Draft{file, path}, nil
}

// Replace closes the draft and gives it the name of the file, which is lost if there is one.
func (d *Draft) Replace() error { return d.settle(os.Rename) }

// Place is Replace where there is no such file. One that is there stays, and is no error: somebody was first.
func (d *Draft) Place() error {
	return d.settle(func(from, to string) error {
		if err := os.Link(from, to); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	})
}

func (d *Draft) settle(name func(from, to string) error) error {
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return err
	}
	if err := name(d.Name(), d.path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(d.path))
}

// Discard removes the draft. What has got the name of the file stays.
func (d *Draft) Discard() {
	_ = d.Close() // Both fail once it has got its name, as they should.
	_ = os.Remove(d.Name())
}

// Replace writes a file anew, or for the first time.
func Replace(path string, content []byte) error { return write(path, content, (*Draft).Replace) }

// Place writes a file unless there is one; see [Draft.Place].
func Place(path string, content []byte) error { return write(path, content, (*Draft).Place) }

func write(path string, content []byte, settle func(*Draft) error) error {
	d, err := Begin(path)
	if err != nil {
		return err
	}
	defer d.Discard()
	if _, err := d.Write(content); err != nil {
		return err
	}
	return settle(d)
}

// Read returns at most the first limit bytes of a file. One that others can reach, who may have read or replaced it, is
// fault.Precondition, as is one that is no regular file. Windows has no such bits; its files are guarded by the directory
// that they inherit from.
func Read(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fault.Newf(fault.Precondition, "%s is not a regular file", path)
	}
	if open := info.Mode().Perm() & 0o077; open != 0 && runtime.GOOS != "windows" {
		return nil, fault.Newf(fault.Precondition, "%s can be reached by others (mode %04o); run chmod 600 %s", path, info.Mode().Perm(), path)
	}
	return io.ReadAll(io.LimitReader(file, limit))
}

// SyncDir makes the names in a directory survive the machine. Windows cannot sync a directory, and does not need to; some file
// systems of networks cannot either, and say so, which is no error.
func SyncDir(path string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	err = dir.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, dir.Close())
}
