package publisher

import (
	"testing"
	"time"
)

// Nodes that came at different moments are told of their shares at the same.
func TestAllNodesAreToldOfSharesAtOneMoment(t *testing.T) {
	noon := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, after := range []time.Duration{0, 1, time.Millisecond, 999 * time.Millisecond, time.Second - 1} {
		now := noon.Add(after)
		if at := now.Add(untilDivision(now)); !at.Equal(noon.Add(time.Second)) {
			t.Errorf("a node that came at %v is told at %v", now, at)
		}
	}
}
