package localpg

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/warder-gateway/warder/internal/fault"
	"github.com/warder-gateway/warder/internal/filelock"
)

// Config says where a server lives and where its binaries may come from.
type Config struct {
	// Root is the directory that the server lives under, absolute. It is made if
	// it is missing. When this process is root, give it a directory that other
	// users may pass through (0711), as DefaultRoot does: postgres runs as another.
	Root string
	// BinDir holds postgres and initdb. If it is set, nothing else is tried.
	BinDir string
	// Tree is a checkout's tools/postgres, tried ahead of the system's own
	// PostgreSQL. It must come from somebody who means it, never from the
	// working directory: whoever fills that directory chooses what is run.
	Tree string
	// Database is made at the first start; "warder" if empty.
	Database string
	// Fast trades durability for speed. For tests.
	Fast bool
	// Log takes the server's own log; discarded if nil.
	Log *slog.Logger

	on machine // what tests replace; zero is this machine
}

// EnvBin and EnvTree name the variables that WithEnv reads.
const (
	EnvBin  = "WARDER_POSTGRES_BIN"
	EnvTree = "WARDER_POSTGRES_TREE"
)

// WithEnv returns c with BinDir and Tree, where they are empty, from the
// variables EnvBin and EnvTree. lookup is os.Getenv, but for tests.
func (c Config) WithEnv(lookup func(string) string) Config {
	if c.BinDir == "" {
		c.BinDir = lookup(EnvBin)
	}
	if c.Tree == "" {
		c.Tree = lookup(EnvTree)
	}
	return c
}

// Server is a running PostgreSQL. Its fields do not change, and its methods may
// be called from any goroutine.
type Server struct {
	OwnerDSN string // as OwnerRole, who owns the database: migrations
	AppDSN   string // as AppRole, who may not change the schema: everything else
	SuperDSN string // as SuperRole: backup, and the clones of pgtest

	Major   int    // 18
	Version string // "18.4"
	BinDir  string // where its programs are
	Dir     string // its data directory

	postmaster *child
	lock       *filelock.Lock
	listens    address
	done       chan error
}

// stopGrace is what a fast shutdown may take before an immediate one.
const stopGrace = 10 * time.Second

// Start returns a server that answers, with its roles and its database. It may
// be called again on the same root after the server has ended, and finds its data.
//
// ctx bounds the start only. Every error is a fault whose text tells a person
// what to do.
func Start(ctx context.Context, c Config) (*Server, error) {
	s, err := start(ctx, c)
	if err == nil {
		return s, nil
	}
	if _, ok := classified(err); ok {
		return nil, err
	}
	return nil, problem{what: "the embedded PostgreSQL could not be started", why: err.Error(), cause: err}.fault()
}

func start(ctx context.Context, c Config) (*Server, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	home := filepath.Join(c.Root, "postgres")
	if err := makeDirs(home); err != nil {
		return nil, unwritable(home, err)
	}
	lock, err := acquire(filepath.Join(home, "warder.lock"), home)
	if err != nil {
		return nil, err
	}
	s, err := c.startLocked(ctx, home, lock)
	if err != nil {
		lock.Release()
		return nil, err
	}
	return s, nil
}

// complete returns c with its defaults, or says what is missing.
func (c Config) complete() (Config, error) {
	if !filepath.IsAbs(c.Root) {
		return c, fault.Newf(fault.Invalid, "the directory of the embedded PostgreSQL must be an absolute path, not %q", c.Root)
	}
	c.Root = resolve(c.Root)
	if c.Database == "" {
		c.Database = "warder"
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.on = c.on.complete()
	return c, nil
}

// startLocked runs the server. The lock becomes the server's, unless it fails.
func (c Config) startLocked(ctx context.Context, home string, lock *filelock.Lock) (*Server, error) {
	cl, err := findCluster(home)
	if err != nil {
		return nil, err
	}
	inst, err := c.find(ctx, cl)
	if err != nil {
		return nil, err
	}
	if inst.as.warning != "" {
		c.Log.Warn(inst.as.warning, "mode", inst.as.name)
	}
	cl, err = c.prepare(ctx, home, cl, inst)
	if err != nil {
		return nil, err
	}
	return c.launch(ctx, cl, inst, lock)
}

// launch starts postgres on a cluster that is ready for it and waits until it answers.
func (c Config) launch(ctx context.Context, cl cluster, inst installation, lock *filelock.Lock) (*Server, error) {
	addr, err := c.address(cl, inst.as)
	if err != nil {
		return nil, err
	}
	tail := newTail(c.Log)
	cmd := inst.command("postgres", append([]string{"-D", cl.data}, c.settings(addr)...)...)
	cmd.Stderr = tail
	postmaster, err := spawn(cmd, inst.as, deathFast)
	if err != nil {
		return nil, fmt.Errorf("run postgres: %w", err)
	}

	conn, err := connectReady(ctx, postmaster, tail, addr.dsn(SuperRole, cl.password, "postgres"))
	if err != nil {
		postmaster.end(context.WithoutCancel(ctx), stopGrace)
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if err := c.populate(ctx, conn, addr, cl.password); err != nil {
		postmaster.end(context.WithoutCancel(ctx), stopGrace)
		return nil, err
	}
	s := c.server(cl, inst, addr)
	s.postmaster, s.lock, s.listens = postmaster, lock, addr
	go s.watch(tail)
	return s, nil
}

// server describes a server to its user.
func (c Config) server(cl cluster, inst installation, addr address) *Server {
	return &Server{
		OwnerDSN: addr.dsn(OwnerRole, RolePassword(cl.password, OwnerRole), c.Database),
		AppDSN:   addr.dsn(AppRole, RolePassword(cl.password, AppRole), c.Database),
		SuperDSN: addr.dsn(SuperRole, cl.password, c.Database),
		Major:    inst.major, Version: inst.version, BinDir: inst.bin, Dir: cl.data,
		done: make(chan error, 1),
	}
}

// watch lets go of the lock when postgres has ended, and reports it, once, if
// nobody asked for it.
func (s *Server) watch(t *tail) {
	defer close(s.done)
	<-s.postmaster.exited
	s.lock.Release()
	if s.postmaster.asked.Load() {
		return
	}
	s.done <- problem{
		what:  "the embedded PostgreSQL ended by itself",
		why:   fmt.Sprintf("%v; %s", s.postmaster.err, t.last()),
		fix:   []string{"start Warder again: PostgreSQL recovers its data by itself"},
		cause: s.postmaster.err,
	}.fault()
}

// Done yields one error if postgres ends without having been asked to, and is
// closed once it has ended for whatever reason. It has one reader.
func (s *Server) Done() <-chan error { return s.done }

// Stop ends postgres: when its clients have gone (SIGTERM), after a second in
// order (SIGINT), after ten more or when ctx ends at once (SIGQUIT), which costs
// a recovery at the next start and no data. It returns when postgres has ended.
// Close every pool first. Stopping a server that has ended is no error.
func (s *Server) Stop(ctx context.Context) error {
	if s.postmaster.end(ctx, stopGrace) {
		s.listens.vacate()
		s.lock.Release() // Not only in watch: the next Start may come before it runs.
		return nil
	}
	return fault.Newf(fault.Internal, "postgres (pid %d) does not end", s.postmaster.pid())
}

// DefaultRoot returns where a server lives unless somebody chooses: a directory
// of the user's own, or of the system's for root, which postgres could not
// reach under root's home.
func DefaultRoot() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/lib/warder", nil
	}
	dir, err := userDataDir()
	if err != nil {
		return "", problem{
			what: "no place for the embedded PostgreSQL's data", why: err.Error(), cause: err,
			fix: []string{"name a directory: --data-dir /path (or WARDER_DATA_DIR)"},
		}.fault()
	}
	return filepath.Join(dir, "warder"), nil
}
