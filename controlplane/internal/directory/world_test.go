package directory

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestPlacesThatChangeWithoutEndAreReadAFewTimesASecond: each reading is a message to all
// nodes. As followPlaces does, it waits after each; there is always something to be read.
func TestPlacesThatChangeWithoutEndAreReadAFewTimesASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := New(Config{})
		for range 2 {
			began, readings := time.Now(), 0
			var longest time.Duration
			for ; time.Since(began) < time.Minute; readings++ {
				read := time.Now()
				d.letGather(t.Context())
				longest = max(longest, time.Since(read))
				if readings == 0 && longest > gather {
					t.Errorf("after quiet the next is read after %v", longest)
				}
			}
			if readings > 3*60 || longest > longestGather {
				t.Errorf("places were read %d times in a minute, the last after %v", readings, longest)
			}
			time.Sleep(gatherQuiet)
		}
	})
}
