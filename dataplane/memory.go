package dataplane

import (
	"context"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/warder-gateway/warder/dataplane/internal/image"
	"github.com/warder-gateway/warder/dataplane/internal/lifetime"
)

// A node holds little and much passes by, so that Go's own collector, which lets
// the heap grow by what lives before it collects, would run a hundred times a
// second under load. It is given more room: up to four times of what lives, as
// long as that is no more than spareHeap bytes; a node that holds much is
// collected as any other program.
//
// That room is for load. What a node that became quiet does not need, it gives back.
const (
	usualPercent = 100
	maxPercent   = 400
	spareHeap    = 64 << 20
	// lookEvery is how often the heap is looked at, and tuneEvery how many looks pass from one
	// tuning to the next.
	lookEvery = 500 * time.Millisecond
	tuneEvery = 20
)

// tuneCollector makes the collector of this process one for a node until ctx
// ends, unless the operator said what he wants (GOGC, GOMEMLIMIT).
func tuneCollector(ctx context.Context, log *slog.Logger) {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	percent := 0
	var calm calm
	for look := 0; ; look++ {
		heap := readHeap()
		if next := heapPercent(heap.live); look%tuneEvery == 0 && next != percent {
			debug.SetGCPercent(next)
			percent = next
		}
		if calm.look(heap.allocated) {
			giveBack(log)
		}
		if !lifetime.Sleep(ctx, lookEvery) {
			return
		}
	}
}

// calm tells when a node became quiet. A collection is cheap then, and nobody waits for it.
type calm struct {
	seen  uint64 // allocated up to the look before
	given uint64 // allocated when memory was given back last
	looks int    // in a row at which little had happened
}

const (
	// littleBytes is what a quiet node may allocate from one look to the next.
	littleBytes = 512 << 10
	// worthBytes is what must have been allocated since memory was given back for it to be
	// worth while again: a node with little to do is not to collect all the time. A start is
	// worth it.
	worthBytes = 16 << 20
	// calmLooks is how many looks a node must be quiet for.
	calmLooks = 2
)

// look is told how many bytes were allocated so far, and reports whether to give memory back now.
func (c *calm) look(allocated uint64) bool {
	quiet := allocated-c.seen <= littleBytes
	c.seen = allocated
	if c.looks++; !quiet {
		c.looks = 0
	}
	if c.looks < calmLooks || c.given > 0 && allocated-c.given < worthBytes {
		return false
	}
	c.given = allocated
	return true
}

// giveBack collects, and returns to the system what is free. It takes two collections
// until pools have let go of what nobody used. The file of the program comes last: what the
// service needs of it comes back with the next calls.
func giveBack(log *slog.Logger) {
	runtime.GC()
	debug.FreeOSMemory()
	if err := image.Forget(); err != nil {
		log.Warn("cannot unmap what is not used of the program's file; the node takes more memory than it needs", "error", err)
	}
}

// heap says of the heap, in bytes, how much lived at the last collection and how much
// was allocated so far.
type heap struct{ live, allocated uint64 }

func readHeap() heap {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(samples)
	return heap{samples[0].Value.Uint64(), samples[1].Value.Uint64()}
}

// heapPercent returns by how many per cent a heap may grow of which so many bytes
// live, in steps of 50: each change stops the process for a moment.
func heapPercent(live uint64) int {
	if live*maxPercent <= spareHeap*100 {
		return maxPercent
	}
	return max(usualPercent, int(spareHeap*100/live)/50*50)
}
