package localpg

import "golang.org/x/sys/unix"

const (
	installHint  = "apt-get install postgresql (or dnf install postgresql-server, apk add postgresql, …)"
	systemPlaces = "/usr/lib/postgresql/*/bin, /usr/pgsql-*/bin, /usr/libexec/postgresql*, /usr/bin, /usr/local"
)

// noExec reports whether path is on a filesystem that runs no programs.
func noExec(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_NOEXEC != 0
}
