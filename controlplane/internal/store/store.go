package store

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
)

// oldest is the oldest PostgreSQL that Warder runs on, as server_version_num.
const oldest = 150000

// connectTimeout bounds the first contact with the database, so that a wrong
// address is an error rather than a wait.
const connectTimeout = 10 * time.Second

// poolSize is how many connections are opened at most, unless the URL says
// pool_max_conns.
const poolSize = 16

// Config says where the database is.
type Config struct {
	// URL of the database for everything but migrations. Secret: it may hold a
	// password.
	URL string
	// MigrateURL is the URL of the same database for the owner of the schema,
	// who migrates it and grants the role of URL no more than it needs. Empty:
	// the role of URL owns the schema. Secret.
	MigrateURL string
	Log        *slog.Logger
}

// Store is the database. Its methods may be called concurrently. The embedded
// queries run on the pool, one statement each; what must be one transaction, and
// every change of configuration, goes through Change, Act or InTx.
type Store struct {
	*db.Queries
	pool *pgxpool.Pool
}

// Open migrates the database to this build's schema and connects. It fails with
// a text that says what to do where the database cannot be reached, is too old,
// or was migrated by a newer Warder. Close the store when all who use it are
// done.
func Open(ctx context.Context, c Config) (*Store, error) {
	c.Log = logOr(c.Log)
	if err := migrate(ctx, c); err != nil {
		return nil, err
	}
	pool, err := connect(ctx, c.URL)
	if err != nil {
		return nil, err
	}
	return &Store{Queries: db.New(translated{pool}), pool: pool}, nil
}

// logOr returns log, or one that discards.
func logOr(log *slog.Logger) *slog.Logger {
	if log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return log
}

// connect opens a pool and proves that it works.
func connect(ctx context.Context, url string) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, badURL(err)
	}
	config.ConnConfig.ConnectTimeout = connectTimeout
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = poolSize
	}
	if config.ConnConfig.RuntimeParams["application_name"] == "" {
		config.ConnConfig.RuntimeParams["application_name"] = "warder-controlplane"
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open pool: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, unreachable(config.ConnConfig, err)
	}
	return pool, nil
}

// Close closes every connection, waiting for those in use.
func (s *Store) Close() { s.pool.Close() }

// Pool returns the pool for what is not a query: LISTEN needs a connection of
// its own. Errors that come from it are the driver's own.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// InTx runs fn in one transaction that changes neither configuration nor
// anything an administrator did: intake of audit, for example. It commits if fn
// returns nil and rolls back otherwise.
// What fn records is an error, since nobody would write it.
func (s *Store) InTx(ctx context.Context, fn func(*Tx) error) error {
	return s.transact(ctx, pgx.TxOptions{}, func(conn pgx.Tx) error {
		tx := newTx(conn, "")
		if err := fn(tx); err != nil {
			return err
		}
		if len(tx.records)+len(tx.notes) > 0 {
			return errMisplaced
		}
		return nil
	})
}

// transact runs fn in a transaction and translates what beginning and
// committing return. The rollback happens also if fn panics.
func (s *Store) transact(ctx context.Context, options pgx.TxOptions, fn func(pgx.Tx) error) error {
	tx, err := s.pool.BeginTx(ctx, options)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", translate(err))
	}
	// Does nothing after a commit. A connection that cannot roll back is closed
	// by the pool, which is a roll-back too.
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit transaction: %w", translate(err))
	}
	return nil
}

// Missing gives err the text "there is no <what>" if it says that no row was
// found, and returns any other error, nil too, as it is.
func Missing(err error, what string) error {
	if fault.Is(err, fault.NotFound) {
		return fault.Wrap(fault.NotFound, "there is no "+what, err)
	}
	return err
}
