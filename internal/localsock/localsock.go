// Package localsock is the Unix socket in the data directory, over which the
// command line on the same machine reaches a running instance without a login.
//
//	warder (CLI) ──Dial──▶ <data dir>/warder.sock (0600) ──Listen──▶ peer check ──▶ API as local owner
//
// Who may connect is decided twice: by the file's mode, and by the identity that
// the kernel gives of the peer, which must be the user that this process runs
// as, or root. Where a system does not tell who the peer is, nobody may.
//
// A Unix socket's path has a short limit. Where the path in the data directory
// is longer, the socket lies in a directory of /tmp instead, whose name follows
// from the data directory and its owner (see Path), so that both ends find it.
package localsock

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
)

const (
	name = "warder.sock"
	// maxPath is what fits everywhere: macOS has the shortest limit, 104 bytes
	// with the final NUL.
	maxPath = 103
	// probeTimeout is how long an instance that runs already may take to answer.
	probeTimeout = time.Second
)

// Path returns where the socket of a data directory lies. The directory must
// exist.
func Path(dataDir string) (string, error) {
	path, _, err := locate(dataDir)
	return path, err
}

// locate returns where the socket of a data directory lies, and whether that is
// elsewhere, in a directory made for it.
func locate(dataDir string) (path string, elsewhere bool, err error) {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return "", false, fmt.Errorf("find data directory: %w", err)
	}
	if path := filepath.Join(dir, name); len(path) <= maxPath {
		return path, false, nil
	}
	owner, err := ownerOf(dir)
	if err != nil {
		return "", false, fmt.Errorf("find owner of the data directory: %w", err)
	}
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join("/tmp", fmt.Sprintf("warder-%d-%s", owner, hex.EncodeToString(sum[:8])), name), true, nil
}

// Listen makes the socket. It fails where another instance serves it; what one
// that is gone left behind is replaced. Closing the listener removes the socket.
func Listen(dataDir string, log *slog.Logger) (net.Listener, error) {
	path, elsewhere, err := locate(dataDir)
	if err != nil {
		return nil, err
	}
	var dir string
	if elsewhere {
		dir = filepath.Dir(path)
		if err := prepare(dir); err != nil {
			return nil, err
		}
	}
	if err := clear(path); err != nil {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect %s: %w", path, err), listener.Close())
	}
	return &guarded{listener, log, dir}, nil
}

// prepare makes the directory of a socket that lies elsewhere. Nobody else may be
// able to put a socket into it, so it must be ours alone.
func prepare(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make directory of the socket: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("check directory of the socket: %w", err)
	}
	owner, err := ownerOf(dir)
	if err != nil {
		return fmt.Errorf("check directory of the socket: %w", err)
	}
	if !info.IsDir() || info.Mode().Perm()&0o077 != 0 || owner != os.Geteuid() {
		return fault.Newf(fault.Precondition,
			"%s is not a directory of this user alone; remove it, or choose a data directory with a shorter path", dir)
	}
	return nil
}

// clear removes a socket that nobody serves.
func clear(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	conn, err := net.DialTimeout("unix", path, probeTimeout)
	if err == nil {
		return errors.Join(fault.Newf(fault.Exists, "another warder serves %s already; stop it, or choose another data directory", path).Coded(CodeTaken),
			conn.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("look at %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}

// The codes of what keeps a command from its instance, and an instance from its
// socket.
const (
	CodeNoInstance = "WARDER-LOCAL-001"
	CodeNotOurs    = "WARDER-LOCAL-002"
	CodeTaken      = "WARDER-LOCAL-003"
)

// Dial connects to the instance that runs on a data directory. It fails with
// fault.Unavailable, and a text that says what to do, where none does.
func Dial(ctx context.Context, dataDir string) (net.Conn, error) {
	path, err := Path(dataDir)
	if err != nil {
		return nil, unavailable(dataDir, err)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, unavailable(dataDir, err)
	}
	return conn, nil
}

// unavailable is the error for an instance that cannot be reached.
func unavailable(dataDir string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fault.Wrap(fault.Denied, fmt.Sprintf(
			"the instance on %s belongs to another user; run the command as that user", dataDir), err).Coded(CodeNotOurs)
	}
	return fault.Wrap(fault.Unavailable, fmt.Sprintf(
		"no instance runs on %s; start one with 'warder up', or name its directory with --data-dir or WARDER_DATA_DIR", dataDir), err).Coded(CodeNoInstance)
}

// guarded accepts connections of the right user only.
type guarded struct {
	*net.UnixListener
	log *slog.Logger
	dir string // made for the socket, and removed with it; often none
}

// Close ends the listener and removes the socket, with its directory if that was
// made for it.
func (g *guarded) Close() error {
	err := g.UnixListener.Close()
	if g.dir != "" {
		_ = os.Remove(g.dir) // The next start makes it again, or finds it.
	}
	return err
}

// Accept returns the next connection of this user or of root. Others are closed.
func (g *guarded) Accept() (net.Conn, error) {
	for {
		conn, err := g.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := peerUID(conn)
		if err == nil && allowed(uid, os.Geteuid()) {
			return conn, nil
		}
		g.log.Warn("refused a connection to the local socket", "uid", uid, "error", err)
		_ = conn.Close() // Nothing was written to it.
	}
}

// allowed reports whether a peer may act as the local owner of a process.
func allowed(peer, own int) bool { return peer == own || peer == 0 }
