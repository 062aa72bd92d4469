package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/warder-gateway/warder/internal/localpg"
)

// notes is a template with one table and one row. Its name is this run's own,
// because a server of a person's may know it from the last run.
func notes(built *atomic.Int32) Template {
	return Template{Name: fmt.Sprintf("notes-%d-%p", os.Getpid(), built), Build: func(ctx context.Context, dsn string) error {
		built.Add(1)
		return execute(ctx, dsn, `CREATE TABLE note (text text); INSERT INTO note VALUES ('template')`)
	}}
}

func execute(ctx context.Context, dsn, sql string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

func count(t *testing.T, db *DB) (n int) {
	t.Helper()
	if err := db.Pool.QueryRow(t.Context(), `SELECT count(*) FROM note`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestClonesAreApartAndTheTemplateIsBuiltOnce(t *testing.T) {
	var built atomic.Int32
	from := notes(&built)
	t.Cleanup(func() { dropTemplate(t, from) })
	dbs := make([]*DB, 6)
	var all sync.WaitGroup
	for i := range dbs {
		all.Go(func() { dbs[i] = New(t, from) })
	}
	all.Wait()
	if t.Failed() {
		return
	}
	if n := built.Load(); n != 1 {
		t.Errorf("the template was built %d times", n)
	}
	for i, db := range dbs {
		for range i {
			if _, err := db.Pool.Exec(t.Context(), `INSERT INTO note VALUES ('mine')`); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, db := range dbs {
		if n := count(t, db); n != 1+i {
			t.Errorf("clone %d has %d rows, want %d", i, n, 1+i)
		}
	}
}

func TestPoolHasTheRightsOfProduction(t *testing.T) {
	var built atomic.Int32
	from := notes(&built)
	t.Cleanup(func() { dropTemplate(t, from) })
	db := New(t, from)
	for role, dsn := range map[string]string{localpg.AppRole: db.AppDSN, localpg.OwnerRole: db.OwnerDSN} {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			t.Fatal(err)
		}
		var user string
		var super bool
		err = conn.QueryRow(t.Context(), `SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user`).Scan(&user, &super)
		if err != nil || user != role || super {
			t.Errorf("connected as %s, superuser %v, %v; want %s", user, super, err, role)
		}
		conn.Close(t.Context())
	}
	if _, err := db.Pool.Exec(t.Context(), `CREATE TABLE mine (n int)`); err == nil {
		t.Error("the application may make tables")
	}
	if err := execute(t.Context(), db.OwnerDSN, `CREATE TABLE later (n int)`); err != nil {
		t.Error(err)
	}
	if _, err := db.Pool.Exec(t.Context(), `INSERT INTO later VALUES (1)`); err != nil {
		t.Errorf("a table of a later migration: %v", err)
	}
}

func TestDatabaseIsDroppedWithItsTest(t *testing.T) {
	var name string
	t.Run("inner", func(t *testing.T) {
		db := New(t, Template{})
		name = db.Name
		// Somebody who is still connected must not keep it.
		conn, err := pgx.Connect(t.Context(), db.OwnerDSN)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn
	})
	srv, err := theServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), srv.url.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var there bool
	if err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&there); err != nil {
		t.Fatal(err)
	}
	if there {
		t.Errorf("%s outlived its test", name)
	}
}

func TestTemplateThatFailedIsBuiltAgain(t *testing.T) {
	srv, err := theServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var built atomic.Int32
	good := notes(&built)
	t.Cleanup(func() { dropTemplate(t, good) })
	bad := Template{Name: good.Name, Build: func(ctx context.Context, dsn string) error {
		if err := execute(ctx, dsn, `CREATE TABLE half (n int)`); err != nil {
			t.Error(err)
		}
		return errors.New("migration 7 failed")
	}}
	if _, err := srv.template(t.Context(), bad); err == nil {
		t.Fatal("no error from a build that failed")
	}
	db := New(t, good)
	if n := count(t, db); n != 1 {
		t.Errorf("%d rows", n)
	}
	if _, err := db.Pool.Exec(t.Context(), `SELECT * FROM half`); err == nil {
		t.Error("the half-made template is in use")
	}
}

func TestTemplateThatIsBuiltNeedsAName(t *testing.T) {
	srv, err := theServer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := srv.template(t.Context(), Template{Build: func(context.Context, string) error { return nil }}); err == nil {
		t.Error("no error")
	}
}

// dropTemplate removes a template that no other run will use.
func dropTemplate(t *testing.T, from Template) {
	srv, err := theServer(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	name, err := srv.template(context.Background(), from)
	if err != nil {
		t.Fatal(err)
	}
	srv.templates.Delete(name)
	if err := srv.exec(context.Background(), `DROP DATABASE `+name); err != nil {
		t.Error(err)
	}
}
