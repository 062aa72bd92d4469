package store_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/warder-gateway/warder/controlplane/internal/store"
	"github.com/warder-gateway/warder/controlplane/internal/store/db"
	"github.com/warder-gateway/warder/internal/fault"
)

// old answers as a server of another version; there is no such server at hand.
type old struct {
	db.DBTX
	number int32
	name   string
}

func (o old) QueryRow(context.Context, string, ...any) pgx.Row { return o }

func (o old) Scan(dest ...any) error {
	*dest[0].(*int32), *dest[1].(*string) = o.number, o.name
	return nil
}

func TestOpenRefusesAPostgreSQLThatIsTooOld(t *testing.T) {
	err := store.CheckServer(t.Context(), old{number: 140012, name: "14.12"})
	if !fault.Is(err, fault.Precondition) || !strings.Contains(fault.Text(err), "PostgreSQL 14.12; Warder needs 15 or newer") {
		t.Errorf("14: %v", err)
	}
	if err := store.CheckServer(t.Context(), old{number: 150000, name: "15.0"}); err != nil {
		t.Errorf("15: %v", err)
	}
}
