//go:build unix && !linux

package localpg

import "golang.org/x/sys/unix"

const (
	installHint  = "brew install postgresql@18"
	systemPlaces = "Homebrew, MacPorts, Postgres.app, /Library/PostgreSQL"
)

// noExec reports whether path is on a filesystem that runs no programs.
func noExec(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && uint64(st.Flags)&unix.MNT_NOEXEC != 0
}
