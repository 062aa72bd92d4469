package tunnel

import (
	"errors"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestManyCallsWithReconnects has calls go on while their tunnel is cut again and again: no answer is another's, and neither a goroutine
// nor an entry is left. WARDER_TUNNEL_CALLS makes it long.
func TestManyCallsWithReconnects(t *testing.T) {
	calls := 20_000
	if long, err := strconv.Atoi(os.Getenv("WARDER_TUNNEL_CALLS")); err == nil {
		calls = long
	}
	var made, answered, lost, cuts atomic.Int64
	synctest.Test(t, func(t *testing.T) {
		var current atomic.Pointer[Tunnel]
		var callers sync.WaitGroup
		finished := make(chan struct{})
		for caller := range 200 {
			callers.Go(func() {
				for made.Add(1) <= int64(calls) {
					e := current.Load()
					if e == nil {
						time.Sleep(time.Millisecond)
						continue
					}
					nonce := uint64(caller)<<20 | uint64(made.Load())
					body := fill(nonce, 'q', 8+int(nonce%500))
					got, err := post(t.Context(), e, body)
					switch {
					case errors.Is(err, ErrLost):
						lost.Add(1)
					case err != nil || string(got) != string(body):
						t.Errorf("%d bytes of %d, %v", len(got), len(body), err)
					default:
						answered.Add(1)
					}
					time.Sleep(time.Duration(nonce%7) * time.Millisecond)
				}
			})
		}
		go func() {
			callers.Wait()
			close(finished)
		}()
		for running := true; running; {
			one, two := newPipe(2)
			one.delay, two.delay = 100*time.Microsecond, 100*time.Microsecond
			a, b := start(t, one, Config{}), start(t, two, Config{Handler: echo})
			current.Store(a.Tunnel)
			select {
			case <-finished:
				running = false
			case <-time.After(time.Duration(calls) * time.Microsecond): // 50 reconnects or so, however many calls
				cuts.Add(1)
			}
			one.close()
			a.wait()
			b.wait()
			synctest.Wait() // until all callers have closed what they got
			checkIdle(t, a.Tunnel, b.Tunnel)
		}
	})
	t.Logf("%d calls, %d answered, %d lost, %d reconnects", calls, answered.Load(), lost.Load(), cuts.Load())
	if answered.Load() < int64(calls)*9/10 || lost.Load() == 0 || cuts.Load() < 3 {
		t.Error("this holds vacuously")
	}
}
