package store_test

import (
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/fault"
)

// exec runs statements on a connection of its own.
func exec(t *testing.T, url string, statements ...string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			return err
		}
	}
	return nil
}

func TestOpenRefusesADatabaseOfANewerWarder(t *testing.T) {
	c := storetest.Config(t)
	if err := exec(t, c.MigrateURL, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)"); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(t.Context(), c)
	if !fault.Is(err, fault.Precondition) || !strings.Contains(fault.Text(err), "migrated by a newer Warder") {
		t.Errorf("error: %v", err)
	}
}

func TestOpenSaysWhereItCannotConnect(t *testing.T) {
	// A port that was free a moment ago: nothing listens there.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), store.Config{URL: "postgres://ana:canary@" + address + "/warder"})
	if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.Text(err), address) ||
		!strings.Contains(fault.Text(err), "check that PostgreSQL runs there") {
		t.Errorf("error: %v", err)
	}
	if strings.Contains(err.Error(), "canary") {
		t.Errorf("the password is in the error: %v", err)
	}
}

func TestOpenRefusesAURLThatIsNone(t *testing.T) {
	_, err := store.Open(t.Context(), store.Config{URL: "postgres://ana:canary@:port/"})
	if !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "canary") {
		t.Errorf("error: %v", err)
	}
}

// P-03, in part: who has the password of the running control plane can neither
// rewrite what happened nor change the schema.
func TestRuntimeRoleCannotRewriteThePast(t *testing.T) {
	c := storetest.Config(t)
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	forbidden := []string{
		"UPDATE audit_record SET event = ''", "DELETE FROM audit_record", "TRUNCATE audit_record",
		"UPDATE admin_audit SET actor = 'x'", "DELETE FROM admin_audit", "DELETE FROM config_change",
		"UPDATE policy_version SET document = ''", "DELETE FROM verdict",
		"DROP TABLE audit_record", "CREATE TABLE x ()", "ALTER TABLE audit_record DISABLE TRIGGER ALL",
		"UPDATE goose_db_version SET is_applied = false",
	}
	for _, statement := range forbidden {
		if err := exec(t, c.URL, statement); err == nil || !strings.Contains(err.Error(), "42501") {
			t.Errorf("%s: %v", statement, err)
		}
	}
	allowed := []string{
		"SELECT event FROM audit_record", "INSERT INTO application (name) VALUES ('cursor')",
		"DELETE FROM application", "UPDATE audit_call SET error = ''",
	}
	for _, statement := range allowed {
		if err := exec(t, c.URL, statement); err != nil {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestReplicasThatOpenTogetherMigrateOnce(t *testing.T) {
	c := storetest.Config(t)
	if err := exec(t, c.MigrateURL, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public"); err != nil {
		t.Fatal(err)
	}
	const replicas = 4
	opened := make(chan error, replicas)
	for range replicas {
		go func() {
			s, err := store.Open(t.Context(), c)
			if err == nil {
				s.Close()
			}
			opened <- err
		}()
	}
	for range replicas {
		if err := <-opened; err != nil {
			t.Error(err)
		}
	}
}

func TestMigrationsGoDownAndUpAgain(t *testing.T) {
	c := storetest.Config(t)
	if err := store.Rollback(t.Context(), c.MigrateURL); err != nil {
		t.Fatalf("down: %v", err)
	}
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatalf("up again: %v", err)
	}
	defer s.Close()
	if _, err := s.ReadConfig(t.Context()); err != nil {
		t.Error(err)
	}
}
