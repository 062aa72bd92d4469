//go:build unix && !linux

package localpg

import (
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// identities returns the ways to run postgres that this process might have, best first.
func identities() []identity {
	if uid := os.Geteuid(); uid != 0 {
		return []identity{sameIdentity(uid, os.Getegid())}
	}
	var ids []identity
	for _, name := range []string{"warder", "postgres", "_postgres", "nobody"} {
		if id, ok := setuidIdentity(name); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// setuidIdentity runs postgres as the named user without supplementary groups.
func setuidIdentity(name string) (identity, bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return identity{}, false
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil || uid == 0 { // macOS prints nobody as -2, which no file of ours should belong to.
		return identity{}, false
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return identity{}, false
	}
	return identity{name: "setuid", uid: int(uid), gid: int(gid), apply: func(a *syscall.SysProcAttr) {
		a.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}}, true
}
