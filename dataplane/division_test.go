package dataplane

import (
	"errors"
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
	first.division.writers.Wait()
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

// Whoever tells how many nodes there are does not wait for the disk, and tells of revocations next.
func TestASlowDiskHoldsUpNobodyWhoTellsHowManyNodesThereAre(t *testing.T) {
	writing, let := make(chan uint32), make(chan struct{})
	p := &Plane{limits: limit.New(), log: slog.New(slog.DiscardHandler)}
	p.division.write = func(nodes uint32) error {
		writing <- nodes
		<-let
		return errors.New("the disk is full")
	}
	p.divided(&syncv1.Shares{Nodes: 7})
	if nodes := <-writing; nodes != 7 {
		t.Errorf("%d is written", nodes)
	}
	for _, nodes := range []uint32{6, 5, 4} {
		p.divided(&syncv1.Shares{Nodes: nodes})
		if got := p.limits.Nodes(); got != nodes {
			t.Errorf("%d nodes are reckoned with; want %d", got, nodes)
		}
	}
	close(let)
	if nodes := <-writing; nodes != 4 {
		t.Errorf("%d is written then, not the latest", nodes)
	}
	p.division.writers.Wait()
	p.divided(&syncv1.Shares{Nodes: 3})
	if nodes := <-writing; nodes != 3 {
		t.Errorf("%d is written at last", nodes)
	}
	p.division.writers.Wait()
}
