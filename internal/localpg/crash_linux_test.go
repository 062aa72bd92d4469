package localpg

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// kill9 ends a process as an operator does who has lost patience.
func kill9(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill -9 %d: %v", pid, err)
	}
}

func TestNoPostgresOutlivesAKilledParent(t *testing.T) {
	for _, as := range workingIdentities(t) {
		t.Run(as, func(t *testing.T) {
			c := someServer(t)
			cmd, out := startChild(t, "hold", c, as)
			var pid int
			var dsn string
			if _, err := fmt.Fscan(out, &pid, &dsn); err != nil {
				t.Fatalf("the child did not say what it started: %v", err)
			}
			mustExec(t, dsn, `CREATE TABLE note (text text)`, `INSERT INTO note VALUES ('kept')`)
			data := globs(filepath.Join(c.Root, "postgres", "*", "data"))[0]
			if len(strays(data)) < 2 {
				t.Fatalf("processes in %s: %v; the test looks in the wrong place", data, strays(data))
			}

			kill9(t, cmd.Process.Pid)
			if !waitUntil(within(t), patience, func() bool { return len(strays(data)) == 0 }) {
				t.Fatalf("processes %v outlived the parent", strays(data))
			}
			if _, noted := notedPID(data); noted {
				t.Error("postgres died, it did not shut down")
			}
			if got := queryString(t, run(t, c).OwnerDSN, `SELECT text FROM note`); got != "kept" {
				t.Errorf("after the restart the row says %q", got)
			}
		})
	}
}

func TestAKilledPostgresIsReportedAndStartsAgain(t *testing.T) {
	eachInstallation(t, func(t *testing.T, c Config) {
		c.Fast = false // What is fast may lose the last rows of a crash.
		s := run(t, c)
		mustExec(t, s.OwnerDSN, `CREATE TABLE note (text text)`, `INSERT INTO note VALUES ('kept')`)
		kill9(t, s.postmaster.pid())
		select {
		case err := <-s.Done():
			wantProblem(t, err, "ended by itself", "killed")
		case <-within(t).Done():
			t.Fatal("nobody noticed")
		}
		stop(t, s)
		if got := queryString(t, run(t, c).AppDSN, `SELECT text FROM note`); got != "kept" {
			t.Errorf("after the restart the row says %q", got)
		}
	})
}

func TestStartIsNotStoppedByTheNoteOfADeadServer(t *testing.T) {
	notes := map[string]func(t *testing.T) int{
		"zombie": func(t *testing.T) int {
			cmd := exec.Command("true")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cmd.Wait() }) // Only now: until then it is a zombie.
			zombie := func() bool {
				stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
				return strings.Contains(string(stat), ") Z ")
			}
			if !waitUntil(within(t), patience, zombie) {
				t.Fatal("no zombie")
			}
			return cmd.Process.Pid
		},
		"stranger": func(t *testing.T) int {
			cmd := exec.Command("sleep", "600")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
			return cmd.Process.Pid
		},
		"nobody": func(*testing.T) int { return 1<<22 - 1 }, // Above any pid_max in use.
	}
	c := someServer(t)
	s := run(t, c)
	for name, pid := range notes {
		t.Run(name, func(t *testing.T) {
			stop(t, s)
			pid := pid(t)
			note := filepath.Join(s.Dir, "postmaster.pid")
			socket := filepath.Join(filepath.Dir(s.Dir), "run", ".s.PGSQL.5432.lock")
			if err := os.Mkdir(filepath.Dir(socket), 0o700); err != nil {
				t.Fatal(err)
			}
			for path, text := range map[string]string{
				note: itoa(pid) + "\n" + s.Dir + "\n", socket: itoa(pid) + "\n", filepath.Dir(socket): "",
			} {
				if text != "" {
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				own(t, path, s.Dir) // As a server that died leaves it.
			}
			s = run(t, c)
			mustExec(t, s.AppDSN, `SELECT 1`)
		})
	}
}

// own gives path to the owner of like.
func own(t *testing.T, path, like string) {
	t.Helper()
	info, err := os.Stat(like)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Lchown(path, owner(info), -1); err != nil {
		t.Fatal(err)
	}
}

func TestAServerThatLostItsWarderIsEndedFirst(t *testing.T) {
	t.Parallel()
	c := someServer(t)
	s := run(t, c)
	// As on a system without death signals: the lock is free and postgres runs on.
	s.lock.Release()
	again := run(t, c)
	if s.postmaster.pid() == again.postmaster.pid() {
		t.Error("the old server is still the server")
	}
	mustExec(t, again.AppDSN, `SELECT 1`)
}

// workingIdentities returns the names of the identities that this process can
// run postgres as.
func workingIdentities(t *testing.T) []string {
	t.Helper()
	c, err := someServer(t).complete()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, id := range identities() {
		c.on.identities = func() []identity { return []identity{id} }
		if _, err := c.find(within(t), cluster{}); err != nil {
			t.Logf("%s: %v", id.name, err)
			continue
		}
		names = append(names, id.name)
	}
	if len(names) == 0 {
		t.Fatal("no identity works on this machine")
	}
	return names
}

// TestPostgresRunsWithoutPrivilegesUnderEachIdentity also lets the data change
// hands, from each identity to the next.
func TestPostgresRunsWithoutPrivilegesUnderEachIdentity(t *testing.T) {
	t.Parallel()
	c := someServer(t)
	for _, name := range workingIdentities(t) {
		t.Run(name, func(t *testing.T) {
			c.on.identities = only(name)
			s := run(t, c)
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.postmaster.pid()))
			if err != nil {
				t.Fatal(err)
			}
			id := c.on.identities()[0]
			want := map[string]string{"Uid": itoa(id.uid), "CapEff": "0000000000000000"}
			if name == "usernsuid" || name == "setuid" {
				want["Groups"] = ""
			}
			for field, value := range want {
				if got := statusField(string(status), field); got != value {
					t.Errorf("%s is %q, want %q", field, got, value)
				}
			}
			mustExec(t, s.OwnerDSN, `CREATE TABLE IF NOT EXISTS note (n int)`, `INSERT INTO note VALUES (1)`)
		})
	}
}

// only returns the identities of this machine that have the name.
func only(name string) func() []identity {
	return func() []identity {
		var ids []identity
		for _, id := range identities() {
			if id.name == name {
				ids = append(ids, id)
			}
		}
		return ids
	}
}

// statusField returns the first word of a field of /proc/pid/status.
func statusField(status, field string) string {
	for line := range strings.Lines(status) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			first, _, _ := strings.Cut(strings.TrimSpace(rest), "\t")
			return first
		}
	}
	return "(none)"
}

// TestEveryKindOfUser runs the whole life of a server as users that this one may
// become. Most users may become nobody else, and then are themselves the case.
func TestEveryKindOfUser(t *testing.T) {
	users := map[string]uint32{"self": uint32(os.Geteuid())}
	if powerful(t) {
		users["named"], users["unnamed"] = 65534, 70123
	}
	for name, uid := range users {
		t.Run(name, func(t *testing.T) {
			c := someServer(t)
			c.BinDir, c.Tree = reachableBin(t), ""
			if err := os.Lchown(c.Root, int(uid), -1); err != nil {
				t.Fatal(err)
			}
			cmd := childCommand(t, "live", c, "")
			cmd.SysProcAttr = &syscall.SysProcAttr{}
			if uid != uint32(os.Geteuid()) {
				cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uid, Gid: uid}
			}
			out, err := cmd.CombinedOutput()
			if err != nil && name == "unnamed" && namespacesForbidden(t, uid) {
				if !strings.Contains(string(out), "could not look up effective user ID") {
					t.Errorf("without namespaces, an unnamed user is told:\n%s", out)
				}
				return
			}
			if err != nil {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}

// namespacesForbidden reports whether uid may make no user namespace here.
func namespacesForbidden(t *testing.T, uid uint32) bool {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^$")
	cmd.Env = append(os.Environ(), childMode+"=namespace")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	return cmd.Run() != nil
}

// TestRootWithoutCapabilitiesIsToldWhatToDo is about a container that drops them
// all. For an ordinary user, who has none to drop, it asks for the impossible in
// another way: to become somebody else.
func TestRootWithoutCapabilitiesIsToldWhatToDo(t *testing.T) {
	c := someServer(t)
	if !powerful(t) {
		c.on.identities = func() []identity {
			id, _ := setuidIdentity("daemon")
			return []identity{id}
		}
		_, err := Start(within(t), c)
		wantProblem(t, err, "cannot run as root", "--user 65532")
		return
	}
	out, err := childCommand(t, "powerless", c, "").CombinedOutput()
	if err == nil {
		t.Fatalf("root without capabilities ran postgres:\n%s", out)
	}
	for _, want := range []string{"cannot run as root", "--user 65532", "--database-url"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the message does not say %q:\n%s", want, out)
		}
	}
}

// dropCapabilities takes all capabilities from this process, for good, and runs
// it again: for root they are limited only by the bounding set, and only at exec.
func dropCapabilities() error {
	drop := func(c uintptr) error { return unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) }
	for c := uintptr(0); drop(c) == nil || c == unix.CAP_SETPCAP; c++ { // To the last that this kernel knows.
		if c+1 == unix.CAP_SETPCAP {
			c++ // Without it nothing more can be dropped.
		}
	}
	if err := drop(unix.CAP_SETPCAP); err != nil {
		return err
	}
	if err := os.Setenv(childMode, "live"); err != nil {
		return err
	}
	return syscall.Exec("/proc/self/exe", os.Args, os.Environ())
}

// startChild runs this test binary in a mode of its own and returns its output.
// It is killed with the test.
func startChild(t *testing.T, mode string, c Config, as string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	cmd := childCommand(t, mode, c, as)
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return cmd, bufio.NewReader(out)
}

func childCommand(t *testing.T, mode string, c Config, as string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(within(t), testBinary(t), "-test.run=^$")
	cmd.Env = append(os.Environ(), childMode+"="+mode, "CHILD_ROOT="+c.Root, "CHILD_TREE="+c.Tree, "CHILD_BIN="+c.BinDir, "CHILD_AS="+as)
	return cmd
}

// testBinary returns a copy of this binary that every user may run.
func testBinary(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(newRoot(t), "localpg.test")
	if err := os.WriteFile(path, text, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// reachableBin returns binaries that every user may run, copied if need be.
func reachableBin(t *testing.T) string {
	t.Helper()
	c, err := someServer(t).complete()
	if err != nil {
		t.Fatal(err)
	}
	in, err := c.find(within(t), cluster{})
	if err != nil {
		t.Fatal(err)
	}
	if reach(in.bin, identity{uid: 70123, gid: 70123}) == nil {
		return in.bin
	}
	dir := filepath.Join(newRoot(t), "postgresql")
	if err := os.CopyFS(dir, os.DirFS(filepath.Dir(in.bin))); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "bin")
}
