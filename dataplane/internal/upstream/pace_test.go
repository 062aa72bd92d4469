package upstream

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warder-gateway/warder/internal/mcp"
)

// A server that talks without end makes neither the node nor the client work without end: what comes too fast is folded,
// and the client has the newest progress before its answer.
func TestMessagesBeforeTheAnswerHaveAPace(t *testing.T) {
	const each = 3000
	f := &fake{t: t}
	f.call = func(w http.ResponseWriter, _ *http.Request, id string) {
		send := stream(w)
		var all strings.Builder
		for i := range each {
			fmt.Fprintf(&all, "id: p%d\ndata: "+`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%d}}`+"\n\n", i, id, i)
			fmt.Fprintf(&all, "id: l%d\ndata: "+`{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":%d}}`+"\n\n", i, i)
			fmt.Fprintf(&all, "id: e%d\ndata:\n\n", i)
		}
		send(all.String())
		send("id: last\ndata: " + ok(id) + "\n\n")
	}
	p := newPool(t, Config{})
	server := versioned(listen(t, f), mcp.Version20251125)
	body := `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{},"_meta":{"progressToken":"tok"}}}`
	sink := &collector{}
	started := time.Now()
	answer, err := p.Do(t.Context(), callWith(t, server, mcp.Legacy, mcp.Version20251125, body, "x"), sink)
	if err != nil || answer.Outcome != outcomeOK {
		t.Fatal(show(answer), err)
	}
	most := noteBurst + int(noteRate*time.Since(started).Seconds()) + 3
	if got := len(sink.messages) + len(sink.primes); got > most || got < noteBurst {
		t.Errorf("the client got %d messages, want up to %d", got, most)
	}
	last, newest := -1, -1
	for _, message := range sink.messages {
		if _, after, found := strings.Cut(message, `"progressToken":"tok","progress":`); found {
			fmt.Sscanf(after, "%d", &newest)
			if newest <= last {
				t.Errorf("progress %d after %d", newest, last)
			}
			last = newest
		}
	}
	if newest != each-1 {
		t.Errorf("the newest progress that the client has is %d, want %d", newest, each-1)
	}
	if place := sink.primes[len(sink.primes)-1]; place.EventID != fmt.Sprint("e", each-1) {
		t.Errorf("the newest place that the client has is %q", place.EventID)
	}
	e, _ := p.endpoint(server)
	if e.leftOut.Load() == 0 {
		t.Error("nothing was counted")
	}
}

// A usual number of messages passes, one by one and as it comes; and after a pause there is room again.
func TestAPaceIsOneThatUsualServersKeep(t *testing.T) {
	var p pace
	now := time.Hour
	for i := range noteBurst {
		if !p.take(now) {
			t.Fatalf("message %d was held back", i)
		}
	}
	if p.take(now) {
		t.Error("one more than the burst passed at once")
	}
	for i := range 10 * noteRate {
		if now += time.Second / noteRate; !p.take(now) {
			t.Fatalf("message %d at the usual rate was held back", i)
		}
	}
}
