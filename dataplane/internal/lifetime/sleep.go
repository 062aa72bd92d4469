package lifetime

import (
	"context"
	"time"
)

// Sleep waits for d, at most until ctx ends. It reports whether the time passed
// before.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
