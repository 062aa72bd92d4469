package dataplane

import "testing"

func TestALargeHeapGetsNoMoreRoomThanGoGivesIt(t *testing.T) {
	for live, want := range map[uint64]int{0: 400, 1 << 20: 400, 16 << 20: 400, 20 << 20: 300, 32 << 20: 200, 50 << 20: 100, 1 << 40: 100} {
		if got := heapPercent(live); got != want {
			t.Errorf("%d MiB live: %d %%, want %d", live>>20, got, want)
		}
	}
	if liveHeap() > 1<<40 {
		t.Error("the runtime does not say what lives")
	}
}
