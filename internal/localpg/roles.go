package localpg

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The roles of a server. SuperRole made it; OwnerRole owns Warder's database and
// runs its migrations; AppRole reads and writes rows and cannot change the schema.
const (
	SuperRole = "warder_super"
	OwnerRole = "warder_owner"
	AppRole   = "warder_app"
)

// RolePassword derives the password of a role from the server's secret, so that
// who holds one role's password holds no other's.
func RolePassword(secret, role string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(role))
	return hex.EncodeToString(mac.Sum(nil))
}

// EnsureRoles makes OwnerRole and AppRole, with the passwords that RolePassword
// gives. conn must be a superuser's. It may be called again; not at the same time.
func EnsureRoles(ctx context.Context, conn *pgx.Conn, secret string) error {
	for _, role := range []string{OwnerRole, AppRole} {
		name := pgx.Identifier{role}.Sanitize()
		var there bool
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, role).Scan(&there); err != nil {
			return fmt.Errorf("look up role %s: %w", role, err)
		}
		verb := "CREATE"
		if there {
			verb = "ALTER"
		}
		// The password is hexadecimal, so it needs no quoting.
		if _, err := conn.Exec(ctx, verb+` ROLE `+name+` LOGIN PASSWORD '`+RolePassword(secret, role)+`'`); err != nil {
			return fmt.Errorf("make role %s: %w", role, err)
		}
	}
	return nil
}

// EnsureDatabase makes a database that belongs to OwnerRole. Nobody else but
// AppRole may connect to it. conn must be a superuser's.
func EnsureDatabase(ctx context.Context, conn *pgx.Conn, name string) error {
	var there bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&there); err != nil {
		return fmt.Errorf("look up database %s: %w", name, err)
	}
	db := pgx.Identifier{name}.Sanitize()
	if !there {
		if _, err := conn.Exec(ctx, `CREATE DATABASE `+db+` OWNER `+OwnerRole+` TEMPLATE template0`); err != nil {
			return fmt.Errorf("make database %s: %w", name, err)
		}
	}
	for _, sql := range []string{
		`REVOKE ALL ON DATABASE ` + db + ` FROM PUBLIC`,
		`GRANT CONNECT ON DATABASE ` + db + ` TO ` + AppRole,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("close database %s: %w", name, err)
		}
	}
	return nil
}

// GrantRuntime lets AppRole use whatever OwnerRole makes from now on in the
// database of conn, which must be a superuser's: rows and sequences, not the
// schema. A migration that wants less of it for a table revokes it there.
func GrantRuntime(ctx context.Context, conn *pgx.Conn) error {
	for _, what := range []string{
		`USAGE ON SCHEMAS`, `SELECT, INSERT, UPDATE, DELETE ON TABLES`, `USAGE, SELECT ON SEQUENCES`,
	} {
		sql := `ALTER DEFAULT PRIVILEGES FOR ROLE ` + OwnerRole + ` GRANT ` + what + ` TO ` + AppRole
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("grant %s: %w", what, err)
		}
	}
	return nil
}

// populate makes the roles and the database. Each start does it again, so that a
// first one that was cut short is made good.
func (c Config) populate(ctx context.Context, conn *pgx.Conn, addr address, password string) error {
	if err := EnsureRoles(ctx, conn, password); err != nil {
		return err
	}
	if err := EnsureDatabase(ctx, conn, c.Database); err != nil {
		return err
	}
	in, err := pgx.Connect(ctx, addr.dsn(SuperRole, password, c.Database))
	if err != nil {
		return fmt.Errorf("open database %s: %w", c.Database, err)
	}
	defer in.Close(context.WithoutCancel(ctx))
	return GrantRuntime(ctx, in)
}

// connectReady connects as soon as the server answers. It gives up when postgres
// ends, when it refuses the password, and when ctx ends; not before, because
// recovery after a crash takes its time.
func connectReady(ctx context.Context, p *child, t *tail, dsn string) (*pgx.Conn, error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			return conn, nil
		}
		pg, answered := errors.AsType[*pgconn.PgError](err)
		if answered {
			tick.Reset(50 * time.Millisecond) // It recovers, and each knock costs it a process.
		}
		if answered && pg.Code == "28P01" {
			return nil, problem{
				what: "the embedded PostgreSQL refuses its own password",
				why:  "the file postgres.password and the data beside it do not belong together", cause: err,
				fix: []string{"put both back from the same backup"},
			}.fault()
		}
		select {
		case <-p.exited:
			return nil, problem{
				what: "the embedded PostgreSQL ended while it started",
				why:  fmt.Sprintf("%v; %s", p.err, t.last()), cause: p.err,
				fix: []string{"put right what its log names"},
			}.fault()
		case <-ctx.Done():
			return nil, problem{
				what: "the embedded PostgreSQL did not answer in time",
				why:  fmt.Sprintf("%v; %s", ctx.Err(), t.last()), cause: errors.Join(ctx.Err(), err),
				fix: []string{"give it more time: after a crash it first recovers its data"},
			}.fault()
		case <-tick.C:
		}
	}
}
