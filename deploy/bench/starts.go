package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// starts tells how long it takes until there is service: of a node that was killed, has its last snapshot on disk, and finds no control
// plane; and of 'warder up', with its own PostgreSQL, for the first time and again.
func (b *bench) starts(ctx context.Context, n *node) ([]reading, error) {
	u, err := b.updates(ctx, n)
	if err != nil {
		return nil, err
	}
	if err := u.next(ctx); err != nil {
		return nil, err
	}
	n.stop() // The control plane, too. What was applied is on disk then.
	var node, again []float64
	for range b.rounds {
		took, err := timed(func() error { return n.start(b.binary, filepath.Join(b.dir, "starts")) })
		if err != nil {
			return nil, err
		}
		node = append(node, took)
		_ = n.process.Process.Kill()
		_ = n.process.Wait()
	}
	first, err := b.up(ctx)
	for i := 0; i < b.rounds && err == nil; i++ {
		var took float64
		took, err = b.up(ctx)
		again = append(again, took)
	}
	return []reading{
		{Name: fmt.Sprintf("a node with %d tools and %d keys on disk, after kill -9, without its control plane", b.tools, b.keys), Value: median(node), Unit: "s", AtMost: 1},
		{Name: "warder up, the first time", Value: first, Unit: "s", AtMost: 6},
		{Name: "warder up, again", Value: median(again), Unit: "s", AtMost: 2},
	}, err
}

// timed returns how long f took, in seconds.
func timed(f func() error) (float64, error) {
	began := time.Now()
	err := f()
	return time.Since(began).Seconds(), err
}

// up has 'warder up' serve, with both cores, and ends it. It returns how long it took to serve, in seconds.
func (b *bench) up(ctx context.Context) (took float64, err error) {
	var addresses [2]string
	for i := range addresses {
		if addresses[i], err = freeAddress(); err != nil {
			return 0, err
		}
	}
	cmd := pinnedTo(loadCore+","+productCore, b.binary, "up", "--data-dir", filepath.Join(b.dir, "up"), "--listen", addresses[0], "--node-listen", addresses[1])
	var printed bytes.Buffer
	cmd.Stdout, cmd.Stderr = &printed, &printed
	took, err = timed(func() error { return errors.Join(cmd.Start(), await("http://"+addresses[0]+"/readyz")) })
	if cmd.Process != nil {
		_ = cmd.Process.Signal(os.Interrupt)
		err = errors.Join(err, cmd.Wait())
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("warder up: %w\n%s", err, printed.String())
	}
	return took, err
}
