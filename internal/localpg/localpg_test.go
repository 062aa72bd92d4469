//go:build unix

package localpg

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warder-gateway/warder/internal/fault"
)

func itoa(n int) string { return strconv.Itoa(n) }

// patience bounds what a test waits for; nothing is expected to take that long.
const patience = 60 * time.Second

// newRoot returns a directory for a server, reachable for whomever postgres runs
// as: t.TempDir is closed to all but its owner.
func newRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "localpg-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return resolve(dir)
}

// powerful reports whether this process may give files away and become others:
// root, but not the root of a container that has no users but itself.
func powerful(t *testing.T) bool {
	t.Helper()
	return os.Geteuid() == 0 && os.Lchown(newRoot(t), 65534, -1) == nil
}

// tree is this checkout's tools/postgres.
func tree(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../tools/postgres")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// someServer is a configuration that any PostgreSQL of this machine serves.
func someServer(t *testing.T) Config {
	return Config{Root: newRoot(t), Tree: tree(t), Fast: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// run starts a server that is stopped with the test.
func run(t *testing.T, c Config) *Server {
	t.Helper()
	s, err := Start(within(t), c)
	if err != nil {
		t.Fatalf("Start: %v", err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("Stop: %v", err)
	}
}

func exec1(t *testing.T, dsn, sql string) error {
	t.Helper()
	conn, err := pgx.Connect(within(t), dsn)
	if err != nil {
		return err
	}
	defer conn.Close(context.Background())
	_, err = conn.Exec(t.Context(), sql)
	return err
}

func mustExec(t *testing.T, dsn string, sql ...string) {
	t.Helper()
	for _, s := range sql {
		if err := exec1(t, dsn, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func queryString(t *testing.T, dsn, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(within(t), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var got string
	if err := conn.QueryRow(t.Context(), sql).Scan(&got); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return got
}

// wantProblem asserts that err is a precondition whose text holds all of want,
// and, as every problem of this package does, a fix and the way around.
func wantProblem(t *testing.T, err error, want ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if k := fault.KindOf(err); k != fault.Precondition {
		t.Errorf("kind %v, want %v: %v", k, fault.Precondition, err)
	}
	text := fault.Text(err)
	for _, w := range append(want, "\n  why: ", "\n  fix: ", "--database-url") {
		if !strings.Contains(text, w) {
			t.Errorf("the message does not say %q:\n%s", w, text)
		}
	}
}

// eachInstallation runs a test on the npm package's PostgreSQL and on the
// system's, on whichever of the two this machine has.
func eachInstallation(t *testing.T, test func(t *testing.T, c Config)) {
	npm, system := someServer(t), someServer(t)
	npm.on.systemDirs = func() []string { return nil }
	system.Tree = ""
	ran := false
	for name, c := range map[string]Config{"npm": npm, "system": system} {
		full, err := c.complete()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := full.find(within(t), cluster{}); err != nil {
			t.Logf("%s: %v", name, err)
			continue
		}
		ran = true
		t.Run(name, func(t *testing.T) { test(t, c) })
	}
	if !ran {
		t.Fatal("no PostgreSQL on this machine: npm ci --ignore-scripts --prefix tools/postgres")
	}
}

func TestServerKeepsDataOverRestart(t *testing.T) {
	eachInstallation(t, func(t *testing.T, c Config) {
		s := run(t, c)
		mustExec(t, s.OwnerDSN, `CREATE TABLE note (text text)`, `INSERT INTO note VALUES ('kept')`)
		t.Logf("PostgreSQL %s from %s", s.Version, s.BinDir)
		stop(t, s)
		if err, open := <-s.Done(); open {
			t.Fatalf("a server that was stopped reported %v", err)
		}

		again := run(t, c)
		if got := queryString(t, again.AppDSN, `SELECT text FROM note`); got != "kept" {
			t.Errorf("after a restart the row says %q", got)
		}
		if again.Dir != s.Dir || again.Major != s.Major {
			t.Errorf("restarted as %d in %s, was %d in %s", again.Major, again.Dir, s.Major, s.Dir)
		}
	})
}

// Clients that have closed their connections are not cut off: the processes
// behind those may still have to read that, and would log that they were.
func TestStopLogsNothingOfClientsThatHaveGone(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer // tail writes under its lock, and has ended when it is read
	c := someServer(t)
	c.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelError}))
	for range 3 {
		s, err := Start(within(t), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, client := range clients(t, s.AppDSN, 20) {
			if err := client.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		stop(t, s)
	}
	if log.Len() > 0 {
		t.Errorf("logged:\n%s", &log)
	}
}

// clients opens connections.
func clients(t *testing.T, dsn string, n int) []*pgx.Conn {
	t.Helper()
	all := make([]*pgx.Conn, n)
	for i := range all {
		var err error
		if all[i], err = pgx.Connect(within(t), dsn); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func TestServerListensOnItsSocketAlone(t *testing.T) {
	t.Parallel()
	s := run(t, someServer(t))
	if got := queryString(t, s.SuperDSN, `SHOW listen_addresses`); got != "" {
		t.Errorf("listen_addresses = %q", got)
	}
	conf, err := pgx.ParseConfig(s.AppDSN)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{
		conf.Host: 0o700,
		filepath.Join(filepath.Dir(s.Dir), "postgres.password"): 0o600,
		s.Dir: 0o700,
	} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s has mode %04o, want %04o", path, got, want)
		}
	}
	conf.Password = "guess"
	if conn, err := pgx.ConnectConfig(within(t), conf); err == nil {
		conn.Close(context.Background())
		t.Error("a wrong password was accepted on the socket")
	}
}

func TestAppRoleReadsAndWritesRowsButNotTheSchema(t *testing.T) {
	t.Parallel()
	s := run(t, someServer(t))
	mustExec(t, s.OwnerDSN, `CREATE TABLE thing (id bigint GENERATED ALWAYS AS IDENTITY, name text)`,
		`CREATE SCHEMA side`, `CREATE TABLE side.other (n int)`)
	mustExec(t, s.AppDSN, `INSERT INTO thing (name) VALUES ('a')`, `UPDATE thing SET name = 'b'`,
		`INSERT INTO side.other VALUES (1)`, `DELETE FROM thing`)
	for _, sql := range []string{
		`CREATE TABLE mine (n int)`, `DROP TABLE thing`, `ALTER TABLE thing ADD COLUMN x int`, `TRUNCATE thing`,
		`CREATE ROLE friend`, `CREATE DATABASE another`, `SET ROLE warder_owner`, `COPY thing TO PROGRAM 'cat'`,
	} {
		if err := exec1(t, s.AppDSN, sql); err == nil {
			t.Errorf("%s may: %s", AppRole, sql)
		}
	}
	if got := queryString(t, s.OwnerDSN, `SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user`); got != "false" {
		t.Error("the owner of the database is a superuser")
	}
}

func TestSecondServerIsToldWhoHoldsTheDirectory(t *testing.T) {
	t.Parallel()
	c := someServer(t)
	s := run(t, c)
	_, err := Start(within(t), c)
	wantProblem(t, err, "another warder (pid ", itoa(os.Getpid()), "since ", c.Root, "--data-dir")
	if err := exec1(t, s.AppDSN, `SELECT 1`); err != nil {
		t.Errorf("the first server suffered: %v", err)
	}
}

func TestRootMayHaveAnAwkwardName(t *testing.T) {
	t.Parallel()
	c := someServer(t)
	c.Root = filepath.Join(c.Root, `it's, a "root" [é]*`)
	s := run(t, c)
	mustExec(t, s.AppDSN, `SELECT 1`)
	stop(t, s)
	run(t, c)
}

func TestSocketMovesIfItsPathIsTooLong(t *testing.T) {
	t.Parallel()
	c := someServer(t)
	c.Root = filepath.Join(c.Root, strings.Repeat("long/", 20))
	s := run(t, c)
	conf, err := pgx.ParseConfig(s.AppDSN)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(conf.Host) })
	if !strings.HasPrefix(conf.Host, "/tmp/warder-") {
		t.Fatalf("the socket is in %s", conf.Host)
	}
	mustExec(t, s.AppDSN, `SELECT 1`)
	stop(t, s)

	// Somebody else was there first.
	if err := os.Mkdir(conf.Host, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(conf.Host, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err = Start(within(t), c)
	wantProblem(t, err, conf.Host, "not safe", "0777")
}

func TestDefaultRoot(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "/home/ana/data")
	want := "/home/ana/data/warder"
	if os.Geteuid() == 0 {
		want = "/var/lib/warder"
	}
	if got, err := DefaultRoot(); err != nil || got != want {
		t.Errorf("DefaultRoot() = %q, %v; want %q", got, err, want)
	}
}

func TestWithEnvFillsWhatIsEmpty(t *testing.T) {
	env := map[string]string{EnvBin: "/env/bin", EnvTree: "/env/tree"}
	lookup := func(name string) string { return env[name] }
	if c := (Config{}).WithEnv(lookup); c.BinDir != "/env/bin" || c.Tree != "/env/tree" {
		t.Errorf("from nothing: %q, %q", c.BinDir, c.Tree)
	}
	if c := (Config{BinDir: "/b", Tree: "/t"}).WithEnv(lookup); c.BinDir != "/b" || c.Tree != "/t" {
		t.Errorf("over what is set: %q, %q", c.BinDir, c.Tree)
	}
}
