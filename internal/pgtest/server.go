package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/warder-gateway/warder/internal/localpg"
)

// server is the PostgreSQL that this process's tests use.
type server struct {
	url       *url.URL // a superuser's
	secret    string   // that the roles' passwords derive from
	templates sync.Map // name → true, of those known to be finished

	// own is this process's own server, if it has one. It is held for its pipe:
	// once that is collected as garbage, the janitor takes the process for dead.
	own *Cluster
}

// lockKey names the advisory lock under which templates and roles are made. It
// holds within the database of the server's URL, which all processes share.
const lockKey = 0x77617264 // "ward"

// theServer returns the one server of this process. The first caller's failure
// is everybody's: what is missing for one test is missing for all.
var theServer = func() func(context.Context) (*server, error) {
	var once sync.Once
	var srv *server
	var err error
	return func(ctx context.Context) (*server, error) {
		once.Do(func() { srv, err = findServer(ctx) })
		return srv, err
	}
}()

// findServer connects to the server that the environment names, or starts one.
func findServer(ctx context.Context) (*server, error) {
	if raw := os.Getenv(EnvURL); raw != "" {
		return newServer(ctx, raw)
	}
	// Never stopped: it ends with this process, see Cluster.
	own, err := StartCluster(ctx)
	if err != nil {
		return nil, err
	}
	s, err := newServer(ctx, own.URL())
	if err != nil {
		return nil, errors.Join(err, own.Stop(ctx))
	}
	s.own = own
	return s, nil
}

func newServer(ctx context.Context, raw string) (*server, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.User == nil {
		return nil, fmt.Errorf("%s is not a URL like postgres://user:password@host/database", EnvURL)
	}
	s := &server{url: u}
	s.secret, _ = u.User.Password()
	if err := s.locked(ctx, func(conn *pgx.Conn) error { return localpg.EnsureRoles(ctx, conn, s.secret) }); err != nil {
		return nil, err
	}
	return s, nil
}

// dsn returns the connection string of a role, or of the superuser if there is none.
func (s *server) dsn(role, database string) string {
	u := *s.url
	u.Path = "/" + database
	if role != "" {
		u.User = url.UserPassword(role, localpg.RolePassword(s.secret, role))
	}
	return u.String()
}

// exec runs one statement as superuser.
func (s *server) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.url.String())
	if err != nil {
		return fmt.Errorf("connect to the test server: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, sql)
	return err
}

// locked calls f with a superuser's connection, one process at a time. The lock
// goes with the connection.
func (s *server) locked(ctx context.Context, f func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.url.String())
	if err != nil {
		return fmt.Errorf("connect to the test server: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, lockKey); err != nil {
		return fmt.Errorf("lock templates: %w", err)
	}
	return f(conn)
}
