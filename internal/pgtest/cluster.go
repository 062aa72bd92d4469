package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/warder-gateway/warder/internal/localpg"
)

// Cluster is a server for tests, in a directory that goes with it.
type Cluster struct {
	server  *localpg.Server
	dir     string
	janitor *janitor
}

// StartCluster starts a server on the PostgreSQL that localpg finds: the
// environment's, this checkout's tools/postgres, the system's.
//
// It need not be stopped: when this process ends, in whatever way, the server
// ends too, and a janitor removes the directory. But the Cluster must be kept for
// as long as it is used.
func StartCluster(ctx context.Context) (_ *Cluster, err error) {
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, fmt.Errorf("make a directory for the test server: %w", err)
	}
	c := &Cluster{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.remove())
		}
	}()
	// Root's server runs as another user, who must get in.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, fmt.Errorf("open the test server's directory: %w", err)
	}
	if c.janitor, err = startJanitor(dir); err != nil {
		return nil, err
	}
	conf := localpg.Config{
		Root: dir, Database: "pgtest", Fast: true,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}.WithEnv(os.Getenv)
	if conf.Tree == "" {
		conf.Tree = checkoutTree()
	}
	if c.server, err = localpg.Start(ctx, conf); err != nil {
		return nil, err
	}
	return c, nil
}

// URL is a superuser's URL of the server, fit for EnvURL.
func (c *Cluster) URL() string { return c.server.SuperDSN }

// Version is the server's, as in "18.4".
func (c *Cluster) Version() string { return c.server.Version }

// Done is closed when the server has ended, after an error if nobody stopped it.
func (c *Cluster) Done() <-chan error { return c.server.Done() }

// Stop ends the server and removes its directory.
func (c *Cluster) Stop(ctx context.Context) error {
	return errors.Join(c.server.Stop(ctx), c.remove())
}

func (c *Cluster) remove() error {
	err := os.RemoveAll(c.dir) // Made by StartCluster.
	if c.janitor != nil {
		c.janitor.dismiss()
	}
	return err
}

// checkoutTree returns tools/postgres of the checkout that the tests run in, or
// nothing. Tests run in their package's directory, so the checkout is above it.
func checkoutTree() string {
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		tree := filepath.Join(dir, "tools", "postgres")
		if _, err := os.Stat(filepath.Join(tree, "package.json")); err == nil {
			return tree
		}
	}
	return ""
}

// janitor is a shell that outlives this process to clean up after it. The pipe
// to it closes when the process ends, however it ends.
type janitor struct {
	cmd  *exec.Cmd
	pipe io.Closer
}

// janitorScript waits for the pipe to close and for the server to end, which it
// helps along where the kernel does not (see localpg), and removes the directory.
const janitorScript = `cat >/dev/null
i=0
while [ $i -lt 100 ] && pid=$(head -n 1 "$1"/postgres/*/data/postmaster.pid 2>/dev/null) && [ -n "$pid" ]; do
	kill -INT "$pid" 2>/dev/null
	sleep 0.1
	i=$((i+1))
done
rm -rf -- "$1"`

// startJanitor has dir removed after this process. On Windows, where no shell is
// to be relied on, there is none, and a process that is killed leaves its directory.
func startJanitor(dir string) (*janitor, error) {
	if runtime.GOOS == "windows" {
		return nil, nil
	}
	cmd := exec.Command("/bin/sh", "-c", janitorScript, "warder-pgtest-janitor", dir)
	cmd.Dir = "/"
	detach(cmd)
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the janitor: %w", err)
	}
	return &janitor{cmd: cmd, pipe: pipe}, nil
}

// dismiss ends a janitor whose work is done.
func (j *janitor) dismiss() {
	_ = j.cmd.Process.Kill()
	_ = j.pipe.Close()
	_ = j.cmd.Wait() // It was killed, and says so.
}
