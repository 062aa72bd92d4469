package dataplane

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
)

// A node holds little and much passes by, so that Go's own collector, which lets
// the heap grow by what lives before it collects, would run a hundred times a
// second under load. It is given more room: up to four times of what lives, as
// long as that is no more than spareHeap bytes; a node that holds much is
// collected as any other program.
const (
	usualPercent = 100
	maxPercent   = 400
	spareHeap    = 64 << 20
	// tuneEvery is how often what lives is looked at.
	tuneEvery = 10 * time.Second
)

// tuneCollector makes the collector of this process one for a node until ctx
// ends, unless the operator said what he wants (GOGC, GOMEMLIMIT).
func tuneCollector(ctx context.Context) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	percent := 0
	for {
		if next := heapPercent(liveHeap()); next != percent {
			debug.SetGCPercent(next)
			percent = next
		}
		if !lifetime.Sleep(ctx, tuneEvery) {
			return
		}
	}
}

// liveHeap returns how many bytes of the heap lived at the last collection.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// heapPercent returns by how many per cent a heap may grow of which so many bytes
// live, in steps of 50: each change stops the process for a moment.
func heapPercent(live uint64) int {
	if live*maxPercent <= spareHeap*100 {
		return maxPercent
	}
	return max(usualPercent, int(spareHeap*100/live)/50*50)
}
