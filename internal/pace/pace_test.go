package pace

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPausesDoubleUpToTheLongestAndBeginAnewAfterQuiet(t *testing.T) {
	now := time.Now()
	p := Pace{First: 50 * time.Millisecond, Longest: 300 * time.Millisecond, Quiet: 5 * time.Second}
	if p.Next().After(now) || !p.Rests(now) {
		t.Error("the first has to wait")
	}
	var pauses []int64
	for range 5 {
		p.Done(now)
		pauses = append(pauses, p.Next().Sub(now).Milliseconds())
		now = p.Next()
	}
	now = now.Add(5*time.Second - 300*time.Millisecond)
	p.Done(now)
	pauses = append(pauses, p.Next().Sub(now).Milliseconds())
	p.Done(now.Add(5*time.Second - 1))
	pauses = append(pauses, p.Next().Sub(now.Add(5*time.Second-1)).Milliseconds())
	if diff := cmp.Diff([]int64{50, 100, 200, 300, 300, 50, 100}, pauses); diff != "" {
		t.Error(diff)
	}
}
