//go:build unix

package localpg

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// refused is an identity that the kernel does not give: no kernel maps a uid twice.
var refused = identity{name: "refused", uid: os.Geteuid(), apply: refuse}

func TestHydrateMakesTheLinksThatNpmDoesNot(t *testing.T) {
	t.Parallel()
	pkg := t.TempDir()
	plant(t, pkg, map[string]string{
		"native/lib/libpq.so.5.18": "library",
		"native/pg-symlinks.json": `[{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so"},
			{"source":"native/lib/libpq.so.5.18","target":"native/lib/libpq.so.5"}]`,
	})
	native := filepath.Join(pkg, "native")
	// A link that an earlier version left, to what is no longer there.
	if err := os.Symlink("libpq.so.5.17", filepath.Join(native, "lib", "libpq.so.5")); err != nil {
		t.Fatal(err)
	}
	if err := hydrate(native); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup // Any number of test processes do this at once.
	for range 8 {
		all.Go(func() {
			if err := hydrate(native); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, name := range []string{"libpq.so", "libpq.so.5"} {
		to, err := os.Readlink(filepath.Join(native, "lib", name))
		if err != nil || to != "libpq.so.5.18" {
			t.Errorf("%s -> %q, %v", name, to, err)
		}
	}
}

func TestHydrateStaysInThePackage(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]string{
		"target outside": `[{"source":"native/lib/a","target":"../escaped"}]`,
		"source outside": `[{"source":"../../etc/passwd","target":"native/lib/b"}]`,
		"not a list":     `{"source":1}`,
	} {
		pkg := filepath.Join(t.TempDir(), "pkg")
		plant(t, pkg, map[string]string{"native/lib/a": "", "native/pg-symlinks.json": list})
		if err := hydrate(filepath.Join(pkg, "native")); err == nil {
			t.Errorf("%s: no error", name)
		}
		if _, err := os.Lstat(filepath.Join(pkg, "..", "escaped")); err == nil {
			t.Errorf("%s: a link outside of the package", name)
		}
	}
}

func TestTailKeepsTheEndAndBoundsALine(t *testing.T) {
	t.Parallel()
	c, err := someServer(t).complete()
	if err != nil {
		t.Fatal(err)
	}
	tail := newTail(c.Log)
	for i := range 100 {
		for _, piece := range []string{"LOG:  line ", itoa(i), "\n"} {
			if n, err := tail.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Fatal(n, err)
			}
		}
	}
	last := tail.last()
	if strings.Contains(last, "line 79") || !strings.Contains(last, "line 80") || !strings.Contains(last, "line 99") {
		t.Errorf("kept:\n%s", last)
	}
	if _, err := tail.Write([]byte(strings.Repeat("x", 1<<20) + "\n")); err != nil {
		t.Fatal(err)
	}
	if got := len(tail.last()); got > 2*tailLine {
		t.Errorf("%d bytes kept of one long line", got)
	}
}

// refuse asks for what this process may not have.
func refuse(a *syscall.SysProcAttr) {
	if os.Geteuid() != 0 {
		a.Credential = &syscall.Credential{Uid: 1, Gid: 1}
		return
	}
	a.Chroot = "\x00" // EINVAL, for want of something that root may not do.
}
