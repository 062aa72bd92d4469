package publisher

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	syncv1 "github.com/warder-gateway/warder/proto/gen/warder/sync/v1"
)

// attachBook keeps when agents were written, and which ones last.
type attachBook struct {
	noBook
	at   []time.Time
	last *syncv1.Attached
}

func (b *attachBook) AttachAgents(_ context.Context, _, _ string, attached *syncv1.Attached) error {
	b.at, b.last = append(b.at, time.Now()), attached
	return nil
}

// TestAgentsOfANodeAreWrittenAtAPaceWhateverItSays: each writing wakes all replicas.
func TestAgentsOfANodeAreWrittenAtAPaceWhateverItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		book := new(attachBook)
		r := newReporter(book, "edge", "a/1", slog.New(slog.DiscardHandler))
		began := time.Now()
		r.connected(&syncv1.Hello{}, condition{})
		var last *syncv1.Attached
		for range 10_000 {
			last = &syncv1.Attached{Agents: []*syncv1.AttachedAgent{{Name: "laptop"}}}
			r.status(condition{attached: last})
			time.Sleep(time.Millisecond / 10)
			synctest.Wait()
		}
		if len(book.at) == 0 || !book.at[0].Equal(began) {
			t.Error("the first is not written at once")
		}
		if many := len(book.at); many > 1+int(time.Second/attachPause) {
			t.Errorf("they were written %d times in a second", many)
		}
		left := time.Now()
		r.close()
		if book.last != last {
			t.Error("what was said last is not what is written")
		}
		if took := time.Since(left); took > 0 {
			t.Errorf("a node that left was waited with for %v", took)
		}
	})
}
