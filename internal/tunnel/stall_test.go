package tunnel

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// flood answers without end on server "flood", and else as echo does.
var flood = handlerFunc(func(ctx context.Context, r *Incoming, w Answer) {
	if r.Server != "flood" {
		echo(ctx, r, w)
		return
	}
	if w.Head(200, nil) != nil {
		return
	}
	piece := make([]byte, 10_000)
	for {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
})

// stall opens streams whose answers nobody reads.
func stall(t *testing.T, e *Tunnel, streams int) {
	t.Helper()
	for range streams {
		if _, err := e.Do(t.Context(), &Request{Server: "flood", Method: "GET"}); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Wait()
}

// latencies has 200 callers call through a connection that takes a millisecond for each message, some of them little and some much, and
// returns how long the calls took on the clock of the test, sorted. The first of the callers do not read their answers.
func latencies(t *testing.T, stalled int) (sorted []time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		one, two := newPipe(1)
		one.delay, two.delay = time.Millisecond, time.Millisecond
		a := start(t, one, Config{})
		start(t, two, Config{Handler: flood})
		stall(t, a.Tunnel, stalled)
		took := make(chan time.Duration, 10)
		for i := range 200 - stalled {
			body := bytes.Repeat([]byte{byte(i)}, 100<<(i%9))
			go func() {
				for range 10 {
					begin := time.Now()
					got, err := post(t.Context(), a.Tunnel, body)
					if err != nil || !bytes.Equal(got, body) {
						t.Errorf("caller %d got %d bytes of %d, %v", i, len(got), len(body), err)
					}
					took <- time.Since(begin)
				}
			}()
		}
		for range 10 * (200 - stalled) {
			sorted = append(sorted, <-took)
		}
	})
	slices.Sort(sorted)
	return sorted
}

// TestAStalledStreamHoldsUpNoOther holds P-11: of 200 streams with one stalled, the slowest hundredth of the others' calls is at most
// twice as slow as without it. So it is with 30 that are stalled, whose credit together is all that the tunnel has.
func TestAStalledStreamHoldsUpNoOther(t *testing.T) {
	p99 := func(sorted []time.Duration) time.Duration { return sorted[len(sorted)*99/100] }
	free := p99(latencies(t, 0))
	for _, stalled := range []int{1, 30} {
		got := p99(latencies(t, stalled))
		t.Logf("p99 with %d stalled: %v, without: %v", stalled, got, free)
		if got > 2*free {
			t.Errorf("with %d stalled streams the p99 of the others is %v, without %v", stalled, got, free)
		}
	}
}

// TestStreamsThatStallLeaveRoomHoweverManyTheyAre: neither end holds more than the tunnel's credit, others go on in both directions, and
// what was stalled goes on when it is read.
func TestStreamsThatStallLeaveRoomHoweverManyTheyAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const credit, streams = 1 << 20, 900
		config := Config{StreamCredit: 64 << 10, TunnelCredit: credit, Handler: flood}
		a, b := connect(t, config, config)
		stall(t, a.Tunnel, streams)
		stall(t, b.Tunnel, streams)
		body := bytes.Repeat([]byte("b"), 3<<20)
		for _, e := range []*end{a, b} {
			begin := time.Now()
			got, err := post(t.Context(), e.Tunnel, body)
			if err != nil || !bytes.Equal(got, body) || time.Since(begin) != 0 {
				t.Errorf("another call: %d bytes of %d, %v, after %v", len(got), len(body), err, time.Since(begin))
			}
			if held := e.gauge.received.Load() - e.gauge.read.Load(); held > credit || held < credit/4 {
				t.Errorf("an end holds %d bytes, want more than a quarter of its room, and no more than all, %d", held, credit)
			}
			if e.copied > credit {
				t.Errorf("an end keeps %d bytes that are to be sent, more than %d", e.copied, credit)
			}
		}
	})
}

// TestAStalledStreamGoesOnWhenItIsRead: no credit is lost on the way, whatever the sizes of reads.
func TestAStalledStreamGoesOnWhenItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := connect(t, Config{StreamCredit: 1000, TunnelCredit: 2000}, Config{Handler: flood, StreamCredit: 3, TunnelCredit: 7})
		var answers []*Response
		for range 5 {
			r, err := a.Do(t.Context(), &Request{Server: "flood", Method: "GET"})
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, r)
		}
		synctest.Wait()
		for i := range 2000 {
			for n, r := range answers[:4] {
				if _, err := io.ReadFull(r.Body, make([]byte, 1+(7*i+n)%1500)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got, err := post(t.Context(), a.Tunnel, []byte(strings.Repeat("b", 5000))); err != nil || len(got) != 5000 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		for _, r := range answers {
			r.Body.Close()
		}
		synctest.Wait()
		checkIdle(t, a.Tunnel, b.Tunnel)
	})
}
