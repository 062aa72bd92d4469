//go:build unix

package process

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// guard is a shell that waits for the end of this process, however that comes, and then kills what is left of a program:
// its group, and on Linux whoever has the tag in his environment. The kernel would kill the program alone; but npx, say, is
// not the server that it has started, and many servers do not mind that their input ends.
type guard struct {
	cmd  *exec.Cmd
	line *os.File // ends when we do
}

// watch is what the shell does: it hears of our end by that of its input. $0 is the group, $1 the tag. Where there is no
// /proc, nothing matches.
const watch = `read -r _; kill -9 -"$0"; for d in /proc/[0-9]*; do grep -qs "` + mark + `=$1" "$d/environ" && kill -9 "${d#/proc/}"; done`

// start begins to watch over a group.
func (g *guard) start(group int, tag string) error {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return err
	}
	defer theirs.Close()
	cmd := exec.Command("/bin/sh", "-c", watch, strconv.Itoa(group), tag)
	cmd.Stdin, cmd.Dir, cmd.Env = theirs, "/", []string{"PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Signals of a terminal are for us, not for it.
	if err := cmd.Start(); err != nil {
		_ = ours.Close()
		return err
	}
	g.cmd, g.line = cmd, ours
	return nil
}

// stop ends the watch, while the group's number is still its own.
func (g *guard) stop() {
	if g.cmd == nil {
		return
	}
	_ = g.cmd.Process.Kill() // Before the line ends, which it would take for our end.
	_ = g.cmd.Wait()
	_ = g.line.Close()
}
