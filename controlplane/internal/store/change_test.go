package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
	"github.com/warder-gateway/warder/internal/fault"
)

// addUser is a change as any other.
func addUser(t *testing.T, s *store.Store, name string) (uint64, error) {
	t.Helper()
	return s.Change(t.Context(), "user:ana", func(tx *store.Tx) error {
		if _, err := tx.InsertUser(t.Context(), db.InsertUserParams{Name: name}); err != nil {
			return err
		}
		tx.Record("user.create", name, map[string]any{"roles": []string{"viewer"}})
		return nil
	})
}

func TestChangeWritesRowsRevisionAndAuditTogether(t *testing.T) {
	s := storetest.New(t)
	revision, err := addUser(t, s, "ben")
	if err != nil || revision != 1 {
		t.Fatalf("first change: revision %d, %v", revision, err)
	}
	changes, err := s.ListConfigChanges(t.Context(), db.ListConfigChangesParams{RowLimit: 10})
	if err != nil || len(changes) != 1 || changes[0].Revision != 1 || changes[0].Action != "user.create" {
		t.Fatalf("changes: %+v, %v", changes, err)
	}
	audit, err := s.ListAdminAudit(t.Context(), db.ListAdminAuditParams{RowLimit: 10})
	if err != nil || len(audit) != 1 {
		t.Fatalf("audit: %+v, %v", audit, err)
	}
	got := audit[0]
	if got.Actor != "user:ana" || got.Target != "ben" || got.Revision == nil || *got.Revision != 1 ||
		string(got.Detail) != `{"roles": ["viewer"]}` {
		t.Errorf("audit: %+v %s", got, got.Detail)
	}
}

func TestChangeThatFailsLeavesNothing(t *testing.T) {
	s := storetest.New(t)
	boom := errors.New("boom")
	_, err := s.Change(t.Context(), "user:ana", func(tx *store.Tx) error {
		if _, err := tx.InsertUser(t.Context(), db.InsertUserParams{Name: "ben"}); err != nil {
			return err
		}
		tx.Record("user.create", "ben", nil)
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatalf("error: %v", err)
	}
	wantUntouched(t, s)
}

func TestChangeThatRecordsNothingIsRolledBack(t *testing.T) {
	s := storetest.New(t)
	_, err := s.Change(t.Context(), "user:ana", func(tx *store.Tx) error {
		_, err := tx.InsertUser(t.Context(), db.InsertUserParams{Name: "ben"})
		return err
	})
	if err == nil {
		t.Fatal("a mutation without a record was committed")
	}
	wantUntouched(t, s)
}

func wantUntouched(t *testing.T, s *store.Store) {
	t.Helper()
	users, err := s.ListUsers(t.Context())
	if err != nil || len(users) != 0 {
		t.Errorf("users: %v, %v", users, err)
	}
	position, err := s.GetRevision(t.Context())
	if err != nil || position.Revision != 0 {
		t.Errorf("position: %+v, %v", position, err)
	}
	audit, err := s.ListAdminAudit(t.Context(), db.ListAdminAuditParams{RowLimit: 10})
	if err != nil || len(audit) != 0 {
		t.Errorf("audit: %v, %v", audit, err)
	}
}

func TestActIsAuditedWithoutRevision(t *testing.T) {
	s := storetest.New(t)
	err := s.Act(t.Context(), "user:ana", func(tx *store.Tx) error {
		tx.Record("user.password", "ana", nil)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	audit, err := s.ListAdminAudit(t.Context(), db.ListAdminAuditParams{RowLimit: 10})
	if err != nil || len(audit) != 1 || audit[0].Revision != nil {
		t.Fatalf("audit: %+v, %v", audit, err)
	}
	if position, err := s.GetRevision(t.Context()); err != nil || position.Revision != 0 {
		t.Errorf("position: %+v, %v", position, err)
	}
}

// Whoever reads revision N sees what every revision up to N wrote, however
// changes overlap.
func TestRevisionsFollowCommitOrder(t *testing.T) {
	const writers, each = 16, 10
	s := storetest.New(t)
	done := make(chan struct{})
	checked := make(chan error, 1)
	go func() { checked <- watchForGaps(t, s, done) }()

	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if _, err := addUser(t, s, fmt.Sprintf("u%d-%d", w, i)); err != nil {
					t.Errorf("change: %v", err)
				}
			}
		})
	}
	wg.Wait()
	close(done)
	if err := <-checked; err != nil {
		t.Error(err)
	}
	rows, err := s.ReadConfig(t.Context())
	if err != nil || rows.Revision != writers*each {
		t.Errorf("at the end: revision %d, %v", rows.Revision, err)
	}
}

// watchForGaps reads until done, and fails if a state of the database holds
// another number of users than its revision says.
func watchForGaps(t *testing.T, s *store.Store, done <-chan struct{}) error {
	for {
		err := s.InTx(t.Context(), func(q *store.Tx) error {
			// One statement sees one state; it needs no transaction of its own.
			changes, err := q.ListConfigChanges(t.Context(), db.ListConfigChangesParams{RowLimit: 1000})
			if err != nil {
				return err
			}
			for i, c := range changes {
				if c.Revision != int64(i+1) {
					return fmt.Errorf("revision %d is visible and %d is not", c.Revision, i+1)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		select {
		case <-done:
			return nil
		default:
		}
	}
}

func TestReadConfigIsOneStateInFixedOrder(t *testing.T) {
	s := storetest.New(t)
	for _, name := range []string{"zoe", "ana"} {
		if _, err := addUser(t, s, name); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := s.ReadConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if rows.Revision != 2 || rows.Epoch == "" || rows.Policy != nil {
		t.Errorf("rows: %+v", rows)
	}
	var roles []string
	for _, r := range rows.Roles {
		roles = append(roles, r.Name)
	}
	if diff := cmp.Diff([]string{"operator", "owner", "viewer"}, slices.Sorted(slices.Values(roles))); diff != "" {
		t.Errorf("roles: %s", diff)
	}
	if len(rows.Users) != 0 {
		t.Errorf("users without keys are in the snapshot: %v", rows.Users)
	}
}

func TestDriverErrorsBecomeFaults(t *testing.T) {
	s := storetest.New(t)
	if _, err := addUser(t, s, "ana"); err != nil {
		t.Fatal(err)
	}
	_, missing := s.GetUser(t.Context(), "nobody")
	_, twice := addUser(t, s, "ana")
	_, invalid := addUser(t, s, "Not A Name")
	_, nul := addUser(t, s, "a\x00b")
	tests := map[string]struct {
		err  error
		kind fault.Kind
		text string
	}{
		"no rows":              {missing, fault.NotFound, "not found"},
		"no rows, named":       {store.Missing(missing, `user "nobody"`), fault.NotFound, `there is no user "nobody"`},
		"unique":               {twice, fault.Exists, "a user of this name exists already"},
		"check":                {invalid, fault.Invalid, "a user's name is"},
		"text that is no text": {nul, fault.Invalid, "a value is not valid"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if fault.KindOf(tt.err) != tt.kind || !strings.HasPrefix(fault.Text(tt.err), tt.text) {
				t.Errorf("got %v %q, want %v %q", fault.KindOf(tt.err), fault.Text(tt.err), tt.kind, tt.text)
			}
		})
	}
}
