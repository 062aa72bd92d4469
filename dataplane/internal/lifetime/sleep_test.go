package lifetime

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestSleepLastsUntilItsTimeOrTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Lifetime
		began := time.Now()
		if !Sleep(&l, time.Minute) || time.Since(began) != time.Minute {
			t.Errorf("it woke after %v", time.Since(began))
		}
		time.AfterFunc(time.Second, func() { l.End(nil) })
		if Sleep(&l, time.Minute) || time.Since(began) != time.Minute+time.Second {
			t.Errorf("it outlasted what ended after a second: %v", time.Since(began))
		}
	})
}
