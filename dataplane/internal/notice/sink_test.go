package notice

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/warder-gateway/warder/dataplane/internal/upstream"
	snapshotv1 "github.com/warder-gateway/warder/proto/gen/warder/snapshot/v1"
)

// TestUpdateIsHeldToThePolicyInForceBeforeAnySweep publishes what hides a resource, and lets its server say that it changed
// before the board has looked at its streams: from the moment at which calls are denied, nothing is told either.
func TestUpdateIsHeldToThePolicyInForceBeforeAnySweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		modern := w.open(w.modern("ana", "github+file:///a", "github+file:///b"))
		legacy := w.open(w.legacy("ana", 1, "github"))
		defer w.end()
		modern.take()
		sinks := []string{"github file:///a file:///b", "github own-github"}
		for _, words := range sinks {
			w.say(words, updatedA)
		}
		if len(modern.take()) != 1 || len(legacy.take()) != 1 {
			t.Fatal("an update that may be heard is not")
		}
		w.drop(func(item *snapshotv1.Item) bool { return item.GetRole() != nil })
		w.items.Add(&snapshotv1.Item{Kind: &snapshotv1.Item_Role{Role: &snapshotv1.Role{
			Name: "all", Grants: []*snapshotv1.Grant{{Tools: []string{"*"}}, {Resources: []string{"*/file:///b"}}},
		}}})
		w.index.Store(w.items.Index(2)) // and nobody has told the board
		for _, words := range sinks {
			w.say(words, updatedA)
		}
		modern.want()
		legacy.want()
		for _, words := range sinks {
			w.say(words, updatedB)
		}
		if len(modern.take()) != 1 || len(legacy.take()) != 1 {
			t.Error("what may still be read is hidden, too")
		}
		w.drop(func(item *snapshotv1.Item) bool { return item.GetKey().GetUser() == "ana" })
		w.index.Store(w.items.Index(3))
		for _, words := range sinks {
			w.say(words, updatedB)
		}
		legacy.want()
		if got := modern.take(); len(got) != 1 { // the error that ends it
			t.Errorf("after the key is gone: %q", got)
		}
		if !modern.isDone() || !legacy.isDone() {
			t.Error("the streams of a key that is gone go on")
		}
	})
}

// TestUpdatesDoNotWaitForASweep lets a message through while the board looks at all of its streams.
func TestUpdatesDoNotWaitForASweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{})
		o := w.open(w.modern("ana", "github+file:///a"))
		defer w.end()
		o.take()
		sink := w.servers.find(t, "github file:///a").sink
		w.board.sweeping.Lock()
		var passed atomic.Bool
		go func() {
			_ = sink.Notification([]byte(updatedA), upstream.Mark{})
			passed.Store(true)
		}()
		for range 1_000_000 {
			if passed.Load() {
				break
			}
			runtime.Gosched()
		}
		if !passed.Load() {
			t.Error("the update waits for the sweep")
		}
		w.board.sweeping.Unlock()
		synctest.Wait()
		if got := o.take(); len(got) != 1 {
			t.Errorf("the client got %q; want the update", got)
		}
	})
}

// BenchmarkUpdates has 1,000 streams whose servers all say that a resource changed.
func BenchmarkUpdates(b *testing.B) {
	const streams = 1000
	w := newWorld(b, Config{StreamsPerKey: streams})
	var sinks []*hearing
	for i := range streams {
		sub := w.modern("ana", "github+file:///a")
		sub.ID = fmt.Append(nil, i)
		s := newStream(w.board, sub)
		if err := w.board.admit(s); err != nil {
			b.Fatal(err)
		}
		defer w.board.leave(s)
		sinks = append(sinks, s.hearings["github"])
	}
	message := []byte(updatedA)
	var next atomic.Uint64
	b.ReportAllocs()
	b.SetParallelism(streams)
	b.RunParallel(func(pb *testing.PB) {
		sink := sinks[next.Add(1)%streams]
		for pb.Next() {
			if err := sink.Notification(message, upstream.Mark{}); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
