// Package storetest gives a test a store of its own: on a real PostgreSQL, with
// this build's schema and nothing in it.
package storetest

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/warder-gateway/warder/controlplane/internal/store"
)

// New returns a store on a migrated database that is gone when the test ends.
func New(t testing.TB) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: URL(t)})
	if err != nil {
		t.Fatalf("open store: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// URL returns the URL of a fresh database, for tests that open it themselves.
func URL(t testing.TB) string {
	t.Helper()
	base := os.Getenv("WARDER_TEST_DATABASE_URL")
	if base == "" {
		t.Fatal("WARDER_TEST_DATABASE_URL is not set")
	}
	config, err := pgx.ParseConfig(base)
	if err != nil {
		t.Fatalf("parse URL: %v", err)
	}
	name := "store_" + strings.ToLower(rand.Text()[:16])
	admin(t, config, "CREATE DATABASE "+name)
	t.Cleanup(func() { admin(t, config, "DROP DATABASE "+name+" WITH (FORCE)") })
	return fmt.Sprintf("%s dbname=%s", dsn(config), name)
}

func dsn(c *pgx.ConnConfig) string {
	return fmt.Sprintf("host=%s port=%d user=%s password='%s'", c.Host, c.Port, c.User, c.Password)
}

func admin(t testing.TB, config *pgx.ConnConfig, sql string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}
