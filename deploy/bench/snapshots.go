package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"github.com/warder-gateway/warder/internal/snapshot"
	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// snapshots tells how long a node takes to apply a large snapshot, and what calls
// notice of it: an open loop at a quarter of what the node can do, with and
// without applying. While it applies, the next update comes as soon as the one
// before is applied, in turn a whole snapshot and a change of one server, so that
// each call falls into an apply.
//
// Direct calls are measured beside the same applies: what they lose is lost to
// the stand-in, which sends from the load's core.
func (b *bench) snapshots(ctx context.Context, n *node) ([]reading, error) {
	u, err := b.updates(ctx, n)
	if err != nil {
		return nil, err
	}
	if err := u.next(ctx); err != nil { // From here on the node holds as much as later.
		return nil, err
	}
	s := scenario{Era: "legacy", Answer: "json", Callers: 16, Bytes: 256}
	saturated, err := drive(ctx, &n.subject, s.work(&n.subject), b.duration/2)
	if err != nil {
		return nil, err
	}
	s.Callers, s.Rate = openCallers, saturated.throughput()/4
	samples := make([][]sample, 4) // as the constants below say
	for range b.rounds {
		for i := range samples {
			subject, around := &n.subject, alone
			if i == directQuiet || i == directApplying {
				subject = b.direct
			}
			if i == applying || i == directApplying {
				around = u.during
			}
			err := around(ctx, func() error {
				x, err := drive(ctx, subject, s.work(subject), 2*b.duration)
				samples[i] = append(samples[i], x)
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return b.snapshotReadings(u, s.Rate, samples), nil
}

// What is measured in turn.
const (
	quiet = iota
	applying
	directQuiet
	directApplying
)

func (b *bench) snapshotReadings(u *updates, rate float64, samples [][]sample) []reading {
	during := func(f func(sample) float64, with, without int) float64 {
		return perRound(samples, func(s []sample) float64 { return f(s[with]) / f(s[without]) })
	}
	readings := []reading{
		{Name: "updates applied", Value: float64(len(u.whole) + len(u.change))},
		{Name: "a whole snapshot, until applied", Value: median(u.whole), Unit: "s", AtMost: 1},
		{Name: "a change of one server, until applied", Value: median(u.change), Unit: "s", AtMost: 1},
		{Name: "calls in a second", Value: rate},
		{Name: "p50 without an apply", Value: over(samples[quiet], sample.p50), Unit: "µs"},
		{Name: "p50 during ÷ without an apply", Value: during(sample.p50, applying, quiet)},
		{Name: "p99 without an apply", Value: over(samples[quiet], sample.p99), Unit: "µs"},
		{Name: "p99 during an apply", Value: over(samples[applying], sample.p99), Unit: "µs"},
		{Name: "p99 during ÷ without an apply", Value: during(sample.p99, applying, quiet), AtMost: 2},
		{Name: "p99 of direct calls during ÷ without an apply", Value: during(sample.p99, directApplying, directQuiet)},
	}
	for i := range readings {
		readings[i].Name = fmt.Sprintf("%d tools, %d keys: %s", b.tools, b.keys, readings[i].Name)
	}
	return readings
}

// updates are sent to a node in turn: one that brings the whole of a snapshot, and
// one that changes it into another. A revision may come again with other content,
// so that two are enough.
type updates struct {
	node  *node
	turns [2][]*grpc.PreparedMsg
	sent  int
	// How long each took from being sent until the node said that it serves by it,
	// in seconds.
	whole, change []float64
}

// nonces name the two.
var nonces = [2]string{"whole", "change"}

func (b *bench) updates(ctx context.Context, n *node) (*updates, error) {
	var sets [2]*snapshot.Set
	for i, mark := range nonces {
		set, err := n.set(2, large("http://"+b.direct.address+"/legacy/json", b.tools, b.keys, mark)...)
		if err != nil {
			return nil, err
		}
		sets[i] = set
	}
	u := &updates{node: n}
	for i, update := range []*syncv1.Update{snapshot.FullUpdate(sets[0]), snapshot.DeltaUpdate(sets[0], sets[1])} {
		var err error
		if u.turns[i], err = n.control.prepare(ctx, n.control.sign(update, nonces[i])); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// next sends the next update and waits until it is applied.
func (u *updates) next(ctx context.Context) error {
	turn := u.sent % len(u.turns)
	u.sent++
	began := time.Now()
	if err := u.node.control.apply(ctx, u.turns[turn], nonces[turn]); err != nil {
		return err
	}
	took := &u.whole
	if turn == 1 {
		took = &u.change
	}
	*took = append(*took, time.Since(began).Seconds())
	return nil
}

// during sends updates one after the other while f runs: two at least, so that
// there is one of either kind.
func (u *updates) during(ctx context.Context, f func() error) error {
	ended, sent := make(chan struct{}), make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			select {
			case <-ended:
				if i >= len(u.turns) {
					sent <- nil
					return
				}
			default:
			}
			if err := u.next(ctx); err != nil {
				sent <- err
				return
			}
		}
	}()
	err := f()
	close(ended)
	return errors.Join(err, <-sent)
}

// alone is during without updates.
func alone(_ context.Context, f func() error) error { return f() }
