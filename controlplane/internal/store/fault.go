package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
)

// constraints gives the constraints that a request can break a text for people.
// Any other one gets the text of its class.
var constraints = map[string]struct {
	kind fault.Kind
	text string
}{
	"users_name_key":                {fault.Exists, "a user of this name exists already, or did and was removed; 'warder user set' gives another roles and groups"},
	"role_pkey":                     {fault.Exists, "a role of this name exists already; 'warder role set' changes it"},
	"application_pkey":              {fault.Exists, "an application of this name exists already"},
	"server_name_key":               {fault.Exists, "a server of this name exists already"},
	"entry_kind_exposed_name_key":   {fault.Exists, "a tool or prompt with this exposed name exists already"},
	"entry_server_id_kind_name_key": {fault.Exists, "the server has an entry of this kind and name already"},
	"provider_pkey":                 {fault.Exists, "a provider of this name exists already; 'warder provider set' changes it"},
	"provider_url_key":              {fault.Exists, "a provider with this URL exists already"},
	"provider_group_role_role_fkey": {fault.NotFound, "there is no role of this name"},
	"policy_version_pkey":           {fault.Conflict, "the policy was changed at the same time; read it again, then apply"},
	"user_role_role_fkey":           {fault.NotFound, "there is no role of this name"},
	"role_grant_role_fkey":          {fault.NotFound, "there is no role of this name"},
	"api_key_application_fkey":      {fault.NotFound, "there is no application of this name"},
	"api_key_user_id_fkey":          {fault.NotFound, "there is no such user"},
	"login_session_user_id_key":     {fault.NotFound, "there is no such user"},
	"api_key_check":                 {fault.Invalid, "a key must expire after it was made"},
	"server_agent_fkey":             {fault.NotFound, "there is no agent of this name; one that has joined is in 'warder agent list'"},
	"users_name_check": {fault.Invalid,
		"a user's name is 1 to 128 characters of a-z, 0-9, and . _ @ + -, and begins with a letter or digit"},
	"role_name_check": {fault.Invalid,
		"a role's name is 1 to 64 characters of a-z, 0-9, _ and -, and begins with a letter"},
	"application_name_check": {fault.Invalid,
		"an application's name is 1 to 64 characters of a-z, 0-9, . _ and -, and begins with a letter or digit"},
	"server_name_check": {fault.Invalid,
		"a server's name is 1 to 20 characters of a-z, 0-9 and -, and begins with a letter"},
	"server_url_check":       {fault.Invalid, "a server's URL begins with http:// or https://"},
	"role_grant_risks_check": {fault.Invalid, "a risk is one of read, write, destructive, admin, execute, external, unclassified"},
}

// translate gives an error of the driver its fault. It is the only place that
// does. An error of a context stays what it is; one that is nobody's fault but
// ours stays without a fault, so that its text is withheld at every edge.
func translate(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if errors.Is(err, pgx.ErrNoRows) {
		return fault.Wrap(fault.NotFound, "not found", err)
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return translateServer(e, err)
	}
	if lost(err) {
		return fault.Wrap(fault.Unavailable, "the database cannot be reached; try again", err)
	}
	return err
}

// translateServer translates what the server said. The codes are those of
// PostgreSQL's appendix A.
func translateServer(e *pgconn.PgError, err error) error {
	if c, ok := constraints[e.ConstraintName]; ok {
		return fault.Wrap(c.kind, c.text, err)
	}
	switch e.Code {
	case "23505": // unique_violation
		return fault.Wrap(fault.Exists, "it exists already", err)
	case "23503": // foreign_key_violation
		return fault.Wrap(fault.Precondition, "it depends on something that is not there, or something depends on it", err)
	case "23514", "23502", "22001", "22021", "22P05": // check, not null, too long, not text
		return fault.Wrap(fault.Invalid, "a value is not valid"+named(e), err)
	case "40001", "40P01", "55P03": // serialization, deadlock, lock not available
		return fault.Wrap(fault.Conflict, "somebody changed the same thing at the same time; try again", err)
	}
	// 08 connection, 53 resources, 57P admin shutdown, crash, cannot connect now.
	if strings.HasPrefix(e.Code, "08") || strings.HasPrefix(e.Code, "53") || strings.HasPrefix(e.Code, "57P") {
		return fault.Wrap(fault.Unavailable, "the database is not available; try again", err)
	}
	return err
}

// named says which column or constraint an error is about: names of ours, which
// may be shown.
func named(e *pgconn.PgError) string {
	switch {
	case e.ConstraintName != "":
		return " (" + e.ConstraintName + ")"
	case e.ColumnName != "":
		return " (" + e.TableName + "." + e.ColumnName + ")"
	}
	return ""
}

// lost reports whether err means that the connection failed, rather than that
// the server refused something.
func lost(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

// Codes of a database that cannot be used: not reached, or not of a version that
// this build can work with.
const (
	codeConnect = "WARDER-DB-002"
	codeVersion = "WARDER-DB-003"
)

// badURL is the error for a URL that does not parse. The driver leaves the
// password out of its text.
func badURL(err error) error {
	return fault.Wrap(fault.Invalid, fmt.Sprintf(
		"the database URL is not valid (%v); it looks like postgres://user:password@host:5432/database", err), err).Coded(codeConnect)
}

// unreachable is the error for a database that does not answer, or that answers
// no. The reason is shown: who starts a process must see why it does not.
func unreachable(c *pgx.ConnConfig, err error) error {
	where := net.JoinHostPort(c.Host, fmt.Sprint(c.Port))
	// A line for each address that was tried, and more than one often says the same.
	lines := strings.Split(err.Error(), "\n")
	reason := strings.TrimSpace(lines[len(lines)-1])
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		reason = e.Message
	}
	return fault.Wrap(fault.Unavailable, fmt.Sprintf(
		"cannot connect to database %q at %s as %q: %s; check that PostgreSQL runs there and that the database URL is right",
		c.Database, where, c.User, reason), err).Coded(codeConnect)
}

// translated is a DBTX whose errors carry faults.
type translated struct{ db.DBTX }

// Exec runs a statement without rows.
func (t translated) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	tag, err := t.DBTX.Exec(ctx, sql, args...)
	return tag, translate(err)
}

// Query runs a statement with rows.
func (t translated) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := t.DBTX.Query(ctx, sql, args...)
	if err != nil {
		return nil, translate(err)
	}
	return translatedRows{rows}, nil
}

// QueryRow runs a statement with one row.
func (t translated) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return translatedRow{t.DBTX.QueryRow(ctx, sql, args...)}
}

// CopyFrom runs COPY.
func (t translated) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, rows pgx.CopyFromSource) (int64, error) {
	n, err := t.DBTX.CopyFrom(ctx, table, columns, rows)
	return n, translate(err)
}

// translatedRows is Rows whose errors carry faults.
type translatedRows struct{ pgx.Rows }

// Err returns what ended the rows.
func (r translatedRows) Err() error { return translate(r.Rows.Err()) }

// Scan reads the columns of one row.
func (r translatedRows) Scan(dest ...any) error { return translate(r.Rows.Scan(dest...)) }

// translatedRow is a Row whose errors carry faults.
type translatedRow struct{ row pgx.Row }

// Scan reads the columns.
func (r translatedRow) Scan(dest ...any) error { return translate(r.row.Scan(dest...)) }
