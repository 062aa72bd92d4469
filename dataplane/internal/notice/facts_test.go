package notice

import (
	"encoding/binary"
	"testing"
	"time"
)

func session(n int) (id [16]byte) {
	binary.BigEndian.PutUint32(id[:], uint32(n)*0x9E3779B9)
	binary.LittleEndian.PutUint64(id[8:], uint64(n)*0x9E3779B97F4A7C15)
	return id
}

func TestFactsOfTheSessionNotUsedForLongestAreForgotten(t *testing.T) {
	b := New(Config{Sessions: factShards * 2})
	var same []int // of one shard
	for n := 0; len(same) < 3; n++ {
		if id := session(n); hash(&id, factShards) == 0 {
			same = append(same, n)
		}
	}
	b.SetLevel(session(same[0]), "info")
	b.SetLevel(session(same[1]), "error")
	b.Level(session(same[0])) // is use
	b.SetLevel(session(same[2]), "debug")
	for i, want := range []string{"info", "", "debug"} {
		if got := b.Level(session(same[i])); got != want {
			t.Errorf("level of session %d is %q, want %q", i, got, want)
		}
	}
	b.SetLevel(session(same[0]), "")
	if n := b.facts.shards[0].order.Len(); n != 1 {
		t.Errorf("%d sessions are kept, want 1", n)
	}
}

func TestEndedSessionsAreRememberedUntilTheyExpire(t *testing.T) {
	var e endedSet
	e.init(1_000_000)
	now := time.Unix(1_800_000_000, 0)
	e.add(session(0), now, now)
	if e.has(session(0)) || e.count.Load() != 0 {
		t.Error("a session that has expired anyhow is remembered")
	}
	for n := range 20_000 {
		e.add(session(n), now.Add(time.Duration(n+1)*time.Second), now)
	}
	for n := range 20_000 {
		if !e.has(session(n)) {
			t.Fatalf("session %d is forgotten", n)
		}
	}
	later := now.Add(15_000 * time.Second)
	for n := range 20_000 {
		e.add(session(20_000+n), later.Add(time.Hour), later)
	}
	for n := 15_000; n < 40_000; n++ {
		if !e.has(session(n)) {
			t.Fatalf("session %d is forgotten before it expires", n)
		}
	}
	if got := e.count.Load(); got > 26_000 {
		t.Errorf("%d are kept: those that expired are not forgotten", got)
	}
}

func TestEndedSessionsAreBounded(t *testing.T) {
	var e endedSet
	e.init(endedShards * 10)
	now := time.Unix(1_800_000_000, 0)
	for n := range 10_000 {
		e.add(session(n), now.Add(time.Hour), now)
	}
	if got := e.count.Load(); got != endedShards*10 {
		t.Errorf("%d are kept, want %d", got, endedShards*10)
	}
	if !e.has(session(9_999)) {
		t.Error("the latest made room for itself")
	}
}

func BenchmarkEnded(b *testing.B) {
	var e endedSet
	e.init(1_000_000)
	now := time.Now()
	for n := range 100_000 {
		e.add(session(n), now.Add(time.Hour), now)
	}
	ids := make([][16]byte, 1024)
	for n := range ids {
		ids[n] = session(50_000 + n*100)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			e.has(ids[n%len(ids)])
		}
	})
}
