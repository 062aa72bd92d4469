package localpg

import (
	"os/exec"
	"syscall"
)

// identity is a way to run postgres as somebody who is not root and who has a
// name, both of which initdb insists on:
//
//	same         as this user                               an ordinary user
//	userns-self  in a user namespace that calls us nobody   a user without a name (arbitrary uid in a container)
//	usernsuid    in a user namespace, as uid 70070          root: a uid that nothing else uses
//	setuid       as user warder, postgres or nobody         root in a container that forbids namespaces
//
// Which of them work is a question of the machine, and the only sure answer is
// to try: see find, which runs `postgres --version` under each.
type identity struct {
	name    string
	uid     int // owner of the data as this host sees it; -1 where there are no owners
	gid     int
	warning string // for the log, if this identity is not what one would choose
	apply   func(*syscall.SysProcAttr)
}

// ownUID is the uid for a private PostgreSQL when root may choose one: without
// an entry in the passwd file, and outside the ranges that systems hand out.
const ownUID = 70070

// sameIdentity runs postgres as this process runs.
func sameIdentity(uid, gid int) identity {
	return identity{name: "same", uid: uid, gid: gid, apply: func(*syscall.SysProcAttr) {}}
}

// command returns one of an installation's programs, ready to be spawned: in the
// root directory, with an environment that holds nothing of ours.
func (in installation) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(executable(in.bin, program), args...)
	cmd.Dir = rootDir
	cmd.Env = cleanEnv(in.bin)
	return cmd
}
