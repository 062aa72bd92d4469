package store_test

import (
	"fmt"
	"testing"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/controlplane/internal/store/storetest"
)

// The time between two tries of a server that fails doubles, up to the age.
func TestTriesOfAServerThatStaysAwayGetRarer(t *testing.T) {
	c := storetest.Config(t)
	s, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := exec(t, c.MigrateURL, `INSERT INTO server (name, url, last_error, failing_since) VALUES ('s', 'https://s', 'away', now())`); err != nil {
		t.Fatal(err)
	}
	for _, at := range []struct {
		failing, tried string // how long ago
		claimed        int
	}{
		{"5 seconds", "5 seconds", 0},
		{"15 seconds", "15 seconds", 1},
		{"100 seconds", "30 seconds", 0}, // had failed for 70 seconds then
		{"140 seconds", "71 seconds", 1},
		{"9 hours", "59 minutes", 0},
		{"9 hours", "61 minutes", 1},
	} {
		if err := exec(t, c.MigrateURL, fmt.Sprintf(
			`UPDATE server SET failing_since = now() - interval '%s', checked_at = now() - interval '%s'`, at.failing, at.tried)); err != nil {
			t.Fatal(err)
		}
		names, err := s.ClaimStaleServers(t.Context(), db.ClaimStaleServersParams{AgeSeconds: 3600, RetrySeconds: 10, AtMost: 9})
		if err != nil || len(names) != at.claimed {
			t.Errorf("failing for %s, tried %s ago: claimed %v, %v", at.failing, at.tried, names, err)
		}
	}
}
