package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warder-gateway/warder/internal/localpg"
)

// EnvURL names the variable that holds a superuser's URL of the server to use.
// Databases and the roles of internal/localpg are made on it.
const EnvURL = "WARDER_TEST_DATABASE_URL"

// Template describes the database that clones are made of. The zero Template is
// an empty database.
type Template struct {
	// Name identifies the content: templates of one name are taken for equal, by
	// every process that uses the server. A hash of the migrations does well.
	Name string
	// Build fills the template. dsn connects as localpg.OwnerRole. It is called
	// once per name and server; nil leaves the database empty.
	Build func(ctx context.Context, dsn string) error
}

// DB is a database that one test has for itself.
type DB struct {
	// Pool connects as localpg.AppRole, as the control plane does: rows, not schema.
	Pool *pgxpool.Pool

	OwnerDSN string // as localpg.OwnerRole: migrations
	AppDSN   string // as localpg.AppRole
	SuperDSN string // as superuser: what a test does to the server, not to Warder's data
	Name     string
}

// timeout bounds what happens outside of the test itself.
const timeout = 2 * time.Minute

// New returns a clone of the template. When the test ends, its pool is closed
// and the database dropped, whoever is still connected.
func New(t testing.TB, from Template) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	srv, err := theServer(ctx)
	if err != nil {
		t.Fatalf("pgtest: no PostgreSQL: %v", err)
	}
	template, err := srv.template(ctx, from)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	db, err := srv.clone(ctx, template)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() { srv.discard(t, db) })
	return db
}

// clone makes a database from a template.
func (s *server) clone(ctx context.Context, template string) (*DB, error) {
	suffix := make([]byte, 8)
	rand.Read(suffix) // It never fails.
	name := "t_" + hex.EncodeToString(suffix)
	// FILE_COPY is the quick way without fsync, and copies no log.
	err := s.exec(ctx, `CREATE DATABASE `+name+` OWNER `+localpg.OwnerRole+` TEMPLATE `+template+` STRATEGY FILE_COPY`)
	if err != nil {
		return nil, fmt.Errorf("clone %s: %w", template, err)
	}
	db := &DB{
		OwnerDSN: s.dsn(localpg.OwnerRole, name), AppDSN: s.dsn(localpg.AppRole, name),
		SuperDSN: s.dsn("", name), Name: name,
	}
	conf, err := pgxpool.ParseConfig(db.AppDSN)
	if err != nil {
		return nil, fmt.Errorf("parse connection string: %w", err)
	}
	conf.MaxConns = 8 // Of the server's 200, because tests run at once.
	if db.Pool, err = pgxpool.NewWithConfig(ctx, conf); err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	return db, nil
}

func (s *server) discard(t testing.TB, db *DB) {
	db.Pool.Close()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := s.exec(ctx, `DROP DATABASE IF EXISTS `+db.Name+` WITH (FORCE)`); err != nil {
		t.Errorf("pgtest: drop %s: %v", db.Name, err)
	}
}

// template returns the name of a finished template, made now if there is none.
// It gets its name last, so that one whose making was cut short is none.
func (s *server) template(ctx context.Context, from Template) (string, error) {
	if from.Name == "" && from.Build == nil {
		from.Name = "empty"
	}
	if from.Name == "" {
		return "", fmt.Errorf("a template that is built needs a name")
	}
	hash := sha256.Sum256([]byte(from.Name))
	name := "tmpl_" + hex.EncodeToString(hash[:4])
	if _, done := s.templates.Load(name); done {
		return name, nil
	}
	if err := s.locked(ctx, func(conn *pgx.Conn) error { return s.build(ctx, conn, name, from) }); err != nil {
		return "", fmt.Errorf("make template %s (%s): %w", name, from.Name, err)
	}
	s.templates.Store(name, true)
	return name, nil
}

// build makes a template on a connection that holds the lock.
func (s *server) build(ctx context.Context, conn *pgx.Conn, name string, from Template) error {
	var there bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&there); err != nil || there {
		return err
	}
	draft := name + "_draft"
	if _, err := conn.Exec(ctx, `DROP DATABASE IF EXISTS `+draft+` WITH (FORCE)`); err != nil {
		return err
	}
	if err := localpg.EnsureDatabase(ctx, conn, draft); err != nil {
		return err
	}
	if err := s.fill(ctx, draft, from); err != nil {
		return err
	}
	for _, sql := range []string{
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '` + draft + `'`,
		`ALTER DATABASE ` + draft + ` RENAME TO ` + name,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) fill(ctx context.Context, database string, from Template) error {
	conn, err := pgx.Connect(ctx, s.dsn("", database))
	if err != nil {
		return err
	}
	err = localpg.GrantRuntime(ctx, conn)
	if closeErr := conn.Close(ctx); err == nil {
		err = closeErr
	}
	if err != nil || from.Build == nil {
		return err
	}
	return from.Build(ctx, s.dsn(localpg.OwnerRole, database))
}
