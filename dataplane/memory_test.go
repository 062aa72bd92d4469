package dataplane

import (
	"runtime"
	"testing"
)

func TestALargeHeapGetsNoMoreRoomThanGoGivesIt(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 1 << 20: 400, 16 << 20: 400, 20 << 20: 300, 32 << 20: 200, 50 << 20: 100, 1 << 40: 100} {
		if got := heapPercent(live); got != want {
			t.Errorf("%d MiB live: %d %%, want %d", live>>20, got, want)
		}
	}
	runtime.GC() // so that there was one
	if heap := readHeap(); heap.live == 0 || heap.live > 1<<40 || heap.allocated < heap.live {
		t.Errorf("the runtime says of the heap: %+v", heap)
	}
}

func TestMemoryIsGivenBackOnceANodeBecameQuietAndNotBefore(t *testing.T) {
	var c calm
	allocated := uint64(0)
	after := func(bytes uint64) bool { allocated += bytes; return c.look(allocated) }
	for look, test := range []struct {
		bytes uint64
		gives bool
	}{
		{worthBytes / 2, false}, {0, false}, {0, true}, // It has started,
		{1 << 10, false}, {1 << 10, false}, {1 << 10, false}, // and there is nothing to give.
		{worthBytes, false}, {worthBytes, false}, // It works.
		{littleBytes, false}, {littleBytes, true}, // It became quiet,
		{littleBytes, false}, {0, false}, {littleBytes, false}, // and stays so.
		{littleBytes + 1, false}, {0, false}, {0, false}, // Too little happened since.
		{worthBytes, false}, {0, false}, {littleBytes + 1, false}, {0, false}, {0, true},
	} {
		if got := after(test.bytes); got != test.gives {
			t.Errorf("look %d, after %d bytes: gives back: %v", look, test.bytes, got)
		}
	}
}
