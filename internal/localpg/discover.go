package localpg

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// oldest is the oldest major version that Warder's schema and SQL run on.
const oldest = 15

// installation is a PostgreSQL that runs on this machine, and as whom.
type installation struct {
	bin     string
	version string // "18.4"
	major   int
	as      identity
}

// finding collects what was looked at and why it would not do, for the message.
type finding struct {
	looked []string
	found  []installation // that run, whatever their version
	noWay  bool           // one failed for want of an identity, and so would all
}

func (f *finding) reject(bin string, err error) {
	f.looked = append(f.looked, bin+": "+err.Error())
	f.noWay = f.noWay || errors.Is(err, errNoIdentity)
}

// errNoIdentity says that this process may not become anybody whom postgres runs as.
var errNoIdentity = errors.New("no identity to run as")

// find returns the binaries to use. Of the system's, the newest; but where there
// is data, only those of the data's major version.
func (c Config) find(ctx context.Context, cl cluster) (installation, error) {
	f := &finding{}
	if in, ok := c.findNamed(ctx, cl, f); ok {
		return in, nil
	}
	if c.BinDir == "" {
		if in, ok := c.findSystem(ctx, cl, f); ok {
			return in, nil
		}
	}
	if err := ctx.Err(); err != nil {
		return installation{}, fmt.Errorf("look for PostgreSQL: %w", err)
	}
	return installation{}, f.problem(c, cl)
}

// findNamed looks where somebody said: BinDir, else Tree.
func (c Config) findNamed(ctx context.Context, cl cluster, f *finding) (installation, bool) {
	dir := c.BinDir
	if dir == "" && c.Tree != "" {
		dir = treeBin(c.Tree)
		if err := hydrate(filepath.Dir(dir)); err != nil {
			f.reject(dir, err)
			return installation{}, false
		}
	}
	if dir == "" {
		return installation{}, false
	}
	return c.consider(ctx, dir, openToAll, cl, f)
}

// findSystem looks where systems put PostgreSQL.
func (c Config) findSystem(ctx context.Context, cl cluster, f *finding) (installation, bool) {
	var fit []installation
	seen := map[string]bool{}
	for _, dir := range c.on.systemDirs() {
		postgres, err := filepath.EvalSymlinks(executable(dir, "postgres"))
		if err != nil {
			continue // A place without one.
		}
		if dir = filepath.Dir(postgres); seen[dir] {
			continue
		}
		seen[dir] = true
		if in, ok := c.consider(ctx, dir, openToStrangers, cl, f); ok {
			fit = append(fit, in)
		}
	}
	if len(fit) == 0 {
		return installation{}, false
	}
	return slices.MaxFunc(fit, func(a, b installation) int { return cmp.Compare(a.major, b.major) }), true
}

// consider looks at one directory of binaries. distrust says what about their
// files would let somebody else choose what we run.
func (c Config) consider(ctx context.Context, dir string, distrust func(string) error, cl cluster, f *finding) (installation, bool) {
	dir = resolve(dir)
	for _, program := range []string{"postgres", "initdb"} {
		path := executable(dir, program)
		if _, err := os.Stat(path); err != nil {
			f.reject(dir, fmt.Errorf("no %s in it: %w", program, unwrapPath(err)))
			return installation{}, false
		}
		for _, p := range []string{dir, path} {
			if err := distrust(p); err != nil {
				f.reject(dir, err)
				return installation{}, false
			}
		}
	}
	in, err := c.probe(ctx, dir)
	if err != nil {
		f.reject(dir, err)
		return installation{}, false
	}
	f.found = append(f.found, in)
	switch {
	case in.major < oldest:
		f.reject(dir, fmt.Errorf("PostgreSQL %d is older than %d", in.major, oldest))
	case cl.major != 0 && in.major != cl.major:
		f.reject(dir, fmt.Errorf("PostgreSQL %d, and the data is of %d", in.major, cl.major))
	default:
		return in, true
	}
	return installation{}, false
}

// probe returns the first identity under which the binaries run and can reach
// the data, and what version they are.
func (c Config) probe(ctx context.Context, dir string) (installation, error) {
	ids := c.on.identities()
	var errs []error
	for _, id := range ids {
		if err := reach(c.Root, id); err != nil {
			errs = append(errs, fmt.Errorf("as %s: %w", id.name, err))
			continue
		}
		in := installation{bin: dir, as: id}
		err := in.ask(ctx)
		if err == nil {
			return in, nil
		}
		errs = append(errs, fmt.Errorf("as %s: %w", id.name, c.explainExec(executable(dir, "postgres"), err)))
	}
	// The reason to tell is that of the last identity that was to be had at all:
	// they come best first, and the last is the least particular.
	for _, err := range slices.Backward(errs) {
		if !noSuchIdentity(err) {
			return installation{}, err
		}
	}
	return installation{}, fmt.Errorf("%w: %w", errNoIdentity, errors.Join(errs...))
}

// noSuchIdentity reports whether the kernel refused the identity, rather than
// the program.
func noSuchIdentity(err error) bool {
	return errors.Is(err, syscall.EPERM) || // no capability, or namespaces are forbidden
		errors.Is(err, syscall.ENOSPC) || // their number is limited to none
		errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOSYS) // this kernel has none
}

var versionLine = regexp.MustCompile(`^postgres \(PostgreSQL\) ((\d+)\S*)`)

// ask runs postgres --version and takes down the answer.
func (in *installation) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var out, errOut bytes.Buffer
	cmd := in.command("postgres", "--version")
	cmd.Stdout, cmd.Stderr = &out, &errOut
	p, err := spawn(cmd, in.as, deathKill)
	if err != nil {
		return err
	}
	if err := p.wait(ctx); err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(errOut.String()))
	}
	m := versionLine.FindStringSubmatch(out.String())
	if m == nil {
		return fmt.Errorf("it calls itself %q, which is no version of PostgreSQL", strings.TrimSpace(out.String()))
	}
	in.version = m[1]
	in.major, err = strconv.Atoi(m[2])
	return err
}

// explainExec adds what the error of an exec does not say.
func (c Config) explainExec(path string, err error) error {
	switch {
	case noSuchIdentity(err):
		return err
	case errors.Is(err, fs.ErrPermission) && c.on.noExec(path):
		return fmt.Errorf("%s is on a filesystem mounted noexec (remount it with exec, or move the binaries): %w", path, err)
	case errors.Is(err, fs.ErrNotExist), strings.Contains(err.Error(), "GLIBC_"):
		return fmt.Errorf("%s does not run on this system: it needs glibc 2.28 or newer, and this is %s: %w", path, systemName(), err)
	}
	return err
}

// systemName is what this system calls itself.
func systemName() string {
	text, err := os.ReadFile("/etc/os-release")
	if err == nil {
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
				return strings.Trim(name, `"'`)
			}
		}
	}
	return runtime.GOOS
}

// unwrapPath drops the path from an error of the os package, where the message has it already.
func unwrapPath(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// pathDirs returns where PATH and pg_config say that PostgreSQL is.
func pathDirs() []string {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		dirs = append(dirs, filepath.Dir(resolve(path)))
	}
	path, err := exec.LookPath("pg_config")
	if err != nil || openToStrangers(resolve(path)) != nil {
		return dirs
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if out, err := exec.CommandContext(ctx, path, "--bindir").Output(); err == nil {
		dirs = append(dirs, strings.TrimSpace(string(out)))
	}
	return dirs
}

// globs returns the directories that match any of the patterns.
func globs(patterns ...string) []string {
	var dirs []string
	for _, p := range patterns {
		found, err := filepath.Glob(p)
		if err == nil { // The only error is a bad pattern, and they are constants.
			dirs = append(dirs, found...)
		}
	}
	return dirs
}

// problem tells a person that no binaries will do.
func (f *finding) problem(c Config, cl cluster) error {
	looked := "looked in: " + c.places()
	for _, l := range f.looked {
		looked += "\n       " + l
	}
	switch {
	case cl.major != 0 && len(f.found) > 0:
		in := f.found[0]
		return problem{
			what: fmt.Sprintf("the data directory is PostgreSQL %d (%s), the found server is %d (%s)", cl.major, cl.data, in.major, in.bin),
			why:  "a server opens only data of its own major version; " + looked,
			fix: []string{
				fmt.Sprintf("install PostgreSQL %d, or name its binaries: %s=/path/to/bin", cl.major, EnvBin),
				"start with empty data elsewhere: --data-dir /path (or WARDER_DATA_DIR); this directory stays as it is",
			},
		}.fault()
	case f.noWay:
		return problem{
			what: "the embedded PostgreSQL cannot run as root, and this root may not become another user",
			why:  "no capability SETUID and no user namespaces; " + looked,
			fix:  []string{"run Warder as an ordinary user; in a container: --user 65532"},
		}.fault()
	}
	return problem{
		what: fmt.Sprintf("no PostgreSQL found that Warder can run (%d or newer)", oldest),
		why:  looked,
		fix: []string{
			"install one: " + installHint,
			"name the directory of its binaries: " + EnvBin + "=/path/to/bin",
			"in a clone of Warder's repository, which brings its own: make up",
		},
	}.fault()
}

// places names where find looked, in its order.
func (c Config) places() string {
	if c.BinDir != "" {
		return fmt.Sprintf("%s (as %s or the configuration says, so nowhere else)", c.BinDir, EnvBin)
	}
	tree := EnvTree + " (not set)"
	if c.Tree != "" {
		tree = treeBin(c.Tree)
	}
	return strings.Join([]string{EnvBin + " (not set)", tree, "PATH", systemPlaces}, ", ")
}
