package dataplane

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/warder-gateway/warder/dataplane/internal/turns"
	"github.com/warder-gateway/warder/internal/ownfile"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// divisionFile says among how many nodes limits are divided. It stands beside the last
// good snapshot for the same reason: a node that starts while the control plane is away
// serves, and must not take the whole of each limit for its own.
const divisionFile = "nodes"

// maxDivisionFile is more than the file ever has, in bytes.
const maxDivisionFile = 16

// division keeps the number of nodes on disk: the latest, written by a goroutine of its own. Who tells of it tells of
// revocations, too, and must not wait for a disk.
type division struct {
	write func(nodes uint32) error // nil: Plane.keepDivision

	mu      sync.Mutex
	nodes   uint32
	writing bool
	writers sync.WaitGroup
}

// divided puts in force what the control plane says of the node's shares, and keeps the
// number of nodes.
func (p *Plane) divided(shares *syncv1.Shares) {
	before := p.limits.Nodes()
	p.limits.SetShares(shares)
	now := p.limits.Nodes()
	if now == before {
		return
	}
	d := &p.division
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.nodes = now; !d.writing {
		d.writing = true
		d.writers.Go(p.keepDivisions)
	}
}

// keepDivisions writes until the number that was told last is kept, or cannot be.
func (p *Plane) keepDivisions() {
	write := p.division.write
	if write == nil {
		write = p.keepDivision
	}
	for nodes, more := p.division.next(0, true); more; nodes, more = p.division.next(nodes, false) {
		if err := write(nodes); err != nil {
			p.log.Warn("the number of nodes is not kept; after a restart without control plane this node would have another share of limits", "error", err)
		}
	}
}

// next returns the number to write when this one has been, or none is; false: it was the latest, and the writing ends.
func (d *division) next(written uint32, first bool) (uint32, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writing = first || d.nodes != written
	return d.nodes, d.writing
}

func (p *Plane) keepDivision(nodes uint32) error {
	path := filepath.Join(p.config.DataDir, divisionFile)
	var err error
	turns.Wait(func() { err = ownfile.Replace(path, strconv.AppendUint(nil, uint64(nodes), 10)) })
	if err != nil {
		return fmt.Errorf("write number of nodes: %w", err)
	}
	return nil
}

// loadDivision takes up the number of nodes from before. Without one, as at its first
// start, a node has no snapshot either, and serves nothing.
func (p *Plane) loadDivision() error {
	text, err := os.ReadFile(filepath.Join(p.config.DataDir, divisionFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read number of nodes: %w", err)
	}
	nodes, err := strconv.ParseUint(string(text[:min(len(text), maxDivisionFile)]), 10, 32)
	if err != nil {
		return fmt.Errorf("read number of nodes: %w", err)
	}
	p.limits.SetShares(&syncv1.Shares{Nodes: uint32(nodes)})
	return nil
}
