package session

import (
	"testing"
	"testing/synctest"
	"time"

	auditv1 "github.com/warder-gateway/warder/proto/gen/warder/audit/v1"
)

// results is a ticket that keeps what it is given.
type results []*auditv1.Event

func (r *results) Result(event *auditv1.Event) { *r = append(*r, event) }

// TestACallThatNobodyResumedTookUntilItsStreamEnded leaves calls to wait in vain: the time that they waited is not theirs,
// and what is recorded says who ended the stream.
func TestACallThatNobodyResumedTookUntilItsStreamEnded(t *testing.T) {
	for name, c := range map[string]struct {
		limit int
		end   func(*detached)
		why   string
		want  string
	}{
		"expired":       {1, func(*detached) { time.Sleep(3 * time.Minute) }, clientLeft, "the client went away while it read the rest of the stream, and the client did not resume it at this node"},
		"node ends":     {1, func(d *detached) { time.Sleep(time.Minute); d.close() }, serverClosed, "the server closed its stream, and this node ended before the client resumed it"},
		"too many wait": {0, func(*detached) { time.Sleep(time.Minute) }, serverClosed, "the server closed its stream; whether the client resumed it is not known"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got results
				d := &detached{limit: c.limit}
				call := &late{ticket: &got, received: time.Now(), now: time.Now}
				time.Sleep(8 * time.Second)
				d.keep(call, c.why, 2*time.Minute)
				c.end(d)
				synctest.Wait()
				if len(got) != 1 {
					t.Fatalf("%d results; want 1", len(got))
				}
				if latency := got[0].GetLatency().AsDuration(); latency != 8*time.Second || got[0].GetOutcome() != auditv1.Outcome_OUTCOME_CANCELLED {
					t.Errorf("%v after %v; want cancelled after 8s", got[0].GetOutcome(), latency)
				}
				if got[0].GetError() != c.want {
					t.Errorf("text %q; want %q", got[0].GetError(), c.want)
				}
			})
		})
	}
}
