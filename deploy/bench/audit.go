package main

import (
	"context"
	"fmt"
	"path/filepath"
)

// auditCallers are how many call at once in the rows about audit. The targets are about the last two: one caller alone waits for
// the whole of a disk's answer, which is longer than its call.
var auditCallers = []int{1, 16, 64}

// audit compares calls of which nothing is recorded, calls whose records are written, and calls that also wait until their intent
// is on the disk: three nodes that differ in nothing else, the first of them built without records. Whoever takes the records is on
// the load's core.
func (b *bench) audit(ctx context.Context, written *node) ([]reading, error) {
	off, err := b.startUnrecorded(ctx)
	if err != nil {
		return nil, err
	}
	defer off.stop()
	synced, err := b.startNode("synced", b.binary, "--audit-sync", "all")
	if err != nil {
		return nil, err
	}
	defer synced.stop()

	subjects := []*subject{&off.subject, &written.subject, &synced.subject}
	var readings []reading
	for _, callers := range auditCallers {
		s := scenario{Era: "modern", Answer: "json", Callers: callers, Bytes: 256}
		samples, err := interleave(ctx, b.rounds, b.duration, subjects, s.work)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s, err)
		}
		readings = append(readings, auditReadings(callers, samples)...)
	}
	return readings, nil
}

// auditReadings are those of a number of callers; the samples are of calls that are not recorded, that are, and that are synced.
func auditReadings(callers int, samples [][]sample) []reading {
	of := func(what string) string { return fmt.Sprintf("%d callers: %s", callers, what) }
	ratio := func(i int, f func(sample) float64) float64 {
		return perRound(samples, func(s []sample) float64 { return f(s[i]) / f(s[0]) })
	}
	recorded := reading{Name: of("throughput, recorded ÷ not"), Value: ratio(1, sample.throughput), AtLeast: 0.95}
	synced := reading{Name: of("throughput, synced ÷ not recorded"), Value: ratio(2, sample.throughput), AtLeast: 0.6}
	if callers == 1 {
		synced.AtLeast = 0
	}
	return []reading{
		recorded,
		{Name: of("CPU, recorded ÷ not"), Value: ratio(1, sample.cpuPerCall)},
		{Name: of("p99, recorded ÷ not"), Value: ratio(1, sample.p99)},
		synced,
		{Name: of("CPU, synced ÷ not recorded"), Value: ratio(2, sample.cpuPerCall)},
	}
}

// startUnrecorded builds and starts a node that records nothing.
func (b *bench) startUnrecorded(ctx context.Context) (*node, error) {
	binary := filepath.Join(b.dir, "warder-unrecorded")
	if err := build(ctx, binary, "-tags", "unrecorded"); err != nil {
		return nil, err
	}
	return b.startNode("unrecorded", binary)
}
