package dataplane

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/warder-gateway/warder/dataplane/internal/limit"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// A node that starts without control plane has the part of limits that it had, and not
// the whole of each; one whose file is spoilt says so.
func TestTheNumberOfNodesOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	start := func() *Plane {
		return &Plane{config: Config{DataDir: dir}, limits: limit.New(), log: slog.New(slog.DiscardHandler)}
	}
	first := start()
	if err := first.loadDivision(); err != nil || first.limits.Nodes() != 0 {
		t.Errorf("at the first start: %d nodes, %v", first.limits.Nodes(), err)
	}
	for _, nodes := range []uint32{7, 3, 0} { // 0 says nothing.
		first.divided(&syncv1.Shares{Nodes: nodes})
	}
	next := start()
	if err := next.loadDivision(); err != nil || next.limits.Nodes() != 3 {
		t.Errorf("at the next start: %d nodes, %v; want 3", next.limits.Nodes(), err)
	}
	for _, spoilt := range []string{"", "many", "-1", "99999999999999999999"} {
		if err := os.WriteFile(filepath.Join(dir, divisionFile), []byte(spoilt), 0o600); err != nil {
			t.Fatal(err)
		}
		if p := start(); p.loadDivision() == nil || p.limits.Nodes() != 0 {
			t.Errorf("%q: %d nodes, and no error", spoilt, p.limits.Nodes())
		}
	}
}
