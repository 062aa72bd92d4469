//go:build unix

package localpg

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

const rootDir = "/"

func executable(bin, program string) string { return filepath.Join(bin, program) }

// cleanEnv is the whole environment of the server's programs.
func cleanEnv(bin string) []string {
	return []string{"LC_ALL=C", "TZ=UTC", "PATH=" + bin + ":/usr/bin:/bin"}
}

// places of PostgreSQL, by who packages it.
var (
	linuxPlaces = []string{
		"/usr/lib/postgresql/*/bin",                         // Debian, Ubuntu
		"/usr/pgsql-*/bin",                                  // PGDG for RPM systems
		"/usr/lib/postgresql*/bin",                          // SUSE
		"/usr/libexec/postgresql*",                          // Alpine
		"/usr/bin", "/usr/local/bin", "/usr/local/*sql/bin", // Fedora, Arch; from source
		"/opt/postgresql/*/bin",
		"/run/current-system/sw/bin", // NixOS
		"/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
	}
	darwinPlaces = []string{
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin", // Homebrew
		"/opt/homebrew/bin", "/usr/local/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/Library/PostgreSQL/*/bin",      // EDB
		"/opt/local/lib/postgresql*/bin", // MacPorts
	}
)

// systemDirs returns where PostgreSQL may be on this machine.
func systemDirs() []string {
	places := linuxPlaces
	if runtime.GOOS == "darwin" {
		places = darwinPlaces
	}
	return append(pathDirs(), globs(places...)...)
}

// openToAll says that a file or directory may be replaced by any user of the machine.
func openToAll(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Mode().Perm()&0o002 != 0 && info.Mode()&os.ModeSticky == 0 {
		return fmt.Errorf("not used, because any user may write to %s (chmod o-w)", path)
	}
	return nil
}

// openToStrangers also says that it belongs to somebody other than root and us.
func openToStrangers(path string) error {
	if err := openToAll(path); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if uid := owner(info); !trusted(uid, os.Geteuid()) {
		return fmt.Errorf("not used, because %s belongs to uid %d, who is neither root nor %s; name it with %s if you trust them", path, uid, whoami(), EnvBin)
	}
	return nil
}

// trusted reports whether a user runs what another one owns, unasked.
func trusted(owner, self int) bool { return owner == 0 || owner == self }

// owner returns the uid that a file belongs to.
func owner(info os.FileInfo) int {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int(st.Uid)
	}
	return -1
}

// reach says which directory on the way to dir the identity may not pass
// through. It reads mode bits alone: access lists may allow more, and then a
// lesser identity is used than could be.
func reach(dir string, id identity) error {
	if id.uid == os.Geteuid() {
		return nil
	}
	for p := dir; ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err == nil && !passable(info, id) {
			return fmt.Errorf("uid %d may not pass through %s (mode %04o): %w", id.uid, p, info.Mode().Perm(), os.ErrPermission)
		}
		if p == filepath.Dir(p) {
			return nil
		}
	}
}

// passable reports whether the identity has search permission on a directory.
func passable(info os.FileInfo, id identity) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	switch perm := info.Mode().Perm(); {
	case int(st.Uid) == id.uid:
		return perm&0o100 != 0
	case int(st.Gid) == id.gid:
		return perm&0o010 != 0
	default:
		return perm&0o001 != 0
	}
}

// freeBytes returns what this user may still write on the filesystem of dir.
func freeBytes(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", dir, err)
	}
	return uint64(st.Bavail) * uint64(st.Bsize), nil
}
