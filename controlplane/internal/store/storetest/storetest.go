// Package storetest gives a test a store of its own: on a real PostgreSQL, with
// this build's schema and nothing in it. It connects as the control plane does
// in production, with the rights of the runtime role and no more.
package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"testing"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/internal/pgtest"
)

// New returns a store on a database that is gone when the test ends.
func New(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), Config(t))
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Config says where a fresh, migrated database is, for tests that open it
// themselves.
func Config(t testing.TB) store.Config {
	t.Helper()
	name, err := schema()
	if err != nil {
		t.Fatalf("hash migrations: %v", err)
	}
	db := pgtest.New(t, pgtest.Template{
		Name:  name,
		Build: func(ctx context.Context, dsn string) error { return store.Migrate(ctx, dsn, nil) },
	})
	return store.Config{URL: db.AppDSN, MigrateURL: db.OwnerDSN}
}

// schema names what the migrations make: a change to any gives another name.
func schema() (string, error) {
	sum := sha256.New()
	migrations := store.Migrations()
	err := fs.WalkDir(migrations, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(migrations, path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(sum, "%s %d\n%s", path, len(content), content)
		return err
	})
	return "store " + hex.EncodeToString(sum.Sum(nil)[:16]), err
}
