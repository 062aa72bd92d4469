package localsock

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/warder-gateway/warder/internal/fault"
)

func listen(t *testing.T, dir string) net.Listener {
	t.Helper()
	listener, err := Listen(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

// talk proves that a client reaches the listener.
func talk(t *testing.T, dir string, listener net.Listener) {
	t.Helper()
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, _ = io.WriteString(conn, "hello")
			_ = conn.Close()
		}
	}()
	conn, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	defer conn.Close()
	if text, err := io.ReadAll(conn); err != nil || string(text) != "hello" {
		t.Errorf("read %q, %v", text, err)
	}
}

func TestTheSameUserReachesTheInstance(t *testing.T) {
	dir := t.TempDir()
	listener := listen(t, dir)
	info, err := os.Stat(filepath.Join(dir, name))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v", info.Mode(), err)
	}
	talk(t, dir, listener)
}

func TestALongDataDirectoryHasItsSocketElsewhere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", maxPath))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	listener := listen(t, dir)
	path, err := Path(dir)
	if err != nil || len(path) > maxPath || strings.HasPrefix(path, dir) {
		t.Fatalf("path %q, %v", path, err)
	}
	talk(t, dir, listener)
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its directory stays: %v", err)
	}
}

func TestADirectoryOthersCanWriteIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("e", maxPath))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path, err := Path(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(filepath.Dir(path)) })
	if err := os.Chmod(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(dir, slog.New(slog.DiscardHandler)); !fault.Is(err, fault.Precondition) {
		t.Errorf("error: %v", err)
	}
}

func TestASecondInstanceIsRefused(t *testing.T) {
	dir := t.TempDir()
	listen(t, dir)
	_, err := Listen(dir, slog.New(slog.DiscardHandler))
	if !fault.Is(err, fault.Exists) || !strings.Contains(fault.Text(err), "another warder") {
		t.Errorf("error: %v", err)
	}
}

func TestASocketLeftBehindIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	// As after kill -9: bound, and never removed.
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Close(fd); err != nil {
		t.Fatal(err)
	}
	talk(t, dir, listen(t, dir))
}

func TestDialWithoutAnInstanceSaysWhatToDo(t *testing.T) {
	_, err := Dial(t.Context(), t.TempDir())
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.Text(err), "warder up") {
		t.Errorf("error: %v", err)
	}
}

func TestOnlyTheOwnerAndRootAreAllowed(t *testing.T) {
	for _, tt := range []struct {
		peer, own int
		want      bool
	}{{1000, 1000, true}, {0, 1000, true}, {1001, 1000, false}, {1000, 0, false}, {-1, 1000, false}} {
		if got := allowed(tt.peer, tt.own); got != tt.want {
			t.Errorf("allowed(%d, %d) = %v", tt.peer, tt.own, got)
		}
	}
}
