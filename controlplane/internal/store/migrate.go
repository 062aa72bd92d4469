package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
)

//go:embed migrations/*.sql
var embedded embed.FS

// migrationLock is the key of the advisory lock under which a database is
// migrated: "warder" in ASCII.
const migrationLock = 0x776172646572

// appendOnly are the tables that the running control plane may add to and read,
// and nothing else. Whoever steals its password cannot rewrite what happened.
var appendOnly = []string{
	"audit_record", "admin_audit", "config_change", "verdict", "definition", "policy_version",
}

// Migrations returns the migrations, for whoever needs to know what a schema is
// made of (the name of a template database, for example).
func Migrations() fs.FS {
	sub, err := fs.Sub(embedded, "migrations")
	if err != nil {
		panic(err) // The directory is part of the build.
	}
	return sub
}

// Migrate brings the schema of a database to this build's version, connecting as
// its owner. Open does that too; on its own it serves who makes a database for
// others to use.
func Migrate(ctx context.Context, url string, log *slog.Logger) error {
	return migrate(ctx, Config{URL: url, Log: logOr(log)})
}

// migrate is Migrate, with the grants to the runtime role.
func migrate(ctx context.Context, c Config) error {
	url := c.MigrateURL
	if url == "" {
		url = c.URL
	}
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return badURL(err)
	}
	config.ConnectTimeout = connectTimeout
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return unreachable(config, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	q := db.New(translated{conn})
	if err := checkServer(ctx, q); err != nil {
		return err
	}
	if err := q.LockMigrations(ctx, migrationLock); err != nil {
		return fmt.Errorf("lock migrations: %w", err)
	}
	// Closing the connection gives the lock back as well.
	defer func() { _ = q.UnlockMigrations(context.WithoutCancel(ctx), migrationLock) }()
	if err := applyMigrations(ctx, config, c.Log); err != nil {
		return err
	}
	return grantRuntime(ctx, conn, c)
}

// checkServer refuses a PostgreSQL that is too old.
func checkServer(ctx context.Context, q *db.Queries) error {
	version, err := q.ServerVersion(ctx)
	if err != nil {
		return fmt.Errorf("read version of the server: %w", err)
	}
	if version.Number < oldest {
		return fault.Newf(fault.Precondition, "the database runs PostgreSQL %s; Warder needs %d or newer",
			version.Name, oldest/10000).Coded(codeVersion)
	}
	return nil
}

// applyMigrations runs those that the database lacks. The caller holds the lock.
func applyMigrations(ctx context.Context, config *pgx.ConnConfig, log *slog.Logger) (err error) {
	conn := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, conn.Close()) }()
	provider, err := newProvider(conn)
	if err != nil {
		return err
	}
	has, knows, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read version of the schema: %w", translate(err))
	}
	if has > knows {
		return fault.Newf(fault.Precondition,
			"the database was migrated by a newer Warder: its schema is at %d, this build knows %d; run the newer build, or restore a backup from before",
			has, knows).Coded(codeVersion)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate: %w", translate(err))
	}
	for _, r := range results {
		log.Info("migrated", "migration", r.Source.Path, "duration", r.Duration)
	}
	return nil
}

// newProvider returns the migrations bound to a database.
func newProvider(conn *sql.DB) (*goose.Provider, error) {
	provider, err := goose.NewProvider(goose.DialectPostgres, conn, Migrations())
	if err != nil {
		return nil, fmt.Errorf("load migrations: %w", err)
	}
	return provider, nil
}

// grantRuntime gives the role of c.URL what it needs, where it is not the owner:
// rows, but no tables, and no past.
func grantRuntime(ctx context.Context, owner *pgx.Conn, c Config) error {
	runtime, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return badURL(err)
	}
	if runtime.User == owner.Config().User {
		return nil
	}
	role := pgx.Identifier{runtime.User}.Sanitize()
	// Identifiers cannot be parameters, which is why these are not queries of
	// sqlc.
	grants := []string{
		"GRANT USAGE ON SCHEMA public TO " + role,
		"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO " + role,
		"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO " + role,
		"REVOKE INSERT, UPDATE, DELETE ON goose_db_version FROM " + role,
	}
	for _, table := range appendOnly {
		grants = append(grants, "REVOKE UPDATE, DELETE ON "+pgx.Identifier{table}.Sanitize()+" FROM "+role)
	}
	for _, grant := range grants {
		if _, err := owner.Exec(ctx, grant); err != nil {
			return fmt.Errorf("%s: %w", grant, translate(err))
		}
	}
	return nil
}
