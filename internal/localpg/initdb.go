package localpg

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/warder-gateway/warder/internal/ownfile"
)

// needBytes is what a new cluster must find free: what initdb writes (about 40
// MB), and some write-ahead log.
const needBytes = 200 << 20

// initialise makes the data of a new cluster. initdb works in a directory beside
// the final one, which gets its name when all is done: a crash leaves either no
// cluster or a whole one.
func (c Config) initialise(ctx context.Context, cl cluster, in installation) error {
	if err := c.roomFor(cl.dir); err != nil {
		return err
	}
	if err := removeUnfinished(cl.dir); err != nil {
		return err
	}
	work, err := os.MkdirTemp(cl.dir, unfinished)
	if err != nil {
		return unwritable(cl.dir, err)
	}
	defer os.RemoveAll(work) // Made just above, by us.

	data := filepath.Join(work, "data")
	if err := c.initdb(ctx, work, data, cl.password, in); err != nil {
		return err
	}
	// An empty directory may stand in its place; a full one has been refused, and
	// os.Remove would refuse it again.
	if err := os.Remove(cl.data); err != nil && !errors.Is(err, os.ErrNotExist) {
		return unwritable(cl.data, err)
	}
	if err := os.Rename(data, cl.data); err != nil {
		return unwritable(cl.data, err)
	}
	return ownfile.SyncDir(cl.dir)
}

// unfinished begins the name of a directory that initdb works in. Nothing of a
// user's has ever been in it.
const unfinished = "initdb-"

// removeUnfinished removes what a process left that died during initdb. The
// caller holds the lock, so none is at work.
func removeUnfinished(dir string) error {
	for _, d := range globs(filepath.Join(escapeGlob(dir), unfinished+"*")) {
		if err := os.RemoveAll(d); err != nil {
			return fmt.Errorf("remove unfinished data: %w", err)
		}
	}
	return nil
}

func (c Config) roomFor(dir string) error {
	free, err := c.on.freeBytes(dir)
	if err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	if free >= needBytes {
		return nil
	}
	return problem{
		what: fmt.Sprintf("not enough space for the embedded PostgreSQL in %s", dir),
		why:  fmt.Sprintf("a new database needs %d MB, and %d MB are free", needBytes>>20, free>>20),
		fix:  []string{"free some space, or choose another disk: --data-dir /path (or WARDER_DATA_DIR)"},
	}.fault()
}

// initdb runs initdb in work, which becomes the identity's own.
func (c Config) initdb(ctx context.Context, work, data, password string, in installation) error {
	pwFile := filepath.Join(work, "password")
	if err := os.WriteFile(pwFile, []byte(password+"\n"), 0o600); err != nil {
		return unwritable(work, err)
	}
	if err := chownAll(work, in.as); err != nil {
		return err
	}
	var out bytes.Buffer
	cmd := in.command("initdb", c.initdbArgs(data, pwFile, in.major)...)
	cmd.Stdout, cmd.Stderr = &out, &out
	p, err := spawn(cmd, in.as, deathKill)
	if err == nil {
		err = p.wait(ctx)
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("run initdb: %w", ctx.Err())
	}
	return problem{
		what: "the embedded PostgreSQL could not make its data directory in " + filepath.Dir(work),
		why:  fmt.Sprintf("initdb (%s, as %s): %v; it said:\n       %s", in.bin, in.as.name, err, lastLines(out.String())),
		fix:  []string{"put right what initdb names, or choose another place: --data-dir /path (or WARDER_DATA_DIR)"}, cause: err,
	}.fault()
}

// initdbArgs asks for UTF-8 sorted by code point, on any machine alike, and for
// a password on every connection.
func (c Config) initdbArgs(data, pwFile string, major int) []string {
	args := []string{
		"-D", data, "-U", SuperRole, "-A", "scram-sha-256", "--pwfile", pwFile,
		"-E", "UTF8", "--locale=C", "--no-instructions",
	}
	if major >= 17 {
		args = append(args, "--locale-provider=builtin", "--builtin-locale=C.UTF-8")
	}
	if c.Fast {
		args = append(args, "--no-sync")
	}
	return args
}

// lastLines returns the end of a program's output, on lines of a message.
func lastLines(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return strings.Join(lines[max(0, len(lines)-tailLines):], "\n       ")
}
