package localpg

import (
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// machine is what this package asks of the computer it runs on. The fields that
// are nil ask the real one; tests answer in its place.
type machine struct {
	systemDirs func() []string                  // where PostgreSQL may be installed
	identities func() []identity                // as whom it may run, best first
	freeBytes  func(dir string) (uint64, error) // for this user, on the filesystem of dir
	noExec     func(path string) bool           // is path on a filesystem mounted noexec
}

func (m machine) complete() machine {
	if m.systemDirs == nil {
		m.systemDirs = systemDirs
	}
	if m.identities == nil {
		m.identities = identities
	}
	if m.freeBytes == nil {
		m.freeBytes = freeBytes
	}
	if m.noExec == nil {
		m.noExec = noExec
	}
	return m
}

// whoami names the user of this process for messages.
func whoami() string {
	uid := os.Geteuid()
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username + " (uid " + strconv.Itoa(uid) + ")"
	}
	return "uid " + strconv.Itoa(uid)
}

// resolve returns path without symbolic links, as far as it exists, so that one
// directory has one name.
func resolve(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	return filepath.Join(resolve(parent), filepath.Base(path))
}

// makeDirs makes dir and its missing parents. As root they may be passed through
// by others, because postgres runs as another; the files in them are closed.
// Directories that exist are left as they are.
func makeDirs(dir string) error {
	if info, err := os.Stat(dir); err == nil {
		if !info.IsDir() {
			return &os.PathError{Op: "make directory", Path: dir, Err: os.ErrExist}
		}
		return nil
	}
	if parent := filepath.Dir(dir); parent != dir {
		if err := makeDirs(parent); err != nil {
			return err
		}
	}
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	if err := os.Mkdir(dir, mode); err != nil && !os.IsExist(err) {
		return err
	}
	return os.Chmod(dir, mode) // Whatever the umask.
}
