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

func TestTheSchemaHoldsEachKindToItsNames(t *testing.T) {
	c := storetest.Config(t)
	insert := func(kind, name, exposed string) error {
		return exec(t, c.URL, `INSERT INTO entry (server_id, kind, name, exposed_name, risk, offered_hash)
			SELECT id, '`+kind+`', '`+name+`', '`+exposed+`', 'read', sha256('') FROM server`)
	}
	if err := exec(t, c.URL, "INSERT INTO server (name, url) VALUES ('s', 'https://x')",
		"INSERT INTO definition (hash, content) VALUES (sha256(''), '{}')"); err != nil {
		t.Fatal(err)
	}
	for _, row := range [][3]string{
		{"tool", "a", "s__a"}, {"prompt", "a", "s__a"}, {"resource", "a:b", ""}, {"template", "a:b", ""}, {"instructions", "instructions", ""},
	} {
		if err := insert(row[0], row[1], row[2]); err != nil {
			t.Errorf("%v: %v", row, err)
		}
	}
	for _, row := range [][3]string{
		{"tool", "b", "s__a"}, {"tool", "a", "s__b"}, {"tool", "c", ""}, {"resource", "a:b", ""}, {"resource", "a:c", "s__c"},
		{"instructions", "other", ""}, {"task", "a", ""},
	} {
		if err := insert(row[0], row[1], row[2]); err == nil {
			t.Errorf("%v is taken", row)
		}
	}
}

// Also with rows that an older schema cannot hold.
func TestMigrationsGoDownAndUpAgain(t *testing.T) {
	c := storetest.Config(t)
	err := exec(t, c.MigrateURL,
		"INSERT INTO server (name, url, capabilities, partial) VALUES ('s', 'https://x', '{}', true)",
		"INSERT INTO definition (hash, content) VALUES (sha256(''), '{}')",
		`INSERT INTO entry (server_id, kind, name, exposed_name, risk, offered_hash)
		SELECT s.id, k.kind, CASE k.kind WHEN 'instructions' THEN 'instructions' ELSE 'a' END, k.exposed, 'read', sha256('')
		FROM server s, (VALUES ('tool', 's__a'), ('prompt', 's__a'), ('resource', ''), ('template', ''), ('instructions', '')) k (kind, exposed)`,
		"INSERT INTO role_grant (role, prompts) VALUES ('viewer', '{s/*}')",
		`INSERT INTO audit_call (id, at, node, epoch, user_name, application, key_id, client_name, client_version, remote_address,
			protocol_version, method, server, tool, risk, decision, rule, reason, revision, outcome, settled, completed_at)
		VALUES (decode(repeat('00', 16), 'hex'), now(), '', 1, '', '', '', '', '', '', '', '', '', '', '', 'allow', '', '', 1, 'input_required', 1, now())`)
	if err != nil {
		t.Fatal(err)
	}
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
