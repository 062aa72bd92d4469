package localpg

import (
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// identities returns the ways to run postgres that this process might have, best first.
func identities() []identity {
	uid, gid := os.Geteuid(), os.Getegid()
	if uid != 0 {
		return userIdentities(uid, gid)
	}
	var ids []identity
	if id, ok := setuidIdentity("warder"); ok {
		ids = append(ids, id)
	}
	ids = append(ids, ownUIDIdentity())
	for _, name := range []string{"postgres", "nobody"} {
		if id, ok := setuidIdentity(name); ok {
			id.warning = "postgres runs as user " + name + ", which other services may share; add a user named warder to give it one of its own"
			ids = append(ids, id)
			break
		}
	}
	self := selfIdentity(uid, gid)
	self.warning = "postgres runs with root's uid, without its capabilities; " +
		"give it a data directory and binaries that other users can reach, or run Warder as an ordinary user"
	return append(ids, self)
}

// userIdentities prefers the user's own identity if initdb can look up its name.
func userIdentities(uid, gid int) []identity {
	same, self := sameIdentity(uid, gid), selfIdentity(uid, gid)
	if _, err := user.LookupId(strconv.Itoa(uid)); err != nil {
		return []identity{self, same}
	}
	return []identity{same, self}
}

// setuidIdentity runs postgres as the named user without supplementary groups.
func setuidIdentity(name string) (identity, bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return identity{}, false
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil || uid == 0 {
		return identity{}, false
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return identity{}, false
	}
	return identity{name: "setuid", uid: uid, gid: gid, apply: func(a *syscall.SysProcAttr) {
		a.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}}, true
}

// ownUIDIdentity runs postgres as ownUID, which needs a name only inside the namespace.
func ownUIDIdentity() identity {
	return identity{name: "usernsuid", uid: ownUID, gid: ownUID, apply: func(a *syscall.SysProcAttr) {
		enterNamespace(a, ownUID, ownUID)
		// Allowed to root, and it sheds root's supplementary groups.
		a.GidMappingsEnableSetgroups = true
		a.Credential.NoSetGroups = false
	}}
}

// selfIdentity runs postgres with this process's uid, which the namespace calls nobody.
func selfIdentity(uid, gid int) identity {
	return identity{name: "userns-self", uid: uid, gid: gid, apply: func(a *syscall.SysProcAttr) {
		enterNamespace(a, uid, gid)
	}}
}

// enterNamespace maps one uid and one gid of the host into a new user namespace
// and becomes them there.
func enterNamespace(a *syscall.SysProcAttr, uid, gid int) {
	inside := namedUID()
	a.Cloneflags |= syscall.CLONE_NEWUSER
	a.UidMappings = []syscall.SysProcIDMap{{ContainerID: inside, HostID: uid, Size: 1}}
	a.GidMappings = []syscall.SysProcIDMap{{ContainerID: inside, HostID: gid, Size: 1}}
	a.Credential = &syscall.Credential{Uid: uint32(inside), Gid: uint32(inside), NoSetGroups: true}
}

// namedUID returns a uid that the passwd file has a name for: nobody's, or
// another that every system knows.
func namedUID() int {
	for _, uid := range []int{65534, 1, 2} {
		if _, err := user.LookupId(strconv.Itoa(uid)); err == nil {
			return uid
		}
	}
	return 65534
}
