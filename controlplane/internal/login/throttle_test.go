package login

import (
	"fmt"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestThrottleRefillsWithTime(t *testing.T) {
	th := newThrottle(2, 10*time.Second, 10)
	for i := range 2 {
		if _, ok := th.take("a", start); !ok {
			t.Fatalf("take %d refused", i)
		}
	}
	if wait, ok := th.take("a", start); ok || wait != 10*time.Second {
		t.Fatalf("third take = %v, %t; want to wait 10 s", wait, ok)
	}
	if _, ok := th.take("b", start); !ok {
		t.Fatal("another key is refused")
	}
	if _, ok := th.take("a", start.Add(10*time.Second)); !ok {
		t.Fatal("no token came back")
	}
	th.give("a", start.Add(time.Hour))
	th.give("a", start.Add(time.Hour))
	th.give("a", start.Add(time.Hour))
	for range 2 {
		th.take("a", start.Add(time.Hour))
	}
	if _, ok := th.take("a", start.Add(time.Hour)); ok {
		t.Fatal("the bucket holds more than its burst")
	}
}

func TestThrottleForgetsTheLeastRecentWhenFull(t *testing.T) {
	th := newThrottle(1, time.Hour, 3)
	for i := range 100 {
		th.take(fmt.Sprint(i), start)
	}
	if len(th.buckets) != 3 || th.recent.Len() != 3 {
		t.Fatalf("%d buckets and %d in order, want 3", len(th.buckets), th.recent.Len())
	}
	if _, ok := th.take("99", start); ok {
		t.Fatal("the most recent bucket was forgotten")
	}
}

// T-42: many addresses together reach the hashing at a bounded rate, and an
// address that fails does not use up the account's own share.
func TestT42_AttemptsAreBoundedPerAccount(t *testing.T) {
	a := newAttempts()
	accepted := 0
	for i := range 10_000 {
		if _, ok := a.take(side{address: fmt.Sprintf("10.0.0.%d", i%200), account: "ana"}, start); ok {
			accepted++
		}
	}
	if accepted != int(a.account.burst) {
		t.Fatalf("%d of 10000 attempts accepted, want %v", accepted, a.account.burst)
	}
	b := newAttempts()
	for range 1000 {
		b.take(side{address: "10.0.0.1", account: "ana"}, start)
	}
	if _, ok := b.take(side{address: "10.0.0.2", account: "ana"}, start); !ok {
		t.Fatal("one stranger's failures lock ana out elsewhere")
	}
}
